//! For which groups this host stands, as hosts come and go. It knows names and times, and neither watches nor stands.
//!
//! Hosts come and go in bursts, as in a rolling restart. So a change is taken in only once it has settled a little, unless
//! it leaves a group with fewer than two contenders; and a host that has no place in a group any more stays in its queue for
//! a while, behind those that have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::candidacy::{LiveHosts, Placement, Seats, surplus};

/// How long a change waits for others.
const SETTLE: Duration = Duration::from_secs(1);
/// How many contenders a group is not left without, where there are so many hosts.
const ENOUGH: usize = 2;

/// One host's view of who stands where. Times are on the boot clock.
pub(super) struct Roster {
    host: String,
    groups: u32,
    /// How long this host stays where it has no place any more.
    linger: Duration,
    live: LiveHosts,
    placement: Arc<Placement>,
    /// When the hosts became others than those that the placement is over.
    changed: Option<Duration>,
    /// Until when this host stays in groups where it has no place any more.
    lingering: BTreeMap<u32, Duration>,
    /// The groups that it leads with their tokens, and which it got before which.
    led: BTreeMap<u32, Led>,
    gained: u64,
}

struct Led {
    token: i64,
    rank: u64,
}

impl Roster {
    /// Nobody is there yet.
    pub(super) fn new(host: &str, groups: u32, linger: Duration) -> Self {
        Roster {
            host: host.to_owned(),
            groups,
            linger,
            live: LiveHosts::default(),
            placement: Arc::default(),
            changed: None,
            lingering: BTreeMap::new(),
            led: BTreeMap::new(),
            gained: 0,
        }
    }

    /// Whether this host should stand for the group.
    pub(super) fn stands(&self, group: u32) -> bool {
        self.placement.has(group, &self.host) || self.lingering.contains_key(&group)
    }

    /// These hosts live `now`. True where [`Self::stands`] has changed.
    pub(super) fn see(&mut self, live: LiveHosts, now: Duration) -> bool {
        self.live = live;
        let same = self.placement.hosts().iter().eq(self.live.keys());
        // No host at all: this one's session is gone too, and it has no better place than the one it had.
        if same || self.live.is_empty() {
            self.changed = None;
            return false;
        }
        self.changed.get_or_insert(now);
        self.wants_more() && self.take_in(now)
    }

    /// Time has passed. True where [`Self::stands`] has changed.
    pub(super) fn pass(&mut self, now: Duration) -> bool {
        let before = self.lingering.len();
        self.lingering.retain(|_, until| *until > now);
        let left = self.lingering.len() < before;
        let settled = self.changed.is_some_and(|changed| changed + SETTLE <= now);
        (settled && self.take_in(now)) || left
    }

    /// Who stands where, for the leaders of groups; this host leads those with these tokens, and so many groups are used.
    pub(super) fn seats(&mut self, leads: &[(u32, i64)], used: usize) -> Seats {
        let leads: BTreeMap<u32, i64> = leads.iter().copied().collect();
        self.led.retain(|group, led| leads.get(group) == Some(&led.token));
        for (group, token) in leads {
            if !self.led.contains_key(&group) {
                self.gained += 1;
                self.led.insert(group, Led { token, rank: self.gained });
            }
        }
        let mut groups: Vec<u32> = self.led.keys().copied().collect();
        groups.sort_unstable_by_key(|group| self.led[group].rank);
        let surplus = surplus(&self.placement, &self.host, &groups, used);
        Seats { placement: self.placement.clone(), live: self.live.clone(), surplus }
    }

    /// Whether a group would be left with too few contenders.
    fn wants_more(&self) -> bool {
        let enough = ENOUGH.min(self.live.len());
        let alive = |group| self.placement.top(group).filter(|host| self.live.contains_key(*host)).count();
        (0..self.groups).any(|group| alive(group) < enough)
    }

    fn take_in(&mut self, now: Duration) -> bool {
        let before: BTreeSet<u32> = (0..self.groups).filter(|group| self.placement.has(*group, &self.host)).collect();
        self.placement = Arc::new(Placement::of(self.groups, self.live.keys().map(String::as_str)));
        self.changed = None;
        for group in before {
            if !self.placement.has(group, &self.host) {
                self.lingering.insert(group, now + self.linger);
            }
        }
        self.lingering.retain(|group, _| !self.placement.has(*group, &self.host));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: u32 = 256;
    const LINGER: Duration = Duration::from_secs(10);
    const START: Duration = Duration::from_secs(1000);

    fn live(hosts: &[&str]) -> LiveHosts {
        Arc::new(hosts.iter().zip(1..).map(|(host, czxid)| ((*host).to_owned(), czxid)).collect())
    }

    /// Of host `a`.
    fn roster(hosts: &[&str]) -> Roster {
        let mut roster = Roster::new("a", GROUPS, LINGER);
        roster.see(live(hosts), START);
        roster.pass(START + SETTLE);
        roster
    }

    fn stood(roster: &Roster) -> BTreeSet<u32> {
        (0..GROUPS).filter(|group| roster.stands(*group)).collect()
    }

    #[test]
    fn the_first_hosts_take_their_places_at_once_and_further_ones_when_it_has_settled() {
        let mut roster = Roster::new("a", GROUPS, LINGER);
        assert!(stood(&roster).is_empty());
        assert!(roster.see(live(&["a"]), START) && stood(&roster).len() == GROUPS as usize);
        assert!(roster.see(live(&["a", "b"]), START), "one contender is too few where there are two hosts");
        assert!(!roster.see(live(&["a", "b", "c"]), START));
        assert!(!roster.see(live(&["a", "b", "c", "d"]), START + SETTLE / 2));
        assert!(!roster.pass(START + SETTLE / 2) && roster.pass(START + SETTLE), "counted from the first change");
        assert_eq!(roster.placement.hosts().len(), 4);
    }

    #[test]
    fn a_host_that_is_back_before_it_has_settled_changes_nothing() {
        let mut roster = roster(&["a", "b", "c", "d"]);
        let before = stood(&roster);
        let now = START + LINGER * 2;
        assert!(!roster.see(live(&["a", "b", "c"]), now));
        assert!(!roster.see(live(&["a", "b", "c", "d"]), now + SETTLE / 2));
        assert!(!roster.pass(now + SETTLE * 2));
        assert_eq!(stood(&roster), before);
        assert!(!roster.see(live(&["a", "b", "c"]), now));
        assert!(roster.see(live(&["a", "b"]), now), "some group had lost two of its three");
        assert_eq!(stood(&roster).len(), GROUPS as usize);
    }

    #[test]
    fn a_place_that_is_lost_is_kept_for_a_while() {
        let mut roster = roster(&["a", "b", "c"]);
        let now = START + LINGER;
        roster.see(live(&["a", "b", "c", "d"]), now);
        assert!(roster.pass(now + SETTLE));
        assert_eq!(stood(&roster).len(), GROUPS as usize);
        assert!(!roster.pass(now + SETTLE + LINGER / 2) && roster.pass(now + SETTLE + LINGER));
        let left = stood(&roster);
        assert!(left.len() < GROUPS as usize && left.iter().all(|group| roster.placement.has(*group, "a")));
        // Nobody is seen where this host's own session is gone.
        assert!(!roster.see(live(&[]), now * 2) && stood(&roster) == left);
    }

    #[test]
    fn what_was_got_last_is_given_up_first() {
        let mut roster = roster(&["a", "b", "c", "d"]);
        let others: Vec<u32> =
            (0..GROUPS).filter(|group| roster.placement.first(*group) != Some("a")).take(6).collect();
        let leads = |groups: &[u32]| groups.iter().map(|group| (*group, 1)).collect::<Vec<_>>();
        assert!(roster.seats(&leads(&others[3..]), 8).surplus.is_empty());
        let seats = roster.seats(&leads(&others), 8);
        assert_eq!(seats.surplus, others[..3].iter().copied().collect());
        assert_eq!(seats.live.len(), 4);
    }
}

//! Who leads a group that should, and whom its leader makes way for: decided from the placement, from who lives, and from
//! since when. It knows names and numbers, and asks nobody.
//!
//! Leadership stays where it is unless there is a reason to move it, so the death of a host moves its own groups alone. The
//! reasons: the host that should lead came, or came back, after this term's contender; or this host leads more than its
//! part. Either way it goes to the group's first host only, which has no reason to give it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::placement::Placement;

/// The hosts that live and stand for groups, each with the czxid of its node: in that order they came.
pub type LiveHosts = Arc<BTreeMap<String, i64>>;

/// Who stands for which group now, as one host sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    /// Over the hosts that were there when it was made.
    pub placement: Arc<Placement>,
    /// Who lives now.
    pub live: LiveHosts,
    /// The groups that this host leads beyond its part, see [`surplus`].
    pub surplus: BTreeSet<u32>,
}

/// One host's place in one group.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Which group.
    pub group: u32,
    /// This host.
    pub host: String,
    /// How long a term lasts at the least before it makes way.
    pub hold: Duration,
    /// Who stands where.
    pub seats: watch::Receiver<Arc<Seats>>,
}

impl Seats {
    /// The host that should lead the group, where it is another one than `me`, and lives.
    pub fn first_but(&self, me: &str, group: u32) -> Option<&str> {
        self.placement.first(group).filter(|first| *first != me && self.live.contains_key(*first))
    }

    /// Whom `me`, whose contender's czxid is `token`, should make way for in a group that it leads.
    pub fn claims(&self, me: &str, group: u32, token: i64) -> Option<&str> {
        let first = self.first_but(me, group)?;
        let came_since = |host: &str| self.live.get(host).is_some_and(|came| *came > token);
        // Also where one that came pushed this host out of its place: a fourth contender is one too many.
        let displaced = || !self.placement.has(group, me) && self.placement.top(group).any(came_since);
        (came_since(first) || self.surplus.contains(&group) || displaced()).then_some(first)
    }
}

/// Of the groups that `me` leads, the one that it leads for the longest time first, those that it leads beyond its part of
/// the `used` ones and isn't the first of: what it got last. None while it leads hardly more than its part: a few groups
/// whose first host became another one may stay.
pub fn surplus(placement: &Placement, me: &str, led: &[u32], used: usize) -> BTreeSet<u32> {
    let part = Placement::bound(used, placement.hosts().len());
    let beyond = if led.len() > part + leeway(part) { led.len() - part } else { 0 };
    led.iter().rev().filter(|group| placement.first(**group) != Some(me)).take(beyond).copied().collect()
}

fn leeway(part: usize) -> usize {
    1 + part / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUPS: u32 = 256;

    /// A cluster where leadership goes where it should at once, each time under a new contender.
    struct Cluster {
        live: BTreeMap<String, i64>,
        zxid: i64,
        /// Who leads each group, with which token, and since when.
        leads: BTreeMap<u32, (String, i64, i64)>,
    }

    impl Cluster {
        fn of(hosts: &[String]) -> Self {
            let mut cluster = Cluster { live: BTreeMap::new(), zxid: 0, leads: BTreeMap::new() };
            for host in hosts {
                cluster.come(host);
            }
            cluster.settle();
            cluster
        }

        fn next(&mut self) -> i64 {
            self.zxid += 1;
            self.zxid
        }

        fn come(&mut self, host: &str) {
            let zxid = self.next();
            self.live.insert(host.to_owned(), zxid);
        }

        fn placement(&self) -> Placement {
            Placement::of(GROUPS, self.live.keys().map(String::as_str))
        }

        /// Gives the groups without a leader to their firsts, and lets leaders make way until none has a reason. Gives the
        /// groups whose leader changed.
        fn settle(&mut self) -> BTreeSet<u32> {
            let (placement, live) = (Arc::new(self.placement()), Arc::new(self.live.clone()));
            let mut moved = BTreeSet::new();
            self.leads.retain(|_, (host, ..)| live.contains_key(host));
            for group in 0..GROUPS {
                if !self.leads.contains_key(&group) {
                    self.gain(group, placement.first(group).unwrap());
                    moved.insert(group);
                }
            }
            while let Some((group, heir)) = self.one_to_move(&placement, &live) {
                assert_eq!(placement.first(group), Some(heir.as_str()));
                self.gain(group, &heir);
                moved.insert(group);
            }
            moved
        }

        fn gain(&mut self, group: u32, host: &str) {
            let (token, since) = (self.next(), self.next());
            self.leads.insert(group, (host.to_owned(), token, since));
        }

        fn one_to_move(&self, placement: &Arc<Placement>, live: &LiveHosts) -> Option<(u32, String)> {
            live.keys().find_map(|me| {
                let mut led: Vec<(i64, u32, i64)> = Vec::new();
                led.extend(
                    self.leads
                        .iter()
                        .filter(|(_, (host, ..))| host == me)
                        .map(|(group, lead)| (lead.2, *group, lead.1)),
                );
                led.sort_unstable();
                let groups: Vec<u32> = led.iter().map(|(_, group, _)| *group).collect();
                let surplus = surplus(placement, me, &groups, GROUPS as usize);
                let seats = Seats { placement: placement.clone(), live: live.clone(), surplus };
                led.iter().find_map(|(_, group, token)| Some((*group, seats.claims(me, *group, *token)?.to_owned())))
            })
        }

        fn led_by(&self, host: &str) -> BTreeSet<u32> {
            self.leads.iter().filter(|(_, (leader, ..))| leader == host).map(|(group, _)| *group).collect()
        }

        fn most_led(&self) -> usize {
            self.live.keys().map(|host| self.led_by(host).len()).max().unwrap()
        }
    }

    fn names(hosts: &BTreeSet<String>) -> Vec<String> {
        hosts.iter().cloned().collect()
    }

    proptest! {
        #[test]
        fn a_host_that_dies_moves_its_own_groups_alone_and_gets_them_back_when_it_returns(
            hosts in prop::collection::btree_set("[a-z]{2,5}", 2..16), dead in 0..2_usize,
        ) {
            let hosts = names(&hosts);
            let mut cluster = Cluster::of(&hosts);
            let dead = &hosts[dead];
            let its_own = cluster.led_by(dead);
            cluster.live.remove(dead);
            prop_assert_eq!(&cluster.settle(), &its_own);
            let part = Placement::bound(GROUPS as usize, hosts.len() - 1);
            prop_assert!(cluster.most_led() <= part + leeway(part));

            cluster.come(dead);
            prop_assert_eq!(&cluster.settle(), &its_own);
            prop_assert_eq!(cluster.led_by(dead), its_own);
        }

        #[test]
        fn a_host_that_is_added_gets_its_part_and_hardly_anything_else_moves(
            hosts in prop::collection::btree_set("[a-z]{2,5}", 9),
        ) {
            let hosts = names(&hosts);
            let mut cluster = Cluster::of(&hosts);
            cluster.come("new-one");
            let moved = cluster.settle();
            let its_own = cluster.led_by("new-one");
            prop_assert!(its_own.len() > GROUPS as usize / 25 && moved.len() <= its_own.len() + GROUPS as usize / 25);
            let part = Placement::bound(GROUPS as usize, 10);
            prop_assert!(cluster.most_led() <= part + leeway(part));
        }
    }

    #[test]
    fn what_is_led_beyond_the_part_is_given_up_the_newest_first_and_never_what_is_its_own() {
        let hosts = ["a", "b", "c", "d"];
        let placement = Placement::of(8, hosts);
        let (own, others): (Vec<u32>, Vec<u32>) = (0..8).partition(|group| placement.first(*group) == Some("a"));
        let led: Vec<u32> = others.iter().take(4).chain(&own).copied().collect();
        let expected: BTreeSet<u32> = others[..4].iter().rev().take(led.len() - 3).copied().collect();
        assert_eq!(Placement::bound(8, 4), 3);
        assert_eq!(surplus(&placement, "a", &led, 8), expected);
        assert!(surplus(&placement, "a", &led[..4], 8).is_empty(), "one more is no reason");
    }
}

//! Which more preferred host a leader makes way for, and how patient it is with it. It knows names and times, and asks
//! nobody.
//!
//! Leadership only ever goes to a strictly more preferred host, so two hosts can't pass it to and fro by preference. What
//! a host does with it is another matter: one that lets go of it soon, as it fails or for whatever reason, is waited for
//! twice as long the next time, see [`Trust`].

use std::collections::BTreeMap;
use std::time::Duration;

/// The longest that a host which did not keep what it got is waited for, where the job doesn't ask for more.
const MAX_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// That other hosts of the cluster should lead rather than this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// Those hosts' names, which are the identifiers of their contenders; the most preferred first.
    pub hosts: Vec<String>,
    /// How long one of them has to stand behind this host while it leads, before it makes way.
    pub after: Duration,
    /// The directory whose children are named as the live hosts of the cluster.
    pub live: String,
}

/// One that stands behind this host in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// Its contender's name.
    pub znode: String,
    /// What it calls itself. Another library's contender may call itself as a host does; it is taken for one then, and
    /// led to like one.
    pub identifier: String,
    /// When it was first seen there, on the boot clock.
    pub since: Duration,
}

impl Preference {
    /// Whether this is a host that should lead rather than this one.
    pub(super) fn has(&self, host: &str) -> bool {
        self.hosts.iter().any(|preferred| preferred == host)
    }

    /// Whom to make way for among those `behind`, in queue order: the most preferred of those that `may` lead now, as far
    /// as there is nobody but [hosts](among_hosts).
    pub(super) fn heir<'a>(
        &self,
        behind: &'a [Behind],
        live: &[String],
        may: impl Fn(&Behind) -> bool,
    ) -> Option<&'a str> {
        let hosts = among_hosts(behind, |host| live.iter().any(|live| live == host)).filter(|one| may(one));
        let rank = |one: &'a Behind| Some((self.hosts.iter().position(|host| *host == one.identifier)?, one));
        hosts.filter_map(rank).min_by_key(|(rank, _)| *rank).map(|(_, one)| one.identifier.as_str())
    }
}

/// Those `behind`, in queue order, only as far as hosts of the cluster stand there: whoever follows first leads first, and
/// leadership is not given to another library's contender for the sake of a host behind it.
pub(super) fn among_hosts(behind: &[Behind], is_live: impl Fn(&str) -> bool) -> impl Iterator<Item = &Behind> {
    behind.iter().take_while(move |one| is_live(&one.identifier))
}

/// What became of the leadership that this host gave to more preferred ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    /// To whom it went the last time, and when on the boot clock.
    last: Option<(String, Duration)>,
    /// How often in a row a host did not keep it. Only hosts that are preferred are here, so it stays small.
    let_go: BTreeMap<String, u32>,
}

impl Trust {
    /// This host has made way for `heir`.
    pub(super) fn made_way(&mut self, heir: String, now: Duration) {
        self.last = Some((heir, now));
    }

    /// This host leads again. The heir that did not keep leadership for `after` has let go of it too soon.
    pub(super) fn leads_again(&mut self, now: Duration, after: Duration) {
        let Some((heir, given)) = self.last.take() else { return };
        if now.saturating_sub(given) < after {
            let times = self.let_go.entry(heir).or_default();
            *times = times.saturating_add(1);
        } else {
            self.let_go.remove(&heir);
        }
    }

    /// Whether the host kept what it got the last time, or never got anything.
    pub(super) fn is_whole(&self, host: &str) -> bool {
        !self.let_go.contains_key(host)
    }

    /// How long the host has to stand behind this one, where `after` is the rule: twice as long for each time in a row that
    /// it did not keep leadership.
    pub(super) fn patience(&self, host: &str, after: Duration) -> Duration {
        let times = self.let_go.get(host).copied().unwrap_or(0);
        after.saturating_mul(2_u32.saturating_pow(times)).min(MAX_PATIENCE.max(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(30);
    const CLUSTER: [&str; 4] = ["a", "b", "c", "d"];

    /// The heir of a host that makes way for `a` and, after that, `b`.
    fn heir(queue: &[&str], live: &[&str], may: impl Fn(&Behind) -> bool) -> Option<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let preference = Preference { hosts: owned(&["a", "b"]), after: AFTER, live: "/zoo/hosts".to_owned() };
        let behind = |name: &String| Behind { znode: format!("{name}-1"), identifier: name.clone(), since: AFTER };
        let behind: Vec<Behind> = owned(queue).iter().map(behind).collect();
        preference.heir(&behind, &owned(live), may).map(str::to_owned)
    }

    #[test]
    fn the_most_preferred_of_those_behind_is_the_heir_wherever_it_stands() {
        for (queue, wanted) in [
            (&["d", "b", "d", "a"][..], Some("a")),
            (&["a", "b"], Some("a")),
            (&["d", "b"], Some("b")),
            // Nobody behind is preferred to this host: nobody is made way for.
            (&["c", "d"], None),
            (&[], None),
        ] {
            assert_eq!(heir(queue, &CLUSTER, |_| true).as_deref(), wanted, "{queue:?}");
        }
    }

    #[test]
    fn who_may_not_lead_yet_is_no_heir() {
        assert_eq!(heir(&["a", "b"], &CLUSTER, |one| one.identifier != "a").as_deref(), Some("b"));
    }

    #[test]
    fn another_librarys_contender_and_whoever_stands_behind_it_is_no_heir() {
        assert_eq!(heir(&["d", "kazoo", "a"], &CLUSTER, |_| true), None);
        assert_eq!(heir(&["b", "kazoo", "a"], &CLUSTER, |_| true).as_deref(), Some("b"));
        // It calls itself as a host that can't be seen.
        assert_eq!(heir(&["a"], &["b", "c"], |_| true), None);
    }

    #[test]
    fn a_host_that_lets_go_too_soon_is_waited_for_twice_as_long_each_time_until_it_keeps_what_it_gets() {
        let mut trust = Trust::default();
        let mut now = AFTER * 100;
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(trust.patience("a", AFTER).as_secs());
            trust.made_way("a".to_owned(), now);
            now += AFTER - Duration::from_secs(1);
            trust.leads_again(now, AFTER);
            assert!(!trust.is_whole("a"));
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(trust.patience("b", AFTER), AFTER, "it did nothing");
        assert_eq!(trust.patience("a", AFTER * 1000), AFTER * 1000, "never less than the rule");

        trust.made_way("a".to_owned(), now);
        trust.leads_again(now + AFTER, AFTER);
        assert!(trust.is_whole("a") && trust.patience("a", AFTER) == AFTER);
    }

    #[test]
    fn a_term_that_follows_no_gift_says_nothing() {
        let mut trust = Trust::default();
        trust.made_way("a".to_owned(), AFTER);
        trust.leads_again(AFTER, AFTER);
        trust.leads_again(AFTER, AFTER);
        assert_eq!(trust.patience("a", AFTER), AFTER * 2);
    }
}

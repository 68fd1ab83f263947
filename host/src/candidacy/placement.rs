//! Which hosts stand for which group of scheduled jobs, and which of them should lead it: a function of the hosts' names.
//! It knows names and numbers, and neither who lives nor who leads.
//!
//! Rendezvous hashing (Thaler and Ravishankar 1998): each group ranks all hosts by a hash of both, and its three highest
//! stand for it. So a host that comes or goes changes only the groups that rank it high. The first of the three is the
//! highest that has room: none is first of more than [`Placement::bound`] groups (consistent hashing with bounded loads,
//! Mirrokni, Thorup and Zadimoghaddam 2018). Room is given by the hash too, not by the order of groups or hosts.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

/// How many hosts stand for a group: the leader, one that follows at once, and one more for when both go together.
pub const CONTENDERS: usize = 3;

/// Who stands for each group, and who should lead it. Empty where there are no hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// In the order of their names.
    hosts: Vec<String>,
    /// For each group, at which place its hosts stand in `hosts`, the first one first.
    groups: Vec<Vec<usize>>,
}

impl Placement {
    /// Over these hosts. The same on every host and in every version of the program.
    pub fn of<'a>(groups: u32, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let hosts: BTreeSet<&str> = hosts.into_iter().collect();
        let hashes: Vec<u64> = hosts.iter().map(|host| hash_of(host)).collect();
        let ranked: Vec<Vec<(u64, usize)>> = (0..groups).map(|group| ranked(&hashes, group)).collect();
        let firsts = firsts(&ranked, hosts.len());
        let top = |(ranked, first): (&Vec<(u64, usize)>, Option<usize>)| {
            let others = ranked.iter().map(|(_, host)| *host).filter(|host| Some(*host) != first);
            first.into_iter().chain(others).take(CONTENDERS).collect()
        };
        let groups = ranked.iter().zip(firsts).map(top).collect();
        Placement { hosts: hosts.into_iter().map(str::to_owned).collect(), groups }
    }

    /// How many of so many groups one of so many hosts has at the most: a quarter more than its part.
    pub fn bound(groups: usize, hosts: usize) -> usize {
        (5 * groups).div_ceil(4 * hosts.max(1))
    }

    /// All hosts that it is over, by name.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// The hosts that stand for the group, the one that should lead first.
    pub fn top(&self, group: u32) -> impl Iterator<Item = &str> {
        let top = usize::try_from(group).ok().and_then(|group| self.groups.get(group));
        top.into_iter().flatten().map(|host| self.hosts[*host].as_str())
    }

    /// The host that should lead the group.
    pub fn first(&self, group: u32) -> Option<&str> {
        self.top(group).next()
    }

    /// Whether the host stands for the group.
    pub fn has(&self, group: u32, host: &str) -> bool {
        self.top(group).any(|one| one == host)
    }
}

/// The hosts of one group with their weights, the highest first.
fn ranked(hashes: &[u64], group: u32) -> Vec<(u64, usize)> {
    let mut ranked: Vec<(u64, usize)> =
        hashes.iter().enumerate().map(|(host, hash)| (weight(*hash, group), host)).collect();
    ranked.sort_unstable_by_key(|pair| Reverse(*pair));
    ranked
}

/// For each group the highest of its hosts that has room. Whoever has the higher weight gets the room of a host.
fn firsts(ranked: &[Vec<(u64, usize)>], hosts: usize) -> Vec<Option<usize>> {
    let pairs = ranked.iter().enumerate().flat_map(|(group, hosts)| hosts.iter().map(move |pair| (*pair, group)));
    let mut pairs: Vec<((u64, usize), usize)> = pairs.collect();
    pairs.sort_unstable_by_key(|pair| Reverse(*pair));
    let mut room = vec![Placement::bound(ranked.len(), hosts); hosts];
    let mut firsts = vec![None; ranked.len()];
    for ((_, host), group) in pairs {
        if firsts[group].is_none() && room[host] > 0 {
            room[host] -= 1;
            firsts[group] = Some(host);
        }
    }
    firsts
}

/// The beginning of the name's SHA-256.
fn hash_of(host: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(host.as_bytes()).into();
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// The number of this group in the sequence of SplitMix64 (Steele, Lea and Flood 2014) that begins at the host's hash.
fn weight(hash: u64, group: u32) -> u64 {
    let at = hash.wrapping_add((u64::from(group) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (at ^ (at >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const GROUPS: u32 = 256;

    fn place(groups: u32, hosts: &[String]) -> Placement {
        Placement::of(groups, hosts.iter().map(String::as_str))
    }

    fn hosts(count: usize) -> Vec<String> {
        (0..count).map(|host| format!("host-{host}")).collect()
    }

    /// How many groups each host is first of.
    fn loads(placement: &Placement, groups: u32) -> BTreeMap<&str, usize> {
        let mut loads = BTreeMap::new();
        for first in (0..groups).filter_map(|group| placement.first(group)) {
            *loads.entry(first).or_default() += 1;
        }
        loads
    }

    #[test]
    fn a_groups_hosts_never_change() {
        // Pinned: another value would make hosts of different versions stand for different groups.
        let placement = place(GROUPS, &["a", "b", "c", "d", "e"].map(str::to_owned));
        let top = |group| placement.top(group).collect::<String>();
        assert_eq!([0, 1, 2, 63, 255].map(top), ["eda", "cae", "adc", "bda", "dca"]);
    }

    #[test]
    fn nobody_stands_where_there_are_no_hosts_and_everybody_where_there_are_few() {
        assert_eq!(Placement::of(GROUPS, []).first(0), None);
        for count in 1..=CONTENDERS {
            let placement = place(GROUPS, &hosts(count));
            assert!((0..GROUPS).all(|group| placement.top(group).count() == count), "{count} hosts");
        }
        assert_eq!(place(GROUPS, &hosts(5)).first(GROUPS), None, "there is no such group");
    }

    #[test]
    fn a_host_that_joins_nine_gets_about_a_tenth_of_the_groups() {
        for round in 0..20 {
            let mut names: Vec<String> = (0..9).map(|host| format!("round-{round}-{host}")).collect();
            let before = place(GROUPS, &names);
            names.push(format!("round-{round}-new"));
            let after = place(GROUPS, &names);
            let moved = (0..GROUPS).filter(|group| before.first(*group) != after.first(*group)).count();
            let part = moved as f64 / f64::from(GROUPS);
            assert!((0.05..=0.15).contains(&part), "round {round}: {part} of the groups moved");
        }
    }

    proptest! {
        #[test]
        fn three_different_hosts_stand_and_none_is_first_of_more_than_its_bound(
            names in prop::collection::btree_set("[a-z]{1,3}(-[0-9]{1,2})?", 1..60), groups in 1..400_u32,
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let placement = place(groups, &names);
            let bound = Placement::bound(groups as usize, names.len());
            prop_assert!(loads(&placement, groups).values().all(|load| *load <= bound));
            for group in 0..groups {
                let top: BTreeSet<&str> = placement.top(group).collect();
                prop_assert_eq!(top.len(), names.len().min(CONTENDERS));
                prop_assert!(top.iter().all(|host| placement.has(group, host)));
            }
            let reversed: Vec<String> = names.iter().rev().cloned().collect();
            prop_assert_eq!(place(groups, &reversed), placement, "the order of the names doesn't matter");
        }

        #[test]
        fn a_host_that_goes_changes_only_the_groups_that_it_stood_for(
            names in prop::collection::btree_set("[a-z]{2,4}", 5..20), gone in 0..5_usize,
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let before = place(GROUPS, &names);
            let left: Vec<String> = names.iter().filter(|name| **name != names[gone]).cloned().collect();
            let after = place(GROUPS, &left);
            let set = |placement: &Placement, group| placement.top(group).map(str::to_owned).collect::<BTreeSet<_>>();
            let changed = (0..GROUPS).filter(|group| !before.has(*group, &names[gone]) && set(&before, *group) != set(&after, *group));
            // Where all three that a group ranks highest are full, a fourth is first; afterwards there is more room.
            prop_assert!(changed.count() <= GROUPS as usize / 50);
        }
    }
}

//! Which post stands on which of the host's sessions.
//!
//! A candidate watches one node at a time, a contender of its election, and the election itself too while it leads and other
//! hosts should, as its job prefers them or as groups are placed. What the paths of a session's watches may have
//! together is bounded (see [`MAX_WATCHED_BYTES`](crate::coordinator::MAX_WATCHED_BYTES)), so each session takes the posts
//! whose watches fit. A post stays where it is for as long as it is wanted: moving it would end its term.

use std::collections::BTreeMap;

use super::{Post, Want, Wanted};
use crate::registry::Trigger;

/// The longest name that a contender of ours, of kazoo's or of Curator's has, with the slash before it.
const CONTENDER_BYTES: usize = 1 + 55;

/// The posts of each session.
pub(super) struct Allotment {
    /// What fits a session.
    share: usize,
    taken: Vec<usize>,
    places: BTreeMap<Post, Place>,
}

#[derive(Clone, Copy)]
struct Place {
    session: usize,
    bytes: usize,
}

impl Allotment {
    /// Nothing yet, on one session. A post that is larger than `share`, in bytes, has a session to itself.
    pub(super) fn new(share: usize) -> Self {
        Allotment { share, taken: vec![0], places: BTreeMap::new() }
    }

    /// What each session has to hold, the first one first.
    pub(super) fn share(&mut self, wanted: Wanted) -> Vec<Wanted> {
        let gone: Vec<Post> = self.places.keys().filter(|post| !wanted.contains_key(post)).cloned().collect();
        for place in gone.iter().filter_map(|post| self.places.remove(post)) {
            self.taken[place.session] -= place.bytes;
        }
        let mut shares = vec![Wanted::new(); self.taken.len()];
        for (post, want) in wanted {
            let bytes = watched_bytes(&want);
            let session = match self.places.get_mut(&post) {
                Some(place) => {
                    let taken = &mut self.taken[place.session];
                    *taken = *taken - place.bytes + bytes;
                    place.bytes = bytes;
                    place.session
                }
                None => self.place(&post, bytes),
            };
            shares.resize(self.taken.len(), Wanted::new());
            shares[session].insert(post, want);
        }
        shares
    }

    fn place(&mut self, post: &Post, bytes: usize) -> usize {
        let fits = |taken: &usize| *taken == 0 || taken + bytes <= self.share;
        let session = self.taken.iter().position(fits).unwrap_or(self.taken.len());
        if session == self.taken.len() {
            self.taken.push(0);
        }
        self.taken[session] += bytes;
        self.places.insert(post.clone(), Place { session, bytes });
        session
    }
}

/// What its candidate may watch at once, in bytes of paths.
fn watched_bytes(want: &Want) -> usize {
    let contender = want.election.len() + CONTENDER_BYTES;
    let trigger = want.edition.job().map(|job| &job.spec.trigger);
    let makes_way = trigger.is_none_or(|trigger| match trigger {
        Trigger::Leader { rules, .. } => !rules.prefer.is_empty(),
        Trigger::Schedule { .. } => true,
    });
    if makes_way { contender + want.election.len() } else { contender }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Edition, Wish};
    use super::*;
    use crate::registry::{Digest, Job, JobId, JobSpec, Limits, Names, OnReturn, TermRules};

    fn wanted(groups: &[u32]) -> Wanted {
        let want = || Want { edition: Edition::of_group(), wish: Wish::Stand, election: "/e".repeat(11) };
        groups.iter().map(|group| (Post::Group(*group), want())).collect()
    }

    fn groups(shares: &[Wanted]) -> Vec<Vec<u32>> {
        let group = |post: &Post| match post {
            Post::Group(group) => *group,
            Post::Job(_) => unreachable!("there are groups only"),
        };
        shares.iter().map(|share| share.keys().map(group).collect()).collect()
    }

    #[test]
    fn the_first_session_is_there_also_for_nothing() {
        assert_eq!(groups(&Allotment::new(1000).share(wanted(&[]))), [[0; 0]]);
    }

    #[test]
    fn posts_fill_one_session_after_the_other() {
        // A hundred bytes each.
        let mut allotment = Allotment::new(299);
        assert_eq!(groups(&allotment.share(wanted(&[1, 2, 3, 4, 5]))), [vec![1, 2], vec![3, 4], vec![5]]);
    }

    #[test]
    fn a_post_stays_where_it_is_and_a_new_one_takes_the_place_of_one_that_went() {
        let mut allotment = Allotment::new(200);
        allotment.share(wanted(&[1, 2, 3, 4]));
        assert_eq!(groups(&allotment.share(wanted(&[2, 3, 4]))), [vec![2], vec![3, 4]]);
        assert_eq!(groups(&allotment.share(wanted(&[2, 3, 4, 5, 6]))), [vec![2, 5], vec![3, 4], vec![6]]);
        assert_eq!(groups(&allotment.share(wanted(&[6]))), [vec![], vec![], vec![6]]);
    }

    /// A leader job whose watches take as much as a group's.
    fn job(prefer: &[&str]) -> (Post, Want) {
        let id = JobId::new("acme", "job").unwrap();
        let rules =
            TermRules { prefer: prefer.iter().map(|host| (*host).to_owned()).collect(), ..TermRules::default() };
        let spec = JobSpec {
            id: id.clone(),
            component: Digest::of(b""),
            trigger: Trigger::Leader { election: None, names: Names::Kazoo, on_return: OnReturn::Requeue, rules },
            limits: Limits::LEADER,
            config: BTreeMap::new(),
            secrets: Default::default(),
            http: Default::default(),
            paused: None,
        };
        let job = Arc::new(Job { spec, version: 0, born: 0, mzxid: 0, mtime_ms: 0, ticks_from_ms: None });
        (Post::Job(id), Want { edition: Edition::of_job(job), wish: Wish::Stand, election: "/e".repeat(22) })
    }

    #[test]
    fn a_job_that_prefers_hosts_takes_room_for_a_watch_on_its_election_too() {
        let counts = |shares: &[Wanted]| shares.iter().map(Wanted::len).collect::<Vec<_>>();
        let beside = |job, groups| wanted(groups).into_iter().chain([job]).collect();
        // A hundred bytes each, and 44 for the election.
        assert_eq!(counts(&Allotment::new(200).share(beside(job(&[]), &[1]))), [2]);
        assert_eq!(counts(&Allotment::new(200).share(beside(job(&["a"]), &[1]))), [1, 1]);
        let mut allotment = Allotment::new(300);
        allotment.share(beside(job(&[]), &[1]));
        assert_eq!(counts(&allotment.share(beside(job(&["a"]), &[1, 2]))), [2, 1], "the job was changed");
        assert_eq!(counts(&allotment.share(beside(job(&[]), &[1, 2, 3]))), [3, 1]);
    }

    #[test]
    fn a_post_larger_than_a_share_has_a_session_to_itself() {
        let mut allotment = Allotment::new(10);
        assert_eq!(groups(&allotment.share(wanted(&[1, 2]))), [[1], [2]]);
    }
}

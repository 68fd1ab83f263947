//! Which post stands on which of the host's sessions.
//!
//! A candidate watches one node at a time, a contender of its election. What the paths of a session's watches may have
//! together is bounded (see [`MAX_WATCHED_BYTES`](crate::coordinator::MAX_WATCHED_BYTES)), so each session takes the posts
//! whose watches fit. A post stays where it is for as long as it is wanted: moving it would end its term.

use std::collections::BTreeMap;

use super::{Post, Wanted};

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
            let session = match self.places.get(&post) {
                Some(place) => place.session,
                None => self.place(&post, want.election.len() + CONTENDER_BYTES),
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

#[cfg(test)]
mod tests {
    use super::super::Want;
    use super::*;

    fn wanted(groups: &[u32]) -> Wanted {
        let want = |_| Want { edition: 0, job: None, election: "/e".repeat(22) };
        groups.iter().map(|group| (Post::Group(*group), want(group))).collect()
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

    #[test]
    fn a_post_larger_than_a_share_has_a_session_to_itself() {
        let mut allotment = Allotment::new(10);
        assert_eq!(groups(&allotment.share(wanted(&[1, 2]))), [[1], [2]]);
    }
}

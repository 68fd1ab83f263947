//! Where this host stands now, for the API and the host's own node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Post;
use crate::candidacy::{Candidate, Standing};

/// The candidates of all posts.
#[derive(Default)]
pub(in crate::daemon) struct Standings(Mutex<BTreeMap<Post, Arc<Candidate>>>);

/// What a host leads and stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::daemon) struct Counts {
    pub groups_led: u32,
    /// Those that it stands for, with those that it leads.
    pub groups: u32,
    pub jobs_led: u32,
}

impl Standings {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<Post, Arc<Candidate>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many elections this host leads and stands in.
    pub(in crate::daemon) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (post, candidate) in self.lock().iter() {
            let led = u32::from(token(candidate).is_some());
            match post {
                Post::Group(_) => {
                    counts.groups += 1;
                    counts.groups_led += led;
                }
                Post::Job(_) => counts.jobs_led += led,
            }
        }
        counts
    }

    /// The groups that this host leads, each with its token.
    pub(super) fn groups_led(&self) -> Vec<(u32, i64)> {
        let led = |(post, candidate): (&Post, &Arc<Candidate>)| match post {
            Post::Group(group) => Some((*group, token(candidate)?)),
            Post::Job(_) => None,
        };
        self.lock().iter().filter_map(led).collect()
    }

    /// Gives up a term that this host leads, and returns when it is given up. False where this host doesn't lead.
    pub(in crate::daemon) async fn resign(&self, post: &Post) -> bool {
        let candidate = self.lock().get(post).cloned();
        let Some(candidate) = candidate else { return false };
        let term = candidate.standing();
        if !matches!(term, Standing::Leading { .. }) {
            return false;
        }
        candidate.resign();
        let _ = candidate.follow().wait_for(|now| *now != term && *now != Standing::Leaving).await;
        true
    }
}

/// Of the term that it leads, if it does.
fn token(candidate: &Candidate) -> Option<i64> {
    match candidate.standing() {
        Standing::Leading { token } => Some(token),
        Standing::Joining | Standing::Waiting | Standing::Leaving => None,
    }
}

//! Where this host stands now, for the API and the host's own node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Post;
use crate::candidacy::{Candidate, Standing};

/// The candidates of all posts.
#[derive(Default)]
pub(in crate::daemon) struct Standings(Mutex<BTreeMap<Post, Arc<Candidate>>>);

impl Standings {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<Post, Arc<Candidate>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many elections this host leads.
    pub(in crate::daemon) fn led(&self) -> u32 {
        self.lock().values().filter(|candidate| leads(candidate)).count() as u32
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

fn leads(candidate: &Candidate) -> bool {
    matches!(candidate.standing(), Standing::Leading { .. })
}

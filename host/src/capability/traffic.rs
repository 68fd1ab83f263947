//! What guests ask of the coordinator: over the session that the host's own terms hang on, so it is bounded in sum.
//!
//! A request that is under way is before the next heartbeat on the wire; a watched path is one that no election can be watched
//! by. Guests wait for their turn, and look at a key now and then that they may not watch.

use std::sync::{Arc, OnceLock};

use super::budget::{Budget, Share};
use super::fair::{Fair, FairShare, FairTurn};
use crate::coordinator::MAX_WATCHED_BYTES;

/// How many requests all guests of a host have under way at once.
pub const MAX_ASKED: usize = 64;
/// The same of one tenant's guests.
pub const MAX_TENANT_ASKED: usize = 16;
/// How many bytes the paths have together that all guests of a host watch: a quarter of what one session may.
pub const MAX_GUESTS_WATCHED_BYTES: usize = MAX_WATCHED_BYTES / 4;
/// The same of one tenant's guests.
pub const MAX_TENANT_WATCHED_BYTES: usize = MAX_GUESTS_WATCHED_BYTES / 4;

/// Of all guests of a host.
#[derive(Debug)]
pub struct Traffic {
    turns: Fair,
    watched: Arc<Budget>,
}

/// Of one guest. What many guests never need is made when it is first asked for.
#[derive(Debug)]
pub struct Asking {
    traffic: Arc<Traffic>,
    tenant: Arc<str>,
    turns: OnceLock<Arc<FairShare>>,
}

impl Default for Traffic {
    fn default() -> Self {
        let watched = Budget::new(MAX_GUESTS_WATCHED_BYTES as u64, MAX_TENANT_WATCHED_BYTES as u64);
        Traffic { turns: Fair::new(MAX_ASKED, MAX_TENANT_ASKED), watched }
    }
}

impl Traffic {
    /// For one of a tenant's guests.
    pub fn of(self: &Arc<Self>, tenant: &Arc<str>) -> Arc<Asking> {
        Arc::new(Asking { traffic: self.clone(), tenant: tenant.clone(), turns: OnceLock::new() })
    }
}

impl Asking {
    /// Waits until one more request may be sent.
    pub(super) async fn turn(&self) -> FairTurn {
        self.turns.get_or_init(|| self.traffic.turns.of(&self.tenant)).turn().await
    }

    /// Room to watch a path; None where the guests watch all that they may.
    pub(super) fn watch(&self, path: &str) -> Option<Share> {
        let mut share = self.traffic.watched.share(&self.tenant);
        share.grow(path.len() as u64).is_ok().then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_watches_without_end_leaves_watches_to_others_and_to_elections() {
        let traffic = Arc::<Traffic>::default();
        let path = "/x".repeat(512);
        let watched = |tenant: &str| -> Vec<Share> {
            let asking = traffic.of(&tenant.into());
            std::iter::from_fn(|| asking.watch(&path)).collect()
        };
        let each = MAX_TENANT_WATCHED_BYTES / path.len();
        let all: Vec<Vec<Share>> = ["a", "b", "c", "d", "e"].map(watched).into();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [each, each, each, each, 0]);
        drop(all);
        assert!(traffic.of(&"e".into()).watch(&path).is_some());
    }
}

//! Whether an operator has withdrawn this host from all elections. It is not kept: a host that is started again stands again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Asked for by the API, followed by the elections.
pub(super) struct Withdrawal {
    asked: watch::Sender<bool>,
    progress: watch::Sender<Progress>,
}

/// How far the elections are with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Whether all sessions were told to hold nothing.
    told: bool,
    /// How many posts are held, and how many sessions are looking what there is to hold.
    held: usize,
}

/// Something that is held, or may be in a moment.
pub(super) struct Counted(Arc<Withdrawal>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.progress.send_modify(|progress| progress.held -= 1);
    }
}

impl Default for Withdrawal {
    fn default() -> Self {
        Withdrawal { asked: watch::channel(false).0, progress: watch::channel(Progress::default()).0 }
    }
}

impl Withdrawal {
    // ---- for the API ----

    /// Whether it is asked for.
    pub(super) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Asks for it, and returns when everything is given up: true, or false after `patience`.
    pub(super) async fn withdraw(&self, patience: Duration) -> bool {
        self.asked.send_replace(true);
        let mut progress = self.progress.subscribe();
        let complete = progress.wait_for(|progress| progress.told && progress.held == 0);
        tokio::time::timeout(patience, complete).await.is_ok()
    }

    /// Lets the host stand again.
    pub(super) fn end(&self) {
        self.asked.send_replace(false);
    }

    // ---- for the elections ----

    /// Follows whether it is asked for.
    pub(super) fn follow(&self) -> watch::Receiver<bool> {
        self.asked.subscribe()
    }

    /// All sessions were told what to hold: nothing, where the host is `withdrawn`.
    pub(super) fn told(&self, withdrawn: bool) {
        self.progress.send_modify(|progress| progress.told = withdrawn);
    }

    /// For as long as what it gives is kept, a withdrawal is not complete.
    pub(super) fn count(self: &Arc<Self>) -> Counted {
        self.progress.send_modify(|progress| progress.held += 1);
        Counted(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn it_is_complete_when_all_sessions_were_told_and_nothing_is_held() {
        let withdrawal = Arc::new(Withdrawal::default());
        assert!(!withdrawal.withdraw(SHORT).await, "nobody was told yet");
        let held = withdrawal.count();
        withdrawal.told(true);
        assert!(!withdrawal.withdraw(SHORT).await, "a post is held");
        drop(held);
        assert!(withdrawal.withdraw(LONG).await && withdrawal.withdraw(LONG).await);
        withdrawal.end();
        assert!(!withdrawal.is_asked());
    }
}

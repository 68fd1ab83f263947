//! How a run is stopped before its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Stops a run. Clones act on the same run.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Kill>);

#[derive(Default)]
struct Kill {
    is_done: AtomicBool,
    told: Notify,
}

impl Interrupt {
    /// The guest is trapped at its next instruction, or its host call is dropped.
    pub fn kill(&self) {
        self.0.is_done.store(true, Ordering::SeqCst);
        self.0.told.notify_waiters();
    }

    /// Whether it was.
    pub fn is_killed(&self) -> bool {
        self.0.is_done.load(Ordering::SeqCst)
    }

    /// Waits until it is.
    pub async fn killed(&self) {
        // Told of all that comes after this line, so it is asked for first.
        let told = self.0.told.notified();
        if !self.is_killed() {
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kill_is_heard_before_it_and_after_it() {
        let interrupt = Interrupt::default();
        let waiting = [interrupt.clone(), interrupt.clone()];
        tokio::join!(waiting[0].killed(), waiting[1].killed(), async { interrupt.kill() });
        assert!(interrupt.is_killed());
        waiting[0].killed().await;
    }
}

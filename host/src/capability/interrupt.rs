//! How a run is told to stop, and stopped.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks a run to stop, or stops it. Clones act on the same run.
#[derive(Clone)]
pub struct Interrupt {
    ask: Arc<watch::Sender<bool>>,
    kill: Arc<watch::Sender<bool>>,
}

impl Default for Interrupt {
    fn default() -> Self {
        Interrupt { ask: Arc::new(watch::channel(false).0), kill: Arc::new(watch::channel(false).0) }
    }
}

impl Interrupt {
    /// `should-stop` becomes true, waits end.
    pub fn ask_stop(&self) {
        self.ask.send_replace(true);
    }

    /// The guest is trapped at its next instruction, or its host call is dropped.
    pub fn kill(&self) {
        self.kill.send_replace(true);
    }

    /// Follows [`Interrupt::ask_stop`].
    pub fn asked(&self) -> watch::Receiver<bool> {
        self.ask.subscribe()
    }

    /// Follows [`Interrupt::kill`].
    pub fn killed(&self) -> watch::Receiver<bool> {
        self.kill.subscribe()
    }
}

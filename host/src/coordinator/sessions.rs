//! Keeps one session open: opens the next one when it is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Coordinator, Error, Session};

/// The host's current session, whichever it is.
#[derive(Clone)]
pub struct Sessions {
    current: watch::Receiver<Option<Arc<dyn Session>>>,
}

impl Sessions {
    /// Opens the first session and keeps one open for as long as the returned task lives: when it is lost, another is
    /// opened, with back-off while no server answers.
    ///
    /// # Errors
    /// Those of [`Coordinator::connect`] for the first session.
    pub async fn open(_coordinator: Arc<dyn Coordinator>, _patience: Duration) -> Result<Self, Error> {
        Err(Error::Lost)
    }

    /// The session as it is now; None between two.
    pub fn now(&self) -> Option<Arc<dyn Session>> {
        self.current.borrow().clone()
    }

    /// Waits at most `patience` for a session.
    ///
    /// # Errors
    /// [`Error::Lost`] where none came.
    pub async fn get(&self, patience: Duration) -> Result<Arc<dyn Session>, Error> {
        let mut current = self.current.clone();
        match tokio::time::timeout(patience, current.wait_for(Option::is_some)).await {
            Ok(Ok(session)) => session.clone().ok_or(Error::Lost),
            _ => Err(Error::Lost),
        }
    }

    /// Follows the session: a new one after each loss.
    pub fn follow(&self) -> watch::Receiver<Option<Arc<dyn Session>>> {
        self.current.clone()
    }
}

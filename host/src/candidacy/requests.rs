//! The machine's requests, done against a session and answered as its events.
//!
//! Reads are repeated until they are answered: reading twice changes nothing. Writes are sent once; where their outcome is
//! not known the machine is told so and decides.

use std::sync::Arc;
use std::time::Duration;

use silverback_election::Event;
use tracing::{debug, warn};

use super::queue::child;
use crate::capability::Lease;
use crate::coordinator::{CreateMode, Error, MultiError, Op, Session, SessionState, ensure_path};

/// Between two tries of a read that is refused, such as one watch too many.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// What a candidate needs to ask of the ensemble.
#[derive(Clone)]
pub(super) struct Requests {
    pub session: Arc<dyn Session>,
    pub lease: Arc<Lease>,
    pub election: Arc<str>,
    pub identifier: Arc<str>,
}

impl Requests {
    /// Creates the contender, and the election's path where it is missing.
    pub(super) async fn create(self, prefix: String) -> Event {
        let path = child(&self.election, &prefix);
        loop {
            let created = self.session.create(&path, self.identifier.as_bytes(), CreateMode::EphemeralSequential).await;
            match created {
                Ok(path) => return Event::Created(path[self.election.len() + 1..].to_owned()),
                Err(Error::NoNode { .. }) => match ensure_path(self.session.as_ref(), &self.election).await {
                    Ok(()) => {}
                    Err(Error::Lost) => return Event::SessionLost,
                    Err(error) if error.is_unknown() => {}
                    Err(error) => return self.refused(&error),
                },
                Err(Error::Lost) => return Event::SessionLost,
                Err(error) if error.is_unknown() => {
                    debug!(election = %self.election, %error, "the outcome of a create is not known");
                    return Event::CreateUnknown;
                }
                Err(error) => return self.refused(&error),
            }
        }
    }

    fn refused(&self, error: &Error) -> Event {
        warn!(election = %self.election, %error, "cannot stand in the election");
        Event::CreateRefused
    }

    /// Deletes the contender, together with the term's last words where there are any. Words that can't be said don't hold
    /// the release up: the contender goes without them.
    pub(super) async fn delete(self, name: String, last_words: Vec<Op>) -> Event {
        let path = child(&self.election, &name);
        if !last_words.is_empty() {
            let delete = Op::Delete { path: path.clone(), version: None };
            match self.session.multi(last_words.into_iter().chain([delete]).collect()).await {
                Ok(_) => return Event::Deleted,
                Err(MultiError::Whole(Error::Lost)) => return Event::SessionLost,
                Err(MultiError::Whole(error)) if error.is_unknown() => return Event::DeleteUnknown,
                Err(error) => warn!(election = %self.election, %error, "released without recording the term's outcome"),
            }
        }
        match self.session.delete(&path, None).await {
            Ok(()) | Err(Error::NoNode { .. }) => Event::Deleted,
            Err(Error::Lost) => Event::SessionLost,
            Err(error) => {
                debug!(election = %self.election, %error, "the outcome of a release is not known");
                self.connected().await;
                Event::DeleteUnknown
            }
        }
    }

    /// Lists the children, after catching up with the ensemble.
    pub(super) async fn look(self) -> Event {
        loop {
            match self.session.sync(&self.election).await {
                Ok(()) | Err(Error::NoNode { .. }) => break,
                Err(error) => {
                    if !self.again(error).await {
                        return Event::SessionLost;
                    }
                }
            }
        }
        self.children().await.map_or(Event::SessionLost, Event::Looked)
    }

    /// Lists the children.
    pub(super) async fn list(self) -> Event {
        self.children().await.map_or(Event::SessionLost, Event::Listed)
    }

    /// None where the session is lost.
    async fn children(&self) -> Option<Vec<String>> {
        loop {
            match self.session.list(&self.election).await {
                Ok(children) => return Some(children),
                Err(Error::NoNode { .. }) => return Some(Vec::new()),
                Err(error) => {
                    if !self.again(error).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Returns when the child has changed or is gone.
    pub(super) async fn watch(self, name: String) -> Event {
        let path = child(&self.election, &name);
        loop {
            match self.session.stat_and_watch(&path).await {
                Ok((None, _)) => return Event::WatchFired,
                Ok((Some(_), mut watch)) => {
                    watch.changed().await;
                    return Event::WatchFired;
                }
                Err(error) => {
                    if !self.again(error).await {
                        return Event::SessionLost;
                    }
                }
            }
        }
    }

    /// Reads the child's owner and czxid, once the lease vouches for the session.
    pub(super) async fn verify(self, name: String) -> Event {
        let path = child(&self.election, &name);
        self.lease.vouched().await;
        loop {
            match self.session.stat(&path).await {
                Ok(stat) => return Event::Verified(stat.map(|stat| (stat.ephemeral_owner, stat.czxid))),
                Err(error) => {
                    if !self.again(error).await {
                        return Event::SessionLost;
                    }
                }
            }
        }
    }

    /// Whether a read that failed should be repeated; returns when that may help. False where the session is lost.
    async fn again(&self, error: Error) -> bool {
        if error == Error::Lost {
            return false;
        }
        if error.is_unknown() {
            debug!(election = %self.election, %error, "a read is repeated");
        } else {
            warn!(election = %self.election, %error, "a read is refused and repeated");
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
        self.connected().await;
        true
    }

    /// Waits for the session to be connected, or lost.
    async fn connected(&self) {
        // The state may lag behind the failure that brought us here, so a moment passes in any case.
        tokio::time::sleep(super::heartbeat::RETRY_PAUSE).await;
        let mut state = self.session.state();
        let _ = state.wait_for(|state| *state != SessionState::Disconnected).await;
    }
}

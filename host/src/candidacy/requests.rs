//! The machine's requests, done against a session and answered as its events.
//!
//! Reads are repeated until they are answered: reading twice changes nothing. A create is sent once; where its outcome is
//! not known the machine is told so and decides. A delete names one node that is never made again, so it may be repeated.

use std::sync::Arc;
use std::time::Duration;

use silverback_election::Event;
use tracing::{debug, warn};

use super::concern::Concern;
use super::queue::child;
use crate::capability::Lease;
use crate::coordinator::{CreateMode, Error, MultiError, Op, Session, Stat, ensure_path, settled};

/// Between two tries of what is refused, such as one watch too many.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// How long a candidate goes without a look at the queue: a read a minute for each election, where nothing changes.
const AUDIT: Duration = Duration::from_secs(60);

/// What a candidate needs to ask of the ensemble.
#[derive(Clone)]
pub(super) struct Requests {
    pub session: Arc<dyn Session>,
    pub lease: Arc<Lease>,
    pub election: Arc<str>,
    pub identifier: Arc<str>,
    pub concern: Concern,
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
                    Err(error) if error.is_unknown() => settled(self.session.as_ref()).await,
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
        if self.concern.raise(&format!("this host can't stand in its election `{}`: {error}", self.election)) {
            warn!(election = %self.election, %error, "can't stand in the election, trying again later");
        }
        Event::CreateRefused
    }

    /// Nothing but the access list, or a limit, keeps this host from seeing the queue.
    fn list_refused(&self, error: &Error) -> Event {
        if self.concern.raise(&format!("this host can't list its election `{}`: {error}", self.election)) {
            warn!(election = %self.election, %error, "can't list the election, and leaves it until later");
        }
        Event::ListRefused
    }

    /// Deletes the contender, together with the term's last words where there are any. Words that can't be said don't hold
    /// the release up: the contender goes without them.
    pub(super) async fn delete(self, name: String, last_words: Vec<Op>) -> Event {
        let path = child(&self.election, &name);
        if !last_words.is_empty() {
            match self.say_and_delete(&path, last_words).await {
                Ok(()) => return Event::Deleted,
                Err(Error::Lost) => return Event::SessionLost,
                Err(error) => warn!(election = %self.election, %error, "released without recording the term's outcome"),
            }
        }
        match self.session.delete(&path, None).await {
            Ok(()) | Err(Error::NoNode { .. }) => Event::Deleted,
            Err(error) if self.again(&error).await => Event::DeleteUnknown,
            Err(_) => Event::SessionLost,
        }
    }

    /// Both or neither, so a repetition of what was done fails at the contender, which is gone then.
    async fn say_and_delete(&self, path: &str, last_words: Vec<Op>) -> Result<(), Error> {
        let delete = Op::Delete { path: path.to_owned(), version: None };
        let ops: Vec<Op> = [delete].into_iter().chain(last_words).collect();
        loop {
            match self.session.multi(ops.clone()).await {
                Ok(_) | Err(MultiError::Op { index: 0, source: Error::NoNode { .. } }) => return Ok(()),
                Err(error) => match error.into_error() {
                    error if error.is_unknown() => settled(self.session.as_ref()).await,
                    error => return Err(error),
                },
            }
        }
    }

    /// Lists the children, after catching up with the ensemble.
    pub(super) async fn look(self) -> Event {
        loop {
            match self.session.sync(&self.election).await {
                Ok(()) | Err(Error::NoNode { .. }) => break,
                Err(error) => {
                    if !self.again(&error).await {
                        return Event::SessionLost;
                    }
                }
            }
        }
        loop {
            match self.session.list(&self.election).await {
                Ok(children) => return Event::Looked(children),
                Err(Error::NoNode { .. }) => return Event::Looked(Vec::new()),
                Err(error) => {
                    if !self.again(&error).await {
                        return Event::SessionLost;
                    }
                }
            }
        }
    }

    /// Lists the children and reads one of them, our own, in one round trip, once the lease vouches for the session; which it
    /// is waited for no longer than that would live unheard.
    pub(super) async fn list(self, name: String) -> Event {
        let patience = self.session.timeout();
        tokio::time::timeout(patience, self.list_vouched(&name)).await.unwrap_or(Event::Unvouched)
    }

    /// What was read is old where the lease has run out since, as after a pause of this process: it is read again.
    async fn list_vouched(&self, name: &str) -> Event {
        loop {
            self.lease.vouched().await;
            match self.session.list_and_stat(&self.election, name).await {
                Ok(_) if self.lease.is_over() => {}
                Ok((children, own)) => {
                    self.concern.clear();
                    return Event::Listed { children, own: own.map(owner_and_token) };
                }
                Err(Error::NoNode { .. }) => return Event::Listed { children: Vec::new(), own: None },
                Err(error) if error != Error::Lost && !error.is_unknown() => return self.list_refused(&error),
                Err(error) => {
                    if !self.again(&error).await {
                        return Event::SessionLost;
                    }
                }
            }
        }
    }

    /// Returns when the child has changed or is gone, and after [`AUDIT`] in any case: who waits behind another learns then that
    /// somebody deleted its own contender, which it has no watch on.
    pub(super) async fn watch(self, name: String) -> Event {
        let path = child(&self.election, &name);
        loop {
            match self.session.stat_and_watch(&path).await {
                Ok((None, _)) => return Event::WatchFired,
                Ok((Some(_), mut watch)) => {
                    self.concern.clear();
                    let _ = tokio::time::timeout(AUDIT, watch.changed()).await;
                    return Event::WatchFired;
                }
                Err(Error::TooManyWatches { .. }) if self.is_gone(&path).await => return Event::WatchFired,
                Err(error) => {
                    if !self.again(&error).await {
                        return Event::SessionLost;
                    }
                }
            }
        }
    }

    /// Whether the child is gone, as far as can be told: what can't be watched is looked at now and then.
    async fn is_gone(&self, path: &str) -> bool {
        self.session.stat(path).await == Ok(None)
    }

    /// Reads the child's owner and czxid, once the lease vouches for the session; again where it doesn't any more.
    pub(super) async fn verify(self, name: String) -> Event {
        let path = child(&self.election, &name);
        loop {
            self.lease.vouched().await;
            match self.session.stat(&path).await {
                Ok(Some(_)) if self.lease.is_over() => {}
                Ok(stat) => {
                    self.concern.clear();
                    return Event::Verified(stat.map(owner_and_token));
                }
                Err(error) => {
                    if !self.again(&error).await {
                        return Event::SessionLost;
                    }
                }
            }
        }
    }

    /// Whether what failed should be repeated; returns when that may help. False where the session is lost.
    async fn again(&self, error: &Error) -> bool {
        if *error == Error::Lost {
            return false;
        }
        if error.is_unknown() {
            debug!(election = %self.election, %error, "a request is repeated");
        } else {
            let why = refusal(error);
            if self.concern.raise(&format!("a request about its election `{}` is refused: {why}", self.election)) {
                warn!(election = %self.election, %error, "a request is refused and repeated");
            }
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
        settled(self.session.as_ref()).await;
        true
    }
}

/// Says why a request is refused, in the same words however often it is.
fn refusal(error: &Error) -> String {
    match error {
        Error::TooManyWatches { path, limit, .. } => {
            format!("a watch on `{path}` is over the limit of {limit} bytes of watched paths of a session")
        }
        other => other.to_string(),
    }
}

fn owner_and_token(stat: Stat) -> (i64, i64) {
    (stat.ephemeral_owner, stat.czxid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_same_words_whatever_else_the_session_watches() {
        let full = |size| refusal(&Error::TooManyWatches { path: "/e/c".to_owned(), size, limit: 100 });
        assert_eq!(full(101), full(102));
        assert_eq!(full(101), "a watch on `/e/c` is over the limit of 100 bytes of watched paths of a session");
    }
}

//! One process instead of an ensemble: the tree in memory, durable in a redb file.
//!
//! One thread applies what sessions ask, many operations to a commit, and answers only after the commit: what a caller
//! was told survives a kill, and what it reads has been committed. Sessions don't outlive the process, so the ephemeral
//! nodes of an earlier run are gone when the file is opened again.

mod engine;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod watches;
mod world;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::engine::Engine;
use self::session::EmbeddedSession;
use self::store::Store;
use self::world::World;
use super::tree::Tree;
use super::{Coordinator, Error, Session};
use crate::clock::Clock;

/// What a session is told as its timeout, which is never enforced: ZooKeeper's customary 6 s.
const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// A coordinator of this process alone.
pub struct Embedded {
    engine: Arc<Engine>,
    session_timeout: Duration,
    clock: Arc<dyn Clock>,
    place: String,
}

impl Embedded {
    /// Opens what is kept in `dir`, which is made where it is missing. One process at a time.
    ///
    /// # Errors
    /// [`Error::Refused`] names the directory and says why it can't be used: another process has it open, it can't be
    /// written, it was written by a later version.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let place = dir.display().to_string();
        let refused = |why: String| Error::Refused { detail: format!("directory `{place}`: {why}") };
        fs::create_dir_all(dir).map_err(|error| refused(error.to_string()))?;
        let (store, tree) = Store::open(dir).map_err(|error| refused(error.to_string()))?;
        let engine =
            Engine::with_store(World::new(tree, clock.clone()), store).map_err(|error| refused(error.to_string()))?;
        Ok(Embedded {
            engine: Arc::new(engine),
            session_timeout: DEFAULT_SESSION_TIMEOUT,
            clock,
            place: format!("in {place}"),
        })
    }

    /// Keeps nothing. Every operation is done before its future is first ready, on the caller's thread, so a paused or
    /// simulated clock governs all that is built on it.
    pub fn in_memory(clock: Arc<dyn Clock>, session_timeout: Duration) -> Self {
        let engine = Engine::inline(World::new(Tree::new(), clock.clone()));
        Embedded { engine: Arc::new(engine), session_timeout, clock, place: "in memory".to_owned() }
    }

    /// The same with another session timeout.
    #[must_use]
    pub fn with_session_timeout(self, session_timeout: Duration) -> Self {
        Embedded { session_timeout, ..self }
    }
}

#[async_trait]
impl Coordinator for Embedded {
    async fn connect(&self, _patience: Duration) -> Result<Arc<dyn Session>, Error> {
        let opening = self.clock.boot();
        let (id, state) = self.engine.run(World::open_session).await?;
        let engine = Arc::clone(&self.engine);
        Ok(Arc::new(EmbeddedSession { id, timeout: self.session_timeout, opening, state, engine }))
    }

    fn describe(&self) -> String {
        format!("embedded (one process) {}", self.place)
    }
}

/// Faults, for tests of what stands on a coordinator. A session that does not exist is left alone.
impl Embedded {
    /// Ends the session as the server would: it is lost, and its ephemeral nodes go.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire(&self, session: i64) -> Result<(), Error> {
        self.engine.run(move |world| world.end_session(session)).await
    }

    /// Breaks the session's connection: it is disconnected, its calls and its watches wait.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn disconnect(&self, session: i64) -> Result<(), Error> {
        self.engine.run(move |world| world.disconnect(session)).await
    }

    /// Connects it again: its calls go on, and watches that would have fired do so now.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reconnect(&self, session: i64) -> Result<(), Error> {
        self.engine.run(move |world| world.reconnect(session)).await
    }

    /// Does the session's next `count` successful writes and answers each with [`Error::OutcomeUnknown`], as when the
    /// connection breaks before the reply.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn lose_replies(&self, session: i64, count: u32) -> Result<(), Error> {
        self.engine.run(move |world| world.lose_replies(session, count)).await
    }

    /// Gives the next sequential child of `path` this number: for what happens after 2147483647.
    ///
    /// # Errors
    /// [`Error::NoNode`].
    pub async fn set_next_sequence(&self, path: &str, next: i32) -> Result<(), Error> {
        let path = path.to_owned();
        self.engine.run(move |world| world.set_next_sequence(&path, next)).await?
    }
}

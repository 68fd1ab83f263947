//! One process instead of an ensemble: the tree in memory, durable in a redb file.
//!
//! One thread applies what sessions ask, many operations to a commit, and answers only after the commit: what a caller
//! was told survives a kill, and what it reads has been committed. Sessions don't outlive the process, so the ephemeral
//! nodes of an earlier run are gone when the file is opened again.
//!
//! If the disk fails (it is full, say), the sessions are lost and the file is opened again as soon as that succeeds.

mod engine;
mod open_error;
mod recovery;
mod session;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod watches;
mod world;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::engine::Engine;
pub use self::open_error::OpenError;
use self::session::EmbeddedSession;
use self::store::{Store, StoreError};
use self::world::World;
use super::tree::Tree;
use super::{Coordinator, Error, Session};
use crate::clock::Clock;
use crate::files;

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
    /// Returns whether `dir` has the file of a coordinator, in whatever state.
    pub fn is_in(dir: &Path) -> bool {
        // A link that leads nowhere counts too.
        fs::symlink_metadata(store::file_in(dir)).is_ok()
    }

    /// Opens what is kept in `dir`, and makes it if it is missing. One process at a time.
    ///
    /// # Errors
    /// [`OpenError`] names the file and says why it can't be used.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let failed = |error| OpenError::new(&store::file_in(dir), error);
        if !Self::is_in(dir) {
            Store::create(dir, &Tree::new()).map_err(failed)?;
        }
        let (store, tree) = Store::open(dir).map_err(failed)?;
        Self::on(store, tree, dir, clock).map_err(|error| failed(StoreError::Io(error)))
    }

    fn on(store: Store, tree: Tree, dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let engine = Engine::with_store(World::new(tree, clock.clone()), store, dir.to_owned())?;
        let place = format!("in {}", dir.display());
        Ok(Embedded { engine: Arc::new(engine), session_timeout: DEFAULT_SESSION_TIMEOUT, clock, place })
    }

    /// Gives the file in `dir` another name, so that the next [`Self::open`] begins with an empty tree. Returns the new name.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn set_aside(dir: &Path) -> io::Result<PathBuf> {
        let file = store::file_in(dir);
        let mut number = 1;
        let aside = loop {
            let aside = file.with_added_extension(format!("damaged-{number}"));
            if fs::symlink_metadata(&aside).is_err() {
                break aside;
            }
            number += 1;
        };
        fs::rename(&file, &aside)?;
        files::sync_parent(&file)?;
        Ok(aside)
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

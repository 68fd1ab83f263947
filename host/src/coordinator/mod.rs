//! A small ZooKeeper: what the recipes above (election, state, registry, ticks) are written on, once for both
//! implementations. `zookeeper` is what a cluster runs on; `embedded` is one process, durable in a file.
//!
//! It knows nodes, versions, sessions and watches, and nothing of elections or jobs.

mod embedded;
mod error;
mod limits;
mod request;
mod sessions;
mod tree;
mod zookeeper;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

pub use embedded::{Embedded, OpenError};
pub use error::{Error, MultiError};
pub use limits::{MAX_CHILDREN, MAX_MULTI_BYTES, MAX_MULTI_OPS, MAX_PATH_BYTES, MAX_VALUE_BYTES, MAX_WATCHED_BYTES};
pub use sessions::Sessions;
pub use zookeeper::{Resolver, ZooKeeper};

/// What the server knows of a node beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that created the node. Rises over the whole ensemble, so it serves as fencing token.
    pub czxid: i64,
    /// The transaction that last changed the value.
    pub mzxid: i64,
    /// Wall clock of the server at creation, milliseconds since 1970.
    pub ctime_ms: i64,
    /// Wall clock of the server at the last change of the value, milliseconds since 1970.
    pub mtime_ms: i64,
    /// How often the value was changed since creation.
    pub version: i32,
    /// The session that owns the node, 0 for a persistent one.
    pub ephemeral_owner: i64,
    /// How many children the node has.
    pub num_children: i32,
}

/// How long a node lives, and whether the server appends a number to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    /// Lives until deleted.
    Persistent,
    /// Goes with its session.
    Ephemeral,
    /// Lives until deleted; ten digits are appended to its name.
    PersistentSequential,
    /// Goes with its session; ten digits are appended to its name.
    EphemeralSequential,
}

/// One operation of a [`Session::multi`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Fails the multi unless the node exists, at `version` where one is given.
    Check {
        /// Absolute path.
        path: String,
        /// None: any version, the node must just exist.
        version: Option<i32>,
    },
    /// Creates a node.
    Create {
        /// Absolute path; for a sequential mode, without the digits.
        path: String,
        /// At most [`MAX_VALUE_BYTES`].
        data: Vec<u8>,
        /// How long it lives.
        mode: CreateMode,
    },
    /// Sets a node's value.
    Set {
        /// Absolute path.
        path: String,
        /// At most [`MAX_VALUE_BYTES`].
        data: Vec<u8>,
        /// Fails with [`Error::BadVersion`] where another is found.
        version: Option<i32>,
    },
    /// Deletes a node without children.
    Delete {
        /// Absolute path.
        path: String,
        /// Fails with [`Error::BadVersion`] where another is found.
        version: Option<i32>,
    },
}

/// What one operation of a committed multi gave, in the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// The check held.
    Checked,
    /// The path as created, with its digits where it was sequential. (No stat: 3.8.0 returns an invalid one here,
    /// ZOOKEEPER-4026.)
    Created(String),
    /// The node's stat after the change.
    Set(Stat),
    /// It is gone.
    Deleted,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Intermediate: requests are answered.
    Connected,
    /// Intermediate: the server may still hold the session and its nodes; requests wait.
    Disconnected,
    /// Terminal: expired, closed or refused. Its ephemeral nodes are gone, or will be soon.
    Lost,
}

/// Fires once, at the first change after it was set, or when its session is lost. Carries nothing: read again.
///
/// Dropping it removes the watch.
pub struct Watch(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Watch {
    pub(crate) fn new(fired: impl Future<Output = ()> + Send + 'static) -> Self {
        Watch(Some(Box::pin(fired)))
    }

    /// Fires when either of the two does.
    #[must_use]
    pub fn or(self, other: Watch) -> Watch {
        let (mut one, mut other) = (self, other);
        Watch::new(async move {
            tokio::select! {
                () = one.changed() => {}
                () = other.changed() => {}
            }
        })
    }

    /// Waits for the change; returns at once where it has fired before. Cancel-safe as long as `self` is kept (`&mut`).
    pub async fn changed(&mut self) {
        if let Some(fired) = &mut self.0 {
            fired.await;
            self.0 = None;
        }
    }
}

/// Opens sessions.
#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// Opens a new session. Tries until it succeeds or is known to be hopeless (refused authentication, a missing chroot),
    /// but no longer than `patience`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no server opened one in time, [`Error::Refused`] if one answered that none will,
    /// [`Error::Unusable`] while an embedded coordinator can't write its file.
    async fn connect(&self, patience: Duration) -> Result<Arc<dyn Session>, Error>;

    /// For people: `zookeeper 127.0.0.1:2181` or `embedded (one process) in ./data`.
    fn describe(&self) -> String;

    /// How many bytes each path has in addition when it is sent. They count towards [`MAX_WATCHED_BYTES`].
    fn path_overhead(&self) -> usize {
        0
    }
}

/// One session: nodes created as ephemeral live as long as it does.
///
/// All paths are absolute. Every call may fail with [`Error::Lost`] (terminal) or [`Error::OutcomeUnknown`]
/// (the connection broke: it may have been done, and a call whose future was dropped may still be done; look before
/// repeating; what only reads and sets no watch is sent again a few times before it says so). Calls made while
/// disconnected wait for the reconnect.
#[async_trait]
pub trait Session: Send + Sync + 'static {
    /// The id the server gave it.
    fn id(&self) -> i64;

    /// The negotiated timeout T, not the one asked for.
    fn timeout(&self) -> Duration;

    /// When the request that opened the session was about to be sent, on the boot clock. The ensemble counts the session's
    /// first timeout from later than this.
    fn opening(&self) -> Duration;

    /// Follows the session's state. Ends in [`SessionState::Lost`]. If the server answers with another session id, this
    /// session is lost, whatever the client library says.
    fn state(&self) -> watch::Receiver<SessionState>;

    /// Creates a node and gives its path, with the digits where `mode` is sequential.
    ///
    /// # Errors
    /// [`Error::NodeExists`], [`Error::NoNode`] (of the parent), [`Error::ParentEphemeral`], [`Error::TooLarge`].
    async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<String, Error>;

    /// A node's value.
    ///
    /// # Errors
    /// [`Error::NoNode`].
    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), Error>;

    /// A node's stat, None where it does not exist.
    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error>;

    /// Changes a node's value.
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::BadVersion`], [`Error::TooLarge`].
    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error>;

    /// Deletes a node.
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::BadVersion`], [`Error::NotEmpty`].
    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error>;

    /// The names of a node's children, sorted.
    ///
    /// # Errors
    /// [`Error::NoNode`].
    async fn list(&self, path: &str) -> Result<Vec<String>, Error>;

    /// The names of a node's children, sorted, and the stat of the child `name`, None where there is none: in one request,
    /// though not of one moment.
    ///
    /// # Errors
    /// [`Error::NoNode`].
    async fn list_and_stat(&self, path: &str, name: &str) -> Result<(Vec<String>, Option<Stat>), Error>;

    /// The values of many nodes with their stats, in the order of the paths, None where there is no such node: in one request
    /// where the coordinator can, so not too many, though not of one moment.
    ///
    /// # Errors
    /// As of [`Self::get`], but for [`Error::NoNode`].
    async fn get_each(&self, paths: &[String]) -> Result<Vec<Option<(Vec<u8>, Stat)>>, Error> {
        let get = async |path: &String| match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NoNode { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        futures::future::try_join_all(paths.iter().map(get)).await
    }

    /// All or nothing, in order; later operations see the earlier ones.
    ///
    /// # Errors
    /// [`MultiError`] tells which operation failed; then none was done.
    async fn multi(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError>;

    /// A node's value and a watch on its existence and value. None where it does not exist: the watch then fires when
    /// it is created.
    ///
    /// # Errors
    /// [`Error::TooManyWatches`] past [`MAX_WATCHED_BYTES`]; so for the other two.
    async fn get_and_watch(&self, path: &str) -> Result<(Option<(Vec<u8>, Stat)>, Watch), Error>;

    /// A node's stat and a watch on its existence and value.
    async fn stat_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error>;

    /// The names of a node's children, sorted, and a watch on them.
    ///
    /// # Errors
    /// [`Error::NoNode`].
    async fn list_and_watch(&self, path: &str) -> Result<(Vec<String>, Watch), Error>;

    /// Returns when the server this session talks to has caught up with all that was committed before the call.
    async fn sync(&self, path: &str) -> Result<(), Error>;

    /// Closes the session and returns when the server has dropped its ephemeral nodes, or after a bounded time.
    async fn close(&self);
}

/// How long after an unclear failure the same thing is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// For whoever repeats a request whose outcome was not known: returns when that may help, which is a moment later and when
/// the session is connected again, or lost.
pub async fn settled(session: &dyn Session) {
    // The state may lag behind the failure, so a moment passes in any case.
    tokio::time::sleep(RETRY_PAUSE).await;
    let _ = session.state().wait_for(|state| *state != SessionState::Disconnected).await;
}

/// Repeats a request that does the same however often it is done, until its outcome is known or the session is lost.
///
/// # Errors
/// Those of the request, but for [`Error::OutcomeUnknown`].
pub async fn repeat<T, F>(session: &dyn Session, request: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        match request().await {
            Err(error) if error.is_unknown() => settled(session).await,
            answered => return answered,
        }
    }
}

/// Creates `path` and what is missing above it, as empty persistent nodes.
///
/// # Errors
/// As [`Session::create`], but for [`Error::NodeExists`].
pub async fn ensure_path(session: &dyn Session, path: &str) -> Result<(), Error> {
    match session.create(path, b"", CreateMode::Persistent).await {
        Ok(_) | Err(Error::NodeExists { .. }) => return Ok(()),
        Err(Error::NoNode { .. }) => {}
        Err(other) => return Err(other),
    }
    for end in path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]) {
        match session.create(&path[..end], b"", CreateMode::Persistent).await {
            Ok(_) | Err(Error::NodeExists { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

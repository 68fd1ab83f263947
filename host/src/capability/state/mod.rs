//! `wasi:keyvalue`: what a job keeps, one znode a key under the job's own directory.
//!
//! Every write is fenced: it commits in a multi whose first operation is the term's check. In a leader job each write
//! commits at once ([`commit`]); in a scheduled run writes wait in the [`Overlay`] for whoever finishes the run.
//!
//! Reads need no `sync`: a host that leads has seen its predecessor's contender go, and with it every write that was
//! fenced by that contender.
//!
//! It doesn't know what the values mean, nor how a term is won or a run finished.

mod bucket;
mod commit;
mod error;
mod key;
mod overlay;
mod quota;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use bucket::Bucket;
pub use error::StateError;
pub use key::Key;
pub use overlay::StateWrite;

use self::commit::Committed;
use self::overlay::Overlay;
use self::quota::{Quota, Then};
use super::apart::Stack;
use super::budget::Share;
use super::fate::Fate;
use super::gate::Gate;
use super::meter::Meter;
use super::traffic::Asking;
use crate::coordinator::{Error, MAX_VALUE_BYTES, Session, Stat, Watch, repeat};

/// The largest value, in bytes.
pub const MAX_STATE_VALUE_BYTES: usize = MAX_VALUE_BYTES;
/// The most keys of one `get-many`, `set-many` or `delete-many`.
pub const MAX_BATCH_KEYS: usize = 100;
/// The most that one `get-many` answers, in bytes of values.
pub const MAX_BATCH_BYTES: usize = 2 << 20;
/// The most keys that a scheduled run may write.
pub const MAX_BUFFERED_WRITES: usize = 500;
/// The most that a scheduled run may write, in bytes of paths and values. The rest of a multi is for the outcome.
pub const MAX_BUFFERED_BYTES: usize = 512 * 1024;

/// How long a request waits for the connection to the ensemble before it fails.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often a key is looked at that can't be watched, since its session watches all that it may already.
const UNWATCHED: Duration = Duration::from_secs(1);

/// How often a write is repeated whose outcome was not known, or that lost a race.
const MAX_TRIES: usize = 10;

/// Writes that land together: each key with its value, or with none to delete it.
pub type Batch = BTreeMap<Key, Option<Vec<u8>>>;

/// What becomes of a run's state writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateMode {
    /// Each commits at once, in a multi with the term's check: leader jobs.
    Immediate,
    /// They are kept, read back by the run itself, and handed to whoever finishes the run: scheduled jobs.
    Buffered,
}

/// A key as it was read, with its revision: the transaction that last changed it, 0 where it doesn't exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Rises with each change.
    pub revision: u64,
    /// None where the key doesn't exist.
    pub value: Option<Vec<u8>>,
}

/// What one run sees of its job's state.
pub struct State {
    dir: String,
    gate: Arc<Gate>,
    meter: Arc<Meter>,
    asking: Arc<Asking>,
    quota: Quota,
    writes: Writes,
}

/// Where writes go.
enum Writes {
    Immediate,
    Buffered(Overlay),
}

impl State {
    /// The state under `dir` (a path), as a run under `gate` may change it.
    pub fn new(dir: String, gate: Arc<Gate>, mode: StateMode, meter: Arc<Meter>, asking: Arc<Asking>) -> Self {
        let writes = match mode {
            StateMode::Immediate => Writes::Immediate,
            StateMode::Buffered => Writes::Buffered(Overlay::default()),
        };
        State { dir, gate, meter, asking, quota: Quota::default(), writes }
    }

    /// Where the run's calls are made that may go deep.
    pub(super) fn stack(&self) -> Stack {
        match self.writes {
            Writes::Immediate => Stack::Other,
            Writes::Buffered(_) => Stack::Guests,
        }
    }

    /// How the run asks the coordinator.
    pub(super) fn asking(&self) -> &Asking {
        &self.asking
    }

    /// A key's value as this run sees it.
    ///
    /// # Errors
    /// [`StateError`] where the ensemble can't be asked.
    pub async fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StateError> {
        if let Writes::Buffered(overlay) = &self.writes
            && let Some(written) = overlay.get(key)
        {
            return Ok(written.map(<[u8]>::to_vec));
        }
        let _turn = self.asking.turn().await;
        Ok(read(self.gate.session(), &key.path(&self.dir)).await?.map(|(value, _)| value))
    }

    /// True where this run sees the key.
    ///
    /// # Errors
    /// [`StateError`] where the ensemble can't be asked.
    pub async fn exists(&self, key: &Key) -> Result<bool, StateError> {
        if let Writes::Buffered(overlay) = &self.writes
            && let Some(written) = overlay.get(key)
        {
            return Ok(written.is_some());
        }
        let (path, _turn) = (key.path(&self.dir), self.asking.turn().await);
        Ok(asked(self.gate.session(), || self.gate.session().stat(&path)).await?.is_some())
    }

    /// All keys that this run sees, in order.
    ///
    /// # Errors
    /// [`StateError`] where the ensemble can't be asked.
    pub async fn keys(&self) -> Result<BTreeSet<Key>, StateError> {
        let _turn = self.asking.turn().await;
        let mut keys = committed_keys(self.gate.session(), &self.dir).await?;
        if let Writes::Buffered(overlay) = &self.writes {
            overlay.apply_to(&mut keys);
        }
        Ok(keys)
    }

    /// Sets each key to its value, or deletes it where there is none: all of them or none.
    ///
    /// # Errors
    /// [`StateError`] where a limit is passed, the term is over or the ensemble can't be asked.
    pub async fn write(&mut self, batch: Batch) -> Result<(), StateError> {
        for (key, value) in &batch {
            let size = value.as_ref().map_or(0, Vec::len);
            if size > MAX_STATE_VALUE_BYTES {
                return Err(StateError::over("value bytes", Some(key), size, MAX_STATE_VALUE_BYTES));
            }
        }
        let _turn = self.asking.turn().await;
        let then = self.make_room(&batch).await?;
        let written = match &mut self.writes {
            Writes::Immediate => Committed { dir: &self.dir, gate: &self.gate }.write(batch).await,
            Writes::Buffered(overlay) => overlay.write(&self.dir, batch),
        };
        self.account(then, written)
    }

    /// What is known of the job's state after a write.
    fn account<T>(&mut self, then: Then, written: Result<T, StateError>) -> Result<T, StateError> {
        match &written {
            Ok(_) => self.quota.written(then),
            // What was refused has changed nothing.
            Err(StateError::Limit { .. } | StateError::NotANumber { .. } | StateError::Overflow { .. }) => {}
            Err(_) => self.quota.forget(),
        }
        written
    }

    /// Makes sure that the job's state stays within what it may have.
    async fn make_room(&mut self, batch: &Batch) -> Result<Then, StateError> {
        let written = match &self.writes {
            Writes::Immediate => None,
            Writes::Buffered(overlay) => Some(overlay.written()),
        };
        self.quota.hold(self.gate.session(), &self.dir, &self.meter, batch, written).await
    }

    /// Adds to the number that is kept as decimal text under `key`, from 0 where there is none, and gives the sum. No
    /// write that happens meanwhile is lost.
    ///
    /// # Errors
    /// [`StateError`] where the value is no number, the sum is over 64 bits, the term is over or the ensemble can't be
    /// asked.
    pub async fn increment(&mut self, key: &Key, delta: u64) -> Result<u64, StateError> {
        let added = match &mut self.writes {
            Writes::Immediate => return self.increment_at_once(key, delta).await,
            Writes::Buffered(overlay) => overlay.added(key).and_then(|added| added.checked_add(delta)),
        };
        let sum = add(key, self.get(key).await?.as_deref(), delta)?;
        self.write(Batch::from([(key.clone(), Some(sum.to_string().into_bytes()))])).await?;
        if let (Writes::Buffered(overlay), Some(added)) = (&mut self.writes, added) {
            overlay.only_added(key.clone(), added);
        }
        Ok(sum)
    }

    async fn increment_at_once(&mut self, key: &Key, delta: u64) -> Result<u64, StateError> {
        let _turn = self.asking.turn().await;
        let then = self.make_room(&Batch::from([(key.clone(), Some(u64::MAX.to_string().into_bytes()))])).await?;
        let sum = Committed { dir: &self.dir, gate: &self.gate }.increment(key, delta).await;
        self.account(then, sum)
    }

    /// Opens a watch on what is committed under `key`. What a scheduled run wrote itself is not committed yet, and is
    /// not seen here.
    pub fn watch(&self, key: &Key) -> KeyWatch {
        let (session, path) = (self.gate.session().clone(), key.path(&self.dir));
        KeyWatch { room: self.asking.watch(&path), asking: self.asking.clone(), session, path }
    }

    /// The writes that wait for the run's end, in key order.
    pub fn into_writes(self) -> Vec<StateWrite> {
        match self.writes {
            Writes::Immediate => Vec::new(),
            Writes::Buffered(overlay) => overlay.into_writes(&self.dir),
        }
    }
}

/// Follows one key.
pub struct KeyWatch {
    session: Arc<dyn Session>,
    path: String,
    asking: Arc<Asking>,
    /// None where it may only be looked at.
    room: Option<Share>,
}

impl KeyWatch {
    /// Waits until the key is no longer as it was at revision `seen`; with none, gives it as it is now.
    ///
    /// # Errors
    /// [`StateError`] where the ensemble can't be asked.
    pub async fn changed(&self, seen: Option<u64>) -> Result<Entry, StateError> {
        loop {
            let (entry, watch) = self.look().await?;
            if seen != Some(entry.revision) {
                return Ok(entry);
            }
            match watch {
                Some(mut watch) => watch.changed().await,
                None => tokio::time::sleep(UNWATCHED).await,
            }
        }
    }

    // A wait lasts as long as its guest likes, so what it asks isn't held to the patience of a request.

    async fn look(&self) -> Result<(Entry, Option<Watch>), Error> {
        let _turn = self.asking.turn().await;
        if self.room.is_none() {
            return Ok((self.read().await?, None));
        }
        match repeat(self.session.as_ref(), || self.session.get_and_watch(&self.path)).await {
            Ok((found, watch)) => Ok((Entry::of(found), Some(watch))),
            Err(Error::TooManyWatches { .. }) => Ok((self.read().await?, None)),
            Err(error) => Err(error),
        }
    }

    async fn read(&self) -> Result<Entry, Error> {
        let get = || async { if_present(self.session.get(&self.path).await) };
        Ok(Entry::of(repeat(self.session.as_ref(), get).await?))
    }
}

impl Entry {
    fn of(found: Option<(Vec<u8>, Stat)>) -> Self {
        match found {
            Some((value, stat)) => Entry { revision: stat.mzxid.unsigned_abs(), value: Some(value) },
            None => Entry { revision: 0, value: None },
        }
    }
}

/// A node's value, None where it doesn't exist.
async fn read(session: &Arc<dyn Session>, path: &str) -> Result<Option<(Vec<u8>, Stat)>, StateError> {
    asked(session, || async { if_present(session.get(path).await) }).await
}

/// The same, once the server that the session talks to has caught up: after a reconnect it may be one that lags behind.
async fn read_newest(session: &Arc<dyn Session>, path: &str) -> Result<Option<(Vec<u8>, Stat)>, StateError> {
    let newest = || async {
        session.sync(path).await?;
        session.get(path).await
    };
    asked(session, || async { if_present(newest().await) }).await
}

/// The keys that are committed under `dir`.
async fn committed_keys(session: &Arc<dyn Session>, dir: &str) -> Result<BTreeSet<Key>, StateError> {
    let names = asked(session, || async { if_present(session.list(dir).await) }).await?.unwrap_or_default();
    Ok(names.iter().filter_map(|name| Key::from_node_name(name)).collect())
}

fn if_present<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NoNode { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// What a request gives that only reads, or does the same however often it is done; sent again while its outcome is not
/// known, for at most [`PATIENCE`].
async fn asked<T, F>(session: &Arc<dyn Session>, request: impl Fn() -> F) -> Result<T, StateError>
where
    F: Future<Output = Result<T, Error>>,
{
    within_patience(repeat(session.as_ref(), request)).await
}

/// What a request gives that changes nothing, in at most [`PATIENCE`].
pub(super) async fn within_patience<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, StateError> {
    Ok(tokio::time::timeout(PATIENCE, request).await.map_err(|_| Fate::Unproven)??)
}

/// `delta` more than the number in `value`.
fn add(key: &impl ToString, value: Option<&[u8]>, delta: u64) -> Result<u64, StateError> {
    let number = match value {
        None => 0,
        Some(text) => str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| StateError::NotANumber { key: key.to_string() })?,
    };
    number.checked_add(delta).ok_or_else(|| StateError::Overflow { key: key.to_string(), delta })
}

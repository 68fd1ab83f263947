//! The writes of a scheduled run, kept until the run is finished.

use std::collections::{BTreeMap, BTreeSet};

use super::error::StateError;
use super::key::Key;
use super::{Batch, MAX_BUFFERED_BYTES, MAX_BUFFERED_WRITES, add};

/// A write that a buffered run wants done with its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWrite {
    /// The key's znode.
    pub path: String,
    /// None deletes it.
    pub value: Option<Vec<u8>>,
    /// All that the run did here was to add this. `value` is the sum that it saw; where another run of the job was finished
    /// meanwhile, it is added to what that one left.
    pub added: Option<u64>,
}

impl StateWrite {
    /// What the key is to hold, where it holds `now` when the run is finished.
    ///
    /// # Errors
    /// [`StateError`] where it is to be added to what is no number by then, or is too large.
    pub fn value_on(&self, now: Option<&[u8]>) -> Result<Option<Vec<u8>>, StateError> {
        let Some(added) = self.added else { return Ok(self.value.clone()) };
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        Ok(Some(add(&name, now, added)?.to_string().into_bytes()))
    }
}

/// What a run has written, one entry a key.
#[derive(Default)]
pub(super) struct Overlay {
    written: Batch,
    /// Of the keys that the run has only added to: how much.
    added: BTreeMap<Key, u64>,
    bytes: usize,
}

impl Overlay {
    /// What the run wrote under `key`: None if nothing, `Some(None)` if it deleted it.
    pub(super) fn get(&self, key: &Key) -> Option<Option<&[u8]>> {
        self.written.get(key).map(Option::as_deref)
    }

    /// Turns the committed keys into those that the run sees.
    pub(super) fn apply_to(&self, keys: &mut BTreeSet<Key>) {
        for (key, value) in &self.written {
            match value {
                Some(_) => keys.insert(key.clone()),
                None => keys.remove(key),
            };
        }
    }

    /// All that the run wrote.
    pub(super) fn written(&self) -> &Batch {
        &self.written
    }

    /// Keeps a batch, all of it or none.
    pub(super) fn write(&mut self, dir: &str, batch: Batch) -> Result<(), StateError> {
        let (mut count, mut bytes) = (self.written.len(), self.bytes);
        for (key, value) in &batch {
            match self.written.get(key) {
                Some(before) => bytes -= cost(dir, key, before),
                None => count += 1,
            }
            bytes += cost(dir, key, value);
        }
        if count > MAX_BUFFERED_WRITES {
            return Err(StateError::over("keys written by one run", None, count, MAX_BUFFERED_WRITES));
        }
        if bytes > MAX_BUFFERED_BYTES {
            return Err(StateError::over("bytes written by one run", None, bytes, MAX_BUFFERED_BYTES));
        }
        self.added.retain(|key, _| !batch.contains_key(key));
        self.written.extend(batch);
        self.bytes = bytes;
        Ok(())
    }

    /// How much the run has added to a key, where that is all it did there so far.
    pub(super) fn added(&self, key: &Key) -> Option<u64> {
        if self.written.contains_key(key) { self.added.get(key).copied() } else { Some(0) }
    }

    /// The key was written last with what it held and `added`, all that the run has added.
    pub(super) fn only_added(&mut self, key: Key, added: u64) {
        self.added.insert(key, added);
    }

    /// The writes, in key order.
    pub(super) fn into_writes(self, dir: &str) -> Vec<StateWrite> {
        let write =
            |(key, value): (Key, _)| StateWrite { path: key.path(dir), value, added: self.added.get(&key).copied() };
        self.written.into_iter().map(write).collect()
    }
}

/// What a write adds to a multi, in bytes.
fn cost(dir: &str, key: &Key, value: &Option<Vec<u8>>) -> usize {
    key.path(dir).len() + value.as_ref().map_or(0, Vec::len)
}

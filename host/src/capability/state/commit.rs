//! Writes that commit at once, each in one multi behind the term's check.
//!
//! ZooKeeper has no "create or set", so a write guesses which of the two each key needs, and mends the guess that the
//! multi's error names. A write whose outcome is not known is sent again: it sets the same values, and a job has one
//! writer, so twice is as good as once. Only `increment` has to look first. Where it can't be sent again, its outcome stays
//! unknown: that a later try was refused says nothing of the first.

use tokio::time::timeout;

use super::error::StateError;
use super::key::Key;
use super::{Batch, MAX_TRIES, PATIENCE, add, asked, committed_keys, read, read_newest};
use crate::capability::fate::Fate;
use crate::capability::gate::Gate;
use crate::coordinator::{CreateMode, Error, MultiError, Op, ensure_path, settled};

/// The committed state of a job, to be written.
pub(super) struct Committed<'a> {
    pub(super) dir: &'a str,
    pub(super) gate: &'a Gate,
}

/// Whether a key is thought to have a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    Present,
    Absent,
}

/// How one multi went.
enum Sent {
    Done,
    /// Operation `index` failed, so nothing was done; the check is not counted.
    Mistaken {
        index: usize,
        error: Error,
    },
    /// It may have been done.
    Unknown,
}

impl Committed<'_> {
    /// Does all of a batch or none.
    pub(super) async fn write(&self, batch: Batch) -> Result<(), StateError> {
        let mut in_doubt = false;
        self.try_write(&batch, &mut in_doubt).await.map_err(|error| told(error, in_doubt))
    }

    async fn try_write(&self, batch: &Batch, in_doubt: &mut bool) -> Result<(), StateError> {
        let keys: Vec<&Key> = batch.keys().collect();
        let mut guesses = self.guesses(&keys).await?;
        // Each mistaken try mends one guess; others can't be mistaken more often than there are keys and tries.
        for _ in 0..batch.len() + MAX_TRIES {
            let ops: Vec<(&Key, Op)> = batch
                .iter()
                .zip(&guesses)
                .filter_map(|((key, value), guess)| Some((key, self.op(key, value.as_deref(), *guess)?)))
                .collect();
            let touched: Vec<&Key> = ops.iter().map(|(key, _)| *key).collect();
            let ops = ops.into_iter().map(|(_, op)| op).collect();
            match self.send(ops).await? {
                Sent::Done => return Ok(()),
                Sent::Unknown => *in_doubt = true,
                Sent::Mistaken { index, error } => {
                    let at = keys.iter().position(|key| *key == touched[index]).unwrap_or(index);
                    guesses[at] = self.mend(guesses[at], error).await?;
                }
            }
        }
        Err(StateError::Contended { key: keys[0].to_string(), tries: MAX_TRIES })
    }

    /// Adds `delta` at the version that was read, again and again until nobody wrote in between.
    pub(super) async fn increment(&self, key: &Key, delta: u64) -> Result<u64, StateError> {
        let mut in_doubt = false;
        self.try_increment(key, delta, &mut in_doubt).await.map_err(|error| told(error, in_doubt))
    }

    async fn try_increment(&self, key: &Key, delta: u64, in_doubt: &mut bool) -> Result<u64, StateError> {
        let path = key.path(self.dir);
        for _ in 0..MAX_TRIES {
            let found = read(self.gate.session(), &path).await?;
            let sum = add(key, found.as_ref().map(|(value, _)| value.as_slice()), delta)?;
            let data = sum.to_string().into_bytes();
            let (op, next_version) = match &found {
                Some((_, stat)) => {
                    let set = Op::Set { path: path.clone(), data: data.clone(), version: Some(stat.version) };
                    (set, stat.version.wrapping_add(1))
                }
                None => (Op::Create { path: path.clone(), data: data.clone(), mode: CreateMode::Persistent }, 0),
            };
            match self.send(vec![op]).await? {
                Sent::Done => return Ok(sum),
                Sent::Unknown => {
                    *in_doubt = true;
                    // The job has one writer, so its next version with this very value is this write.
                    let now = read_newest(self.gate.session(), &path).await?;
                    if now.is_some_and(|(value, stat)| stat.version == next_version && value == data) {
                        return Ok(sum);
                    }
                    *in_doubt = false;
                }
                Sent::Mistaken { error: Error::NoNode { .. }, .. } if found.is_none() => self.make_dir().await?,
                Sent::Mistaken {
                    error: Error::BadVersion { .. } | Error::NodeExists { .. } | Error::NoNode { .. },
                    ..
                } => {}
                Sent::Mistaken { error, .. } => return Err(error.into()),
            }
        }
        Err(StateError::Contended { key: key.to_string(), tries: MAX_TRIES })
    }

    /// One key is taken to be there, which most often is so; of several, the directory tells.
    async fn guesses(&self, keys: &[&Key]) -> Result<Vec<Guess>, StateError> {
        if keys.len() <= 1 {
            return Ok(vec![Guess::Present; keys.len()]);
        }
        let present = committed_keys(self.gate.session(), self.dir).await?;
        let guess = |key: &&Key| if present.contains(*key) { Guess::Present } else { Guess::Absent };
        Ok(keys.iter().map(guess).collect())
    }

    /// What makes `key` hold `value`; None where nothing is to be done.
    fn op(&self, key: &Key, value: Option<&[u8]>, guess: Guess) -> Option<Op> {
        let path = key.path(self.dir);
        match (value, guess) {
            (Some(data), Guess::Present) => Some(Op::Set { path, data: data.to_vec(), version: None }),
            (Some(data), Guess::Absent) => Some(Op::Create { path, data: data.to_vec(), mode: CreateMode::Persistent }),
            (None, Guess::Present) => Some(Op::Delete { path, version: None }),
            (None, Guess::Absent) => None,
        }
    }

    /// The guess that `error` suggests.
    async fn mend(&self, guess: Guess, error: Error) -> Result<Guess, StateError> {
        match (guess, error) {
            (Guess::Present, Error::NoNode { .. }) => Ok(Guess::Absent),
            (Guess::Absent, Error::NodeExists { .. }) => Ok(Guess::Present),
            (Guess::Absent, Error::NoNode { .. }) => {
                self.make_dir().await?;
                Ok(Guess::Absent)
            }
            (_, other) => Err(other.into()),
        }
    }

    /// Sends one fenced multi.
    async fn send(&self, ops: Vec<Op>) -> Result<Sent, StateError> {
        self.gate.pass(PATIENCE).await?;
        let fenced = [self.gate.check()].into_iter().chain(ops).collect();
        let session = self.gate.session();
        let error = match session.multi(fenced).await {
            Ok(_) => return Ok(Sent::Done),
            Err(MultiError::Op { index: 0, source: Error::NoNode { .. } }) => return Err(Fate::Refused.into()),
            Err(MultiError::Op { index, source: error }) if index > 0 => {
                return Ok(Sent::Mistaken { index: index - 1, error });
            }
            Err(error) => error.into_error(),
        };
        match error {
            Error::OutcomeUnknown { .. } => match timeout(PATIENCE, settled(session.as_ref())).await {
                Ok(()) => Ok(Sent::Unknown),
                Err(_) => Err(Fate::Unknown.into()),
            },
            // Its session went under it.
            Error::Lost => Err(Fate::Unknown.into()),
            other => Err(other.into()),
        }
    }

    /// Creates the job's directory. An empty one that a deposed leader leaves harms nobody, so this needs no fence.
    async fn make_dir(&self) -> Result<(), StateError> {
        let session = self.gate.session();
        asked(session, || ensure_path(session.as_ref(), self.dir)).await?;
        tracing::warn!(node = self.dir, "the directory of a job's keys was missing, and is made again");
        Ok(())
    }
}

/// An error as it stands after all tries, of which one may have done what the last one didn't.
fn told(error: StateError, in_doubt: bool) -> StateError {
    if in_doubt { Fate::Unknown.into() } else { error }
}

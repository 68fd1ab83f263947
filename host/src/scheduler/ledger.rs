//! A job's run state in the coordinator, changed only by fenced multis.

use std::sync::Arc;

use thiserror::Error;
use tracing::{debug, warn};

use crate::capability::Gate;
use crate::coordinator::{CreateMode, Error, MultiError, Op};
use crate::history::RunState;
use crate::runtime::StateWrite;

/// Why the run state was not changed.
#[derive(Debug, Error)]
pub(super) enum Setback {
    /// This host leads the group no more.
    #[error("leadership is lost")]
    Lost,
    /// The job was changed or deleted since its spec was read.
    #[error("the job has changed")]
    JobChanged,
    /// The coordinator refused it.
    #[error(transparent)]
    Refused(Error),
}

/// The run state of one job, as this term knows it.
pub(super) struct Ledger {
    gate: Arc<Gate>,
    path: String,
    state: RunState,
    /// None while the node doesn't exist.
    version: Option<i32>,
}

/// How often a multi is tried again after its outcome was found to be "not done".
const TRIES: u32 = 5;

impl Ledger {
    /// Reads the job's run state.
    ///
    /// # Errors
    /// [`Setback::Lost`] with the session, [`Setback::Refused`] otherwise.
    pub(super) async fn load(gate: Arc<Gate>, path: String) -> Result<Self, Setback> {
        let mut ledger = Ledger { gate, path, state: RunState::default(), version: None };
        ledger.reload().await.map_err(setback)?;
        Ok(ledger)
    }

    /// The state as it stands.
    pub(super) fn state(&self) -> &RunState {
        &self.state
    }

    async fn reload(&mut self) -> Result<(), Error> {
        (self.state, self.version) = match self.gate.session().get(&self.path).await {
            Ok((value, stat)) => (self.parse(&value), Some(stat.version)),
            Err(Error::NoNode { .. }) => (RunState::default(), None),
            Err(other) => return Err(other),
        };
        Ok(())
    }

    fn parse(&self, value: &[u8]) -> RunState {
        RunState::from_bytes(value).unwrap_or_else(|error| {
            warn!(path = self.path, %error, "a run state can't be read and is begun anew");
            RunState::default()
        })
    }

    /// Makes `next` the state, in one multi with the term's check, `conditions`, and the state writes of a run. The state
    /// writes are created or set as what is there demands.
    ///
    /// # Errors
    /// [`Setback::Lost`] where the term is over, [`Setback::JobChanged`] where a condition fails, and
    /// [`Setback::Refused`]; nothing was changed then.
    pub(super) async fn commit(
        &mut self,
        next: RunState,
        conditions: &[Op],
        writes: &[StateWrite],
    ) -> Result<(), Setback> {
        let mut why = String::new();
        for _ in 0..TRIES {
            if self.gate.is_over() && writes.is_empty() && !conditions.is_empty() {
                return Err(Setback::Lost);
            }
            let ops = self.ops(&next, conditions, writes).await.map_err(setback)?;
            match self.gate.session().multi(ops).await {
                Ok(_) => {
                    self.committed(next);
                    return Ok(());
                }
                Err(MultiError::Op { index: 0, .. }) => return Err(Setback::Lost),
                Err(MultiError::Op { index, .. }) if index <= conditions.len() => return Err(Setback::JobChanged),
                // A key came or went since it was looked at, or the state is not as we knew it.
                Err(MultiError::Op { index, source }) => {
                    debug!(path = self.path, index, error = %source, "a multi is tried again");
                    why = source.to_string();
                    if self.is_committed(&next).await.map_err(setback)? {
                        self.committed(next);
                        return Ok(());
                    }
                }
                Err(MultiError::Whole(error)) if error.is_unknown() => {
                    why = error.to_string();
                    if self.is_committed(&next).await.map_err(setback)? {
                        self.committed(next);
                        return Ok(());
                    }
                }
                Err(MultiError::Whole(error)) => return Err(setback(error)),
            }
        }
        Err(Setback::Refused(Error::Refused { detail: format!("`{}` was tried {TRIES} times: {why}", self.path) }))
    }

    fn committed(&mut self, next: RunState) {
        self.state = next;
        self.version = Some(self.version.map_or(0, |version| version + 1));
    }

    /// Looks whether a multi whose outcome is not known was done: then the node holds just what it wrote, one version on.
    /// Every state differs from the one before, by a nonce or a time.
    async fn is_committed(&self, next: &RunState) -> Result<bool, Error> {
        let session = self.gate.session();
        loop {
            let looked = async {
                session.sync(&self.path).await?;
                session.get(&self.path).await
            };
            match looked.await {
                Ok((value, stat)) => {
                    let expected = self.version.map_or(0, |version| version + 1);
                    return Ok(stat.version == expected && value == next.to_bytes());
                }
                Err(Error::NoNode { .. }) => return Ok(false),
                Err(error) if error.is_unknown() => tokio::task::yield_now().await,
                Err(other) => return Err(other),
            }
        }
    }

    async fn ops(&self, next: &RunState, conditions: &[Op], writes: &[StateWrite]) -> Result<Vec<Op>, Error> {
        let (path, data) = (self.path.clone(), next.to_bytes());
        let set = match self.version {
            Some(version) => Op::Set { path, data, version: Some(version) },
            None => Op::Create { path, data, mode: CreateMode::Persistent },
        };
        let looks = writes.iter().map(|write| self.write_op(write));
        let writes = futures::future::try_join_all(looks).await?;
        Ok([self.gate.check()]
            .into_iter()
            .chain(conditions.iter().cloned())
            .chain([set])
            .chain(writes.into_iter().flatten())
            .collect())
    }

    /// None where there is nothing to do: a delete of what isn't there.
    async fn write_op(&self, write: &StateWrite) -> Result<Option<Op>, Error> {
        let path = write.path.clone();
        let exists = self.gate.session().stat(&path).await?.is_some();
        Ok(match (&write.value, exists) {
            (Some(data), true) => Some(Op::Set { path, data: data.clone(), version: None }),
            (Some(data), false) => Some(Op::Create { path, data: data.clone(), mode: CreateMode::Persistent }),
            (None, true) => Some(Op::Delete { path, version: None }),
            (None, false) => None,
        })
    }
}

fn setback(error: Error) -> Setback {
    match error {
        Error::Lost => Setback::Lost,
        other => Setback::Refused(other),
    }
}

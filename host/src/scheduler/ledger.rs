//! A job's run state in the coordinator, changed only by fenced multis.

use std::sync::Arc;

use thiserror::Error;
use tracing::{debug, warn};

use crate::capability::Gate;
use crate::coordinator::{CreateMode, Error, MultiError, Op, ensure_path, repeat, settled};
use crate::history::RunState;
use crate::runtime::StateWrite;

/// Why the run state was not changed.
#[derive(Debug, Error)]
pub(super) enum Setback {
    /// This host leads the group no more: nothing was changed.
    #[error("leadership is lost")]
    Lost,
    /// The session was lost before the answer came, so it may have been changed. The next leader finds out.
    #[error("the session was lost before the answer came")]
    Unknown,
    /// The job was changed or deleted since its spec was read: nothing was changed.
    #[error("the job has changed")]
    JobChanged,
    /// The run state is not as this term left it, or went with its job: nothing was changed. Load it anew.
    #[error("the job's run state was changed or deleted")]
    StateChanged,
    /// The coordinator refused it: nothing was changed.
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

/// How often a multi is tried whose guesses at which keys exist turn out wrong.
const TRIES: u32 = 5;

/// How one multi went.
enum Sent {
    Done,
    /// It may have been done.
    Unknown,
    /// A key came or went since it was looked at.
    Mistaken(Error),
    Failed(Setback),
}

impl Ledger {
    /// Reads the job's run state.
    ///
    /// # Errors
    /// [`Setback::Lost`] with the session, [`Setback::Refused`] otherwise.
    pub(super) async fn load(gate: Arc<Gate>, path: String) -> Result<Self, Setback> {
        let found = repeat(gate.session().as_ref(), || gate.session().get(&path)).await;
        let (state, version) = match found {
            Ok((value, stat)) => (parse(&path, &value), Some(stat.version)),
            Err(Error::NoNode { .. }) => (RunState::default(), None),
            Err(other) => return Err(setback(other)),
        };
        Ok(Ledger { gate, path, state, version })
    }

    /// The state as it stands.
    pub(super) fn state(&self) -> &RunState {
        &self.state
    }

    /// Makes `next` the state, in one multi with the term's check, the condition where there is one, and the state writes of
    /// a run. The state writes are created or set as what is there demands. While the outcome is not known it looks, and
    /// tries again, for as long as the session lives.
    ///
    /// What has a condition begins or decides something, and is not even tried once the term is over; what has none
    /// records how something ended.
    ///
    /// # Errors
    /// [`Setback`]: [`Setback::JobChanged`] where the condition fails.
    pub(super) async fn commit(
        &mut self,
        next: RunState,
        condition: Option<&Op>,
        writes: &[StateWrite],
    ) -> Result<(), Setback> {
        let mut mistake = None;
        for _ in 0..TRIES {
            match self.try_commit(&next, condition, writes).await? {
                None => {
                    self.state = next;
                    self.version = Some(self.next_version());
                    return Ok(());
                }
                Some(error) => {
                    debug!(path = self.path, %error, "a multi is tried again");
                    self.make_place(&error).await?;
                    mistake = Some(error);
                }
            }
        }
        let why = mistake.map_or_else(String::new, |error| error.to_string());
        let detail = format!("`{}` was tried {TRIES} times: {why}", self.path);
        Err(Setback::Refused(Error::Refused { detail }))
    }

    /// None when it is done; an error that another try may avoid otherwise.
    async fn try_commit(
        &self,
        next: &RunState,
        condition: Option<&Op>,
        writes: &[StateWrite],
    ) -> Result<Option<Error>, Setback> {
        loop {
            if self.gate.is_over() && condition.is_some() {
                return Err(Setback::Lost);
            }
            let ops = self.ops(next, condition, writes).await.map_err(setback)?;
            match self.send(ops, condition.is_some()).await {
                Sent::Done => return Ok(None),
                Sent::Mistaken(error) => return Ok(Some(error)),
                Sent::Failed(setback) => return Err(setback),
                Sent::Unknown => {
                    settled(self.gate.session().as_ref()).await;
                    if self.is_committed(next).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn send(&self, ops: Vec<Op>, has_condition: bool) -> Sent {
        let state_at = if has_condition { 2 } else { 1 };
        let (index, error) = match self.gate.session().multi(ops).await {
            Ok(_) => return Sent::Done,
            Err(MultiError::Whole(Error::Lost)) => return Sent::Failed(Setback::Unknown),
            Err(MultiError::Whole(error)) if error.is_unknown() => return Sent::Unknown,
            Err(MultiError::Whole(error)) => return Sent::Failed(Setback::Refused(error)),
            Err(MultiError::Op { index, source }) => (index, source),
        };
        match error {
            Error::NoNode { .. } | Error::NodeExists { .. } | Error::BadVersion { .. } => match index {
                0 => Sent::Failed(Setback::Lost),
                _ if index < state_at => Sent::Failed(Setback::JobChanged),
                _ if index == state_at => Sent::Failed(Setback::StateChanged),
                _ => Sent::Mistaken(error),
            },
            other => Sent::Failed(Setback::Refused(other)),
        }
    }

    fn next_version(&self) -> i32 {
        self.version.map_or(0, |version| version.wrapping_add(1))
    }

    /// Looks whether a multi whose outcome is not known was done: then the node holds just what it wrote, one version on.
    /// Every state differs from the one before, by a nonce or a time.
    async fn is_committed(&self, next: &RunState) -> Result<bool, Setback> {
        let session = self.gate.session();
        let look = || async {
            session.sync(&self.path).await?;
            session.get(&self.path).await
        };
        match repeat(session.as_ref(), look).await {
            Ok((value, stat)) => Ok(stat.version == self.next_version() && value == next.to_bytes()),
            Err(Error::NoNode { .. }) => Ok(false),
            Err(Error::Lost) => Err(Setback::Unknown),
            Err(other) => Err(Setback::Refused(other)),
        }
    }

    async fn ops(&self, next: &RunState, condition: Option<&Op>, writes: &[StateWrite]) -> Result<Vec<Op>, Error> {
        let (path, data) = (self.path.clone(), next.to_bytes());
        let set = match self.version {
            Some(version) => Op::Set { path, data, version: Some(version) },
            None => Op::Create { path, data, mode: CreateMode::Persistent },
        };
        let looks = writes.iter().map(|write| self.write_op(write));
        let writes = futures::future::try_join_all(looks).await?;
        Ok([self.gate.check()]
            .into_iter()
            .chain(condition.cloned())
            .chain([set])
            .chain(writes.into_iter().flatten())
            .collect())
    }

    /// None where there is nothing to do: a delete of what isn't there.
    async fn write_op(&self, write: &StateWrite) -> Result<Option<Op>, Error> {
        let session = self.gate.session();
        let path = write.path.clone();
        let exists = repeat(session.as_ref(), || session.stat(&path)).await?.is_some();
        Ok(match (&write.value, exists) {
            (Some(data), true) => Some(Op::Set { path, data: data.clone(), version: None }),
            (Some(data), false) => Some(Op::Create { path, data: data.clone(), mode: CreateMode::Persistent }),
            (None, true) => Some(Op::Delete { path, version: None }),
            (None, false) => None,
        })
    }

    /// A key that can't be created may lack its directory: a job that was deleted and made again at once loses it to the
    /// deletion's last step.
    async fn make_place(&self, mistake: &Error) -> Result<(), Setback> {
        let Error::NoNode { path } = mistake else { return Ok(()) };
        let Some((directory, _)) = path.rsplit_once('/') else { return Ok(()) };
        let session = self.gate.session().as_ref();
        repeat(session, || ensure_path(session, directory)).await.map_err(setback)
    }
}

fn parse(path: &str, value: &[u8]) -> RunState {
    RunState::from_bytes(value).unwrap_or_else(|error| {
        warn!(path, %error, "a run state can't be read and is begun anew");
        RunState::default()
    })
}

/// Of a request that changes nothing.
pub(super) fn setback(error: Error) -> Setback {
    match error {
        Error::Lost => Setback::Lost,
        other => Setback::Refused(other),
    }
}

//! What the terms of a leader job leave in its run state: that one has begun, and with its release how it ended. A term that
//! has begun there and not ended had no clean end.

use std::sync::Arc;

use tracing::warn;

use crate::capability::Gate;
use crate::clock::Clock;
use crate::coordinator::{CreateMode, Error, MultiError, Op, ensure_path, repeat, settled};
use crate::history::{History, KEPT_RUNS, RunRecord, RunState, Running};
use crate::registry::JobId;

/// How often a term's beginning is written again where somebody else changed the job's run state meanwhile, or the reply was
/// lost.
const WRITE_TRIES: u32 = 5;

/// The run state of one leader job, as a term of it writes it.
pub(super) struct TermBook<'a> {
    pub job: &'a JobId,
    /// Of the run state.
    pub path: String,
    pub history: &'a History,
    pub clock: &'a Arc<dyn Clock>,
}

/// The run state as this term wrote it.
pub(super) struct Begun {
    state: RunState,
    version: i32,
}

impl TermBook<'_> {
    /// Returns why the term before had no clean end, as far as the run state tells; None if it had one, or there was none. Repeated
    /// until it is answered.
    pub(super) async fn unclean_end(&self, gate: &Gate) -> Result<Option<String>, Error> {
        let session = gate.session();
        let value = match repeat(session.as_ref(), || session.get(&self.path)).await {
            Ok((value, _)) => value,
            // It is made with the job, so somebody deleted it, and with it the word of how the last term ended.
            Err(Error::NoNode { .. }) => return Ok(Some("the run state was deleted".to_owned())),
            Err(other) => return Err(other),
        };
        Ok(match RunState::from_bytes(&value) {
            Ok(state) => state.running.map(|running| {
                let RunRecord { run, host, .. } = running.record;
                format!("host `{host}` began {run} and did not release it in order")
            }),
            // Nothing speaks for a clean end.
            Err(error) => Some(format!("the run state can't be read: {error}")),
        })
    }

    /// Writes that this term has begun, and tells how the one before ended, or that it never did: its own record may be lost
    /// with its host. None where it can't be written.
    pub(super) async fn write_beginning(&self, gate: &Gate, record: &RunRecord) -> Option<Begun> {
        let mut before = None;
        for _ in 0..WRITE_TRIES {
            match self.try_write_beginning(gate, record, &mut before).await {
                Ok(Some(begun)) => {
                    if let Some(before) = before {
                        self.history.record(self.job, before, KEPT_RUNS);
                    }
                    return Some(begun);
                }
                // Its directory was missing, and is there now.
                Ok(None) => {}
                // Others changed it, or it may be done: the next try sees which.
                Err(Error::BadVersion { .. } | Error::NodeExists { .. }) => {}
                Err(error) if error.is_unknown() => settled(gate.session().as_ref()).await,
                Err(error) => {
                    warn!(job = %self.job, token = gate.token(), %error, "a term's beginning was not written");
                    return None;
                }
            }
        }
        warn!(job = %self.job, token = gate.token(), "a term's beginning was not written after several tries");
        None
    }

    /// None if the directory of run states was missing and had to be made again.
    async fn try_write_beginning(
        &self,
        gate: &Gate,
        record: &RunRecord,
        before: &mut Option<RunRecord>,
    ) -> Result<Option<Begun>, Error> {
        let session = gate.session();
        let path = self.path.clone();
        let (mut state, version) = match session.get(&path).await {
            Ok((value, stat)) => (read_state(self.job, &value), Some(stat.version)),
            Err(Error::NoNode { .. }) => (RunState::default(), None),
            Err(other) => return Err(other),
        };
        if let Some(version) = version
            && state.running.as_ref().is_some_and(|running| running.record.run == record.run)
        {
            // Written by a try whose reply was lost.
            return Ok(Some(Begun { state, version }));
        }
        state.take_abandoned(self.clock.wall());
        *before = state.outcomes.front().cloned();
        state.running = Some(Running { record: record.clone(), nonce: String::new() });
        let data = state.to_bytes();
        let write = match version {
            Some(version) => Op::Set { path, data, version: Some(version) },
            None => Op::Create { path, data, mode: CreateMode::Persistent },
        };
        match session.multi(vec![gate.check(), write]).await {
            Ok(_) => Ok(Some(Begun { state, version: version.map_or(0, |version| version.wrapping_add(1)) })),
            // The check of the contender comes first, so this is of the run state.
            Err(MultiError::Op { index: 1, source: Error::NoNode { .. } }) if version.is_none() => {
                let directory = self.path.rsplit_once('/').map_or("", |(directory, _)| directory);
                ensure_path(session.as_ref(), directory).await?;
                warn!(job = %self.job, node = directory, "the directory of run states was deleted, and is made again");
                Ok(None)
            }
            Err(error) => Err(error.into_error()),
        }
    }

    /// How the term ended: to be written in one multi with its release, which makes it a clean end.
    pub(super) fn last_words(&self, begun: Begun, ended: RunRecord) -> Op {
        let Begun { mut state, version } = begun;
        state.running = None;
        state.push(ended);
        Op::Set { path: self.path.clone(), data: state.to_bytes(), version: Some(version) }
    }
}

/// A run state that can't be read is no reason not to lead: it is begun anew, and said so.
fn read_state(job: &JobId, value: &[u8]) -> RunState {
    RunState::from_bytes(value).unwrap_or_else(|error| {
        warn!(%job, %error, "a run state can't be read and is begun anew");
        RunState::default()
    })
}

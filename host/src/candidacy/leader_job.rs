//! The duty of a leader job's term: run the component once, keep its record, and leave the outcome as last words.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use silverback_election::Report;
use tokio::sync::oneshot;
use tracing::warn;

use super::duty::{Duty, Served};
use super::queue::for_guests;
use crate::capability::Gate;
use crate::clock::Clock;
use crate::config::Layout;
use crate::coordinator::{CreateMode, Error, MultiError, Op, settled};
use crate::history::{History, Outcome, RunRecord, RunState, Running};
use crate::registry::{JobId, JobSpec};
use crate::runtime::{End, Interrupt, Prepared, RunEnd, RunRequest, Runtime, StateMode};

/// How often a term's beginning is written again where somebody else changed the job's run state meanwhile, or the reply was
/// lost.
const WRITE_TRIES: u32 = 5;
/// How long the record of a run's end waits for the release at the most.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

/// A leader job on this host.
pub struct LeaderJob {
    /// What it is.
    pub spec: JobSpec,
    /// Its component, ready: a host that can't run it doesn't stand.
    pub component: Arc<Prepared>,
    /// The path of its election.
    pub election: String,
    /// This host's name.
    pub host: String,
    /// Runs it.
    pub runtime: Arc<Runtime>,
    /// Keeps its records.
    pub history: History,
    /// Where things live.
    pub layout: Layout,
    /// For its records.
    pub clock: Arc<dyn Clock>,
}

/// The id of the run of a leader job's term.
pub fn leader_run_id(job: &JobId, token: i64) -> String {
    format!("{job}/term-{token}")
}

#[async_trait]
impl Duty for LeaderJob {
    async fn serve(&self, gate: Arc<Gate>) -> Served {
        let record = self.record(&gate);
        let kept = self.history.begin(&self.spec.id, record.clone());
        let run = self.runtime.start(&self.component, self.request(&gate, &record, kept.log_sink()));
        // The term's beginning is written while the guest already runs: a term needs no durable beginning to be safe, and a
        // handover is shorter by a round trip.
        let (end, begun) = tokio::join!(run.ended(), self.write_beginning(&gate, &record));
        let (outcome, detail) = end.verdict();
        let ended = self.clock.wall();
        let last_words = begun.map(|begun| self.last_words(begun, &record, ended, outcome, &detail));
        // The release doesn't wait for the store of records, nor compete with it; a drain waits for both.
        let (released, is_released) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(RELEASE_PATIENCE, is_released).await;
            kept.finish(outcome, &detail, ended).await;
        });
        Served { report: report(&end), last_words: last_words.into_iter().collect(), released: Some(released) }
    }
}

/// The run state as this term wrote it.
struct Begun {
    state: RunState,
    version: i32,
}

impl LeaderJob {
    fn record(&self, gate: &Gate) -> RunRecord {
        RunRecord {
            run: leader_run_id(&self.spec.id, gate.token()),
            attempt: 1,
            tick: None,
            host: self.host.clone(),
            token: gate.token(),
            started: self.clock.wall(),
            ended: None,
            outcome: None,
            detail: String::new(),
        }
    }

    fn request(&self, gate: &Arc<Gate>, record: &RunRecord, log: crate::history::LogSink) -> RunRequest {
        let JobId { tenant, name } = &self.spec.id;
        RunRequest {
            job: self.spec.id.clone(),
            run: record.run.clone(),
            attempt: record.attempt,
            tick_ms: None,
            gate: gate.clone(),
            state_path: self.layout.state(tenant, name),
            state_mode: StateMode::Immediate,
            config: self.spec.config.clone(),
            limits: self.spec.limits,
            log,
            interrupt: Interrupt::default(),
            contenders: for_guests(gate.session().clone(), self.election.clone()),
        }
    }

    /// Writes that this term has begun, and says of the run before that it never ended, where that is so. None where it
    /// can't be written; the term goes on without, and its whole record is in the history all the same.
    async fn write_beginning(&self, gate: &Gate, record: &RunRecord) -> Option<Begun> {
        let mut abandoned = None;
        for _ in 0..WRITE_TRIES {
            match self.try_write_beginning(gate, record, &mut abandoned).await {
                Ok(begun) => {
                    if let Some(abandoned) = abandoned {
                        self.history.close_abandoned(&self.spec.id, abandoned);
                    }
                    return Some(begun);
                }
                // Others changed it, or it may be done: the next try sees which.
                Err(Error::BadVersion { .. } | Error::NodeExists { .. }) => {}
                Err(error) if error.is_unknown() => settled(gate.session().as_ref()).await,
                Err(error) => {
                    warn!(job = %self.spec.id, token = gate.token(), %error, "a term's beginning was not written");
                    return None;
                }
            }
        }
        warn!(job = %self.spec.id, token = gate.token(), "a term's beginning was not written after several tries");
        None
    }

    async fn try_write_beginning(
        &self,
        gate: &Gate,
        record: &RunRecord,
        abandoned: &mut Option<RunRecord>,
    ) -> Result<Begun, Error> {
        let session = gate.session();
        let path = self.layout.run_state(&self.spec.id.tenant, &self.spec.id.name);
        let (mut state, version) = match session.get(&path).await {
            Ok((value, stat)) => (read_state(&self.spec.id, &value), Some(stat.version)),
            Err(Error::NoNode { .. }) => (RunState::default(), None),
            Err(other) => return Err(other),
        };
        if let Some(version) = version
            && state.running.as_ref().is_some_and(|running| running.record.run == record.run)
        {
            // Written by a try whose reply was lost.
            return Ok(Begun { state, version });
        }
        *abandoned = state.take_abandoned(self.clock.wall());
        state.running = Some(Running { record: record.clone(), nonce: String::new() });
        let data = state.to_bytes();
        let write = match version {
            Some(version) => Op::Set { path, data, version: Some(version) },
            None => Op::Create { path, data, mode: CreateMode::Persistent },
        };
        session.multi(vec![gate.check(), write]).await.map_err(MultiError::into_error)?;
        Ok(Begun { state, version: version.map_or(0, |version| version.wrapping_add(1)) })
    }

    fn last_words(&self, begun: Begun, record: &RunRecord, ended: Timestamp, outcome: Outcome, detail: &str) -> Op {
        let Begun { mut state, version } = begun;
        state.running = None;
        state.push(RunRecord {
            ended: Some(ended),
            outcome: Some(outcome),
            detail: detail.to_owned(),
            ..record.clone()
        });
        let path = self.layout.run_state(&self.spec.id.tenant, &self.spec.id.name);
        Op::Set { path, data: state.to_bytes(), version: Some(version) }
    }
}

/// A run state that can't be read is no reason not to lead: it is begun anew, and said so.
fn read_state(job: &JobId, value: &[u8]) -> RunState {
    RunState::from_bytes(value).unwrap_or_else(|error| {
        warn!(%job, %error, "a run state can't be read and is begun anew");
        RunState::default()
    })
}

fn report(end: &RunEnd) -> Report {
    match end.end {
        End::Returned(_) => Report::Done,
        End::Failed { .. } | End::Trapped { .. } | End::TimedOut { .. } => Report::Failed,
        End::LostLeadership | End::Killed => Report::Stopped,
    }
}

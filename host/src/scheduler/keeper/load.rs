//! Reads what the coordinator has of a job, and settles what is found: runs of terms before, ticks from before a change.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, warn};

use super::writes::Then;
use super::{Keeper, Missing, Stage};
use crate::coordinator::{Error, Session, repeat};
use crate::scheduler::change::{Setback, setback};
use crate::scheduler::desk::{Desk, Event};
use crate::scheduler::order::TriggerError;
use crate::scheduler::plan::{self, Changed, Decision, JobState};

/// Between two tries after a setback.
const REST: Duration = Duration::from_secs(1);

/// After so many setbacks in a row it is not taken any more that the next try helps.
const MANY_SETBACKS: u32 = 5;

/// What the coordinator has of a job.
pub(in crate::scheduler) struct Loaded {
    state: JobState,
    /// Of the run state's node.
    version: Option<i32>,
    /// Of the job's node.
    mzxid: i64,
}

impl Keeper {
    pub(super) fn load(&mut self, desk: &mut Desk) {
        desk.ask_to_read(self.key);
        self.stage = Stage::Loading;
        self.stale = false;
    }

    /// It is its turn to read.
    pub(in crate::scheduler) fn read(&mut self, desk: &mut Desk) {
        self.reading = true;
        let id = self.id();
        let state = desk.scheduling.layout.run_state(&id.tenant, &id.name);
        let job = desk.scheduling.layout.job(&id.tenant, &id.name);
        let session = desk.gate.session().clone();
        desk.wait_for(self.key, async move { Event::Loaded(read(session.as_ref(), &state, &job).await) });
    }

    /// What was read has come.
    pub(super) fn loaded(&mut self, loaded: Result<Loaded, Setback>, desk: &mut Desk) {
        if self.stage != Stage::Loading {
            return;
        }
        let loaded = match loaded {
            Ok(loaded) if loaded.mzxid == self.job.mzxid => loaded,
            // What this host knows of the job lags behind by a moment, or what it read does.
            Ok(_) => return self.rest(&Setback::JobChanged, desk),
            Err(setback) => return self.rest(&setback, desk),
        };
        let Some(changed) = self.last_change(desk) else { return self.rest(&Setback::JobChanged, desk) };
        if std::mem::take(&mut self.unread) {
            self.setback_over();
        }
        if self.job.ticks_from_ms.is_some() && self.changed.at != changed.at {
            // What came before was missed, also where this term kept the job then and was not to run it.
            self.term.since = desk.now();
        }
        self.changed = changed;
        match (loaded.version, self.version) {
            (None, Some(_)) => self.restore_state(desk),
            // That was tried, and refused.
            (None, None) if self.missing == Some(Missing::Known) => self.restore_state(desk),
            (None, None) => self.begin_anew(desk),
            (Some(_), _) => {
                self.missing = None;
                (self.state, self.version) = (loaded.state, loaded.version);
                self.settle(desk);
            }
        }
    }

    /// Returns when the job was last changed and from when on it ticks. Not by its node's own time: the node may have been made
    /// again since.
    fn last_change(&self, desk: &Desk) -> Option<Changed> {
        let at = Timestamp::from_millisecond(self.job.mtime_ms).ok()?;
        let ticks_from = self.job.ticks_from_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Some(match desk.scheduling.timeline.resumed_at().filter(|resumed_at| *resumed_at > at) {
            // What its run state says is older than what has happened: none of it is to happen again.
            Some(resumed_at) => Changed { at, ticks_from: resumed_at, restored: true },
            None => Changed { at, ticks_from: ticks_from.unwrap_or(at), restored: false },
        })
    }

    /// Writes the run state again as this term knows it, because somebody deleted it.
    fn restore_state(&mut self, desk: &mut Desk) {
        self.missing = Some(Missing::Known);
        self.version = None;
        let (next, value) = (self.state.clone(), self.state.to_bytes());
        let decision = Decision { next, value, skips: Vec::new(), begin: None };
        self.write(decision, Then::Settle { abandoned: Vec::new() }, desk);
    }

    /// Every job has a run state from the beginning. So somebody deleted it by hand, or a deletion of the job that it was applied
    /// again during; or an earlier release stored the job. Which ticks have run is not known: the job ticks from now on, so that
    /// none of them runs twice.
    fn begin_anew(&mut self, desk: &mut Desk) {
        self.missing = Some(Missing::Unknown);
        self.changed = Changed::from_now_on(desk.now());
        (self.state, self.version) = (JobState::default(), None);
        self.settle(desk);
    }

    /// What this keeper finds is settled: runs that nobody will say the end of, and what came before the job was made,
    /// changed or resumed.
    pub(super) fn settle(&mut self, desk: &mut Desk) {
        let now = desk.now();
        if let Some(found) = plan::taken_over(&self.state, &self.rules(), &self.term, &self.nonces(), now) {
            return self.write(found.decision, Then::Settle { abandoned: found.abandoned }, desk);
        }
        match plan::changed(&self.state, &self.rules(), &self.term, self.changed, now) {
            Some(decision) => self.write(decision, Then::Settle { abandoned: Vec::new() }, desk),
            None => self.ready(),
        }
    }

    /// Things are known again.
    pub(super) fn ready(&mut self) {
        self.stage = Stage::Ready;
    }

    /// Tells of a run state that was missing, once it is made again.
    pub(super) fn tell_missing(&mut self) {
        match self.missing.take() {
            None => {}
            Some(Missing::Known) => warn!(
                job = %self.id(),
                "the run state of this job was missing, and is made again with all that it held"
            ),
            Some(Missing::Unknown) => warn!(
                job = %self.id(),
                "the run state of this job was missing, and a new one is made: the job ticks from now on, and what was due before \
                 does not run"
            ),
        }
    }

    /// Reads everything anew in a moment.
    pub(super) fn rest(&mut self, setback: &Setback, desk: &mut Desk) {
        self.setbacks += 1;
        self.unread = self.stage == Stage::Loading;
        let passes = match setback {
            Setback::Refused(_) => false,
            Setback::JobMissing => {
                desk.scheduling.missing.report(self.id());
                self.setbacks < MANY_SETBACKS
            }
            // What this host knows of the job, or of its own leadership, lags behind by a moment.
            Setback::Lost | Setback::Unknown | Setback::JobChanged | Setback::StateChanged => {
                self.setbacks < MANY_SETBACKS
            }
        };
        if passes {
            debug!(job = %self.id(), %setback, "a schedule can't be kept now, trying again");
        } else {
            self.set_back(setback, desk);
            // Whoever ordered something is not kept waiting for a time that may never come.
            self.orders.drain(..).for_each(|order| order.refuse(TriggerError::Refused(setback.to_string())));
        }
        self.stage = Stage::Resting;
        desk.wait_for(self.key, async {
            tokio::time::sleep(REST).await;
            Event::Rested
        });
    }
}

async fn read(session: &dyn Session, state: &str, job: &str) -> Result<Loaded, Setback> {
    let (value, stat) = tokio::join!(repeat(session, || session.get(state)), repeat(session, || session.stat(job)));
    let stat = stat.map_err(setback)?.ok_or(Setback::JobMissing)?;
    let (state, version) = match value {
        Ok((value, stat)) => (parse(state, &value), Some(stat.version)),
        Err(Error::NoNode { .. }) => (JobState::default(), None),
        Err(other) => return Err(setback(other)),
    };
    Ok(Loaded { state, version, mzxid: stat.mzxid })
}

fn parse(path: &str, value: &[u8]) -> JobState {
    JobState::from_bytes(value).unwrap_or_else(|error| {
        warn!(path, %error, "a run state can't be read and is begun anew");
        JobState::default()
    })
}

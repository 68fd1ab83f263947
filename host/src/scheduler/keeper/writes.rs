//! What is decided is written first, and what follows from it is done when that is made.

use jiff::Timestamp;
use tokio::sync::oneshot;
use tracing::{debug, info};

use super::runs::Live;
use super::{Keeper, Retire, Stage};
use crate::history::{Outcome, Stored, Usage};
use crate::runtime::StateWrite;
use crate::scheduler::change::{Change, Setback, Unchanged, Written};
use crate::scheduler::desk::{Desk, Event};
use crate::scheduler::order::TriggerError;
use crate::scheduler::plan::{Abandoned, Begin, Decision, JobState, Skip};
use crate::scheduler::records::{kept, told_again};
use crate::scheduler::runner::Start;
use crate::scheduler::turns::Turn;

/// A change that is under way, and what follows from it.
pub(in crate::scheduler) struct Under {
    next: JobState,
    skips: Vec<Skip>,
    then: Then,
}

/// What follows when a change is made.
pub(super) enum Then {
    /// The records of what is skipped, with more words than the reasons have, where there are.
    Skipped { why: Option<String> },
    /// What is found is settled further.
    Settle { abandoned: Vec<Abandoned> },
    /// A guest starts, and whoever ordered it is told its id.
    Begin { begin: Begin, start: Start, turn: Turn, order: Option<oneshot::Sender<Result<String, TriggerError>>> },
    /// A run's record gets its end.
    End(Box<End>),
    /// Whoever asked is told up to when ticks count as decided.
    CursorSet { to: Timestamp, answer: oneshot::Sender<Result<Timestamp, TriggerError>> },
    /// Whoever asked is told how many ticks are filled in.
    Backfill { count: usize, answer: oneshot::Sender<Result<usize, TriggerError>> },
}

/// How a run ended.
pub(super) struct End {
    pub(super) live: Live,
    pub(super) outcome: Outcome,
    pub(super) detail: String,
    pub(super) ended: Timestamp,
    pub(super) usage: Usage,
    pub(super) writes: Vec<StateWrite>,
}

impl Then {
    /// What begins or decides something holds only for the job as it was read; how a run ended holds in any case.
    fn is_conditional(&self) -> bool {
        match self {
            Then::Skipped { .. }
            | Then::Settle { .. }
            | Then::Begin { .. }
            | Then::CursorSet { .. }
            | Then::Backfill { .. } => true,
            Then::End(_) => false,
        }
    }
}

impl Keeper {
    /// Sends a decision on its way. With the first of a term, the last ones of the term before are told again: the run state
    /// forgets them by and by, and names their host no more.
    pub(super) fn write(&mut self, decision: Decision, then: Then, desk: &mut Desk) {
        let Decision { next, value, skips, begin: _ } = decision;
        if self.state.holder != next.holder {
            let told = told_again(kept(self.id(), &self.state));
            // What that term found unknown was another host's.
            for record in told.filter(|record| record.outcome != Some(Outcome::Unknown)) {
                desk.scheduling.history.record(self.id(), record, self.kept_runs());
            }
        }
        let id = self.id();
        let layout = &desk.scheduling.layout;
        let change = Change {
            path: layout.run_state(&id.tenant, &id.name),
            data: value,
            version: self.version,
            job: layout.job(&id.tenant, &id.name),
            condition: then.is_conditional().then_some(Unchanged(self.job.version)),
            recreates: false,
            writes: if let Then::End(end) = &then { end.writes.clone() } else { Vec::new() },
        };
        self.stage = Stage::Writing;
        self.send(Under { next, skips, then }, change, desk);
    }

    /// Sends a change on its way, once the run state that comes of it still has every outcome whose record may be lost
    /// with this host.
    fn send(&mut self, under: Under, change: Change, desk: &mut Desk) {
        self.untold.retain_mut(Stored::is_awaited);
        let told_by_it = under.skips.len() + usize::from(matches!(under.then, Then::End(_)));
        let forgets = under.next.own < self.untold.len() + told_by_it;
        match if forgets { self.untold.pop_front() } else { None } {
            Some(oldest) => desk.wait_for(self.key, async move {
                Event::Told { stored: oldest.settled().await, held: Box::new((under, change)) }
            }),
            None => desk.pipeline.push(self.key, under, change),
        }
    }

    /// A record that a change was held for is stored. Where the store doesn't take it, runs don't wait for it.
    pub(super) fn told(&mut self, stored: bool, (under, change): (Under, Change), desk: &mut Desk) {
        if !stored {
            self.untold.clear();
        }
        self.send(under, change, desk);
    }

    /// A change is settled: made, or not.
    pub(in crate::scheduler) fn written(&mut self, under: Under, result: Result<Written, Setback>, desk: &mut Desk) {
        match result {
            Ok(written) => {
                self.state = under.next;
                self.version = Some(written.version);
                self.ready();
                self.setback_over();
                self.tell_missing();
                self.made(under.skips, under.then, desk);
            }
            Err(setback) => self.not_made(under.then, setback, desk),
        }
    }

    fn made(&mut self, skips: Vec<Skip>, then: Then, desk: &mut Desk) {
        let why = if let Then::Skipped { why } = &then { why.as_deref() } else { None };
        self.keep_records(&skips, why, desk);
        match then {
            Then::Skipped { .. } => {}
            Then::Settle { abandoned } => {
                let now = desk.now();
                for found in abandoned {
                    let record = self.scribe(desk).abandoned(&found, now);
                    desk.scheduling.history.record(self.id(), record, self.kept_runs());
                }
                self.settle(desk);
            }
            Then::Begin { begin, start, turn, order } => {
                let run = self.begin(begin, &start, turn, desk);
                if let Some(order) = order {
                    let _ = order.send(Ok(run));
                }
            }
            Then::End(end) => self.untold.push_back(end.tell()),
            Then::CursorSet { to, answer } => {
                info!(job = %self.id(), %to, "an operator set up to when a job's ticks are decided");
                drop(answer.send(Ok(to)));
            }
            Then::Backfill { count, answer } => drop(answer.send(Ok(count))),
        }
    }

    /// Nothing was changed, as far as is known. What the coordinator has is read anew.
    fn not_made(&mut self, then: Then, setback: Setback, desk: &mut Desk) {
        match then {
            Then::Skipped { .. } | Then::Settle { .. } => {}
            Then::Begin { order, .. } => {
                if let Some(order) = order {
                    let _ = order.send(Err(TriggerError::Refused(setback.to_string())));
                }
            }
            Then::End(end) => match end.not_kept(&setback) {
                // Without its writes it may pass.
                Some(end) => return self.write_refused_end(end, desk),
                None if self.retire == Retire::Now => {}
                None => debug!(job = %self.id(), %setback, "how a run ended could not be written"),
            },
            Then::CursorSet { answer, .. } => drop(answer.send(Err(TriggerError::Refused(setback.to_string())))),
            Then::Backfill { answer, .. } => drop(answer.send(Err(TriggerError::Refused(setback.to_string())))),
        }
        self.rest(&setback, desk);
    }

    fn keep_records(&mut self, skips: &[Skip], why: Option<&str>, desk: &Desk) {
        let now = desk.now();
        for skip in skips {
            let record = self.scribe(desk).skipped(skip, why, now);
            debug!(job = %self.id(), run = record.run, detail = record.detail, "a tick is skipped");
            let stored = desk.scheduling.history.record(self.id(), record, self.kept_runs());
            self.untold.push_back(stored);
        }
    }
}

impl End {
    /// To whoever reads records. The schedule doesn't wait for their store; a drain does.
    pub(super) fn tell(self) -> Stored {
        let End { live, outcome, detail, ended, usage, writes: _ } = self;
        live.kept.ended(outcome, &detail, ended, Some(usage))
    }

    /// The record says what became of it: where not all could be kept, it says so. Gives it back where it is to be written
    /// as a failure.
    fn not_kept(mut self, setback: &Setback) -> Option<Self> {
        let outcome = self.outcome;
        let (told, why) = match (setback, outcome) {
            // A stopped guest has no writes, and the record of it says all there is.
            (_, Outcome::LostLeadership) => (outcome, self.detail.clone()),
            (Setback::Lost, _) => (
                Outcome::LostLeadership,
                format!("it ended as `{outcome}` after the term was over, and nothing of it was kept"),
            ),
            (Setback::Unknown, _) => {
                let why = format!("it ended as `{outcome}`, and whether that was kept is not known: {setback}");
                (Outcome::Unknown, why)
            }
            (Setback::Refused(error), Outcome::Succeeded) => {
                self.detail = format!("it ended as `{outcome}`, and its state writes were refused: {error}");
                self.outcome = Outcome::Failed;
                self.writes = Vec::new();
                return Some(self);
            }
            (Setback::JobChanged | Setback::JobMissing | Setback::StateChanged, Outcome::Succeeded) => {
                (Outcome::Failed, format!("it ended as `{outcome}`, and nothing of it was kept: {setback}"))
            }
            (
                Setback::Refused(_) | Setback::JobChanged | Setback::JobMissing | Setback::StateChanged,
                Outcome::Failed | Outcome::TimedOut | Outcome::Skipped | Outcome::Unknown,
            ) => (outcome, self.detail.clone()),
        };
        End { outcome: told, detail: why, ..self }.tell();
        None
    }
}

//! What a driver does with the state that it finds: runs whose host is gone, and ticks from before the job was changed.

use jiff::Timestamp;

use super::admit::Draft;
use super::ahead::is_ahead;
use super::end::over;
use super::skip::{Reason, Skip, Skipped};
use super::state::{Active, Holder, JobState, Occasion, Phase};
use super::{Decision, Rules, Term};
use crate::history::Outcome;
use crate::registry::Delivery;

/// No run is begun more often than this after crashes: it may be what the hosts die of.
const MAX_ATTEMPTS: u32 = 100;

/// What was found, settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// What is to be written.
    pub decision: Decision,
    /// The runs whose end nobody will say: unknown, for the records, once it is written.
    pub abandoned: Vec<Abandoned>,
}

/// A run that was begun, and whose host did not say how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// What it was for.
    pub of: Occasion,
    /// From 1.
    pub attempt: u32,
    /// When it was begun.
    pub begun: Timestamp,
    /// Who began it, where that is known.
    pub holder: Option<Holder>,
    /// Another attempt follows.
    pub again: bool,
}

/// Settles the runs that were begun and that the driver has not `under_way` itself (by nonce): those of earlier terms, and
/// those of its own whose end it couldn't write. None where there are none.
pub fn taken_over(
    state: &JobState,
    rules: &Rules<'_>,
    term: &Term,
    under_way: &[u32],
    now: Timestamp,
) -> Option<TakenOver> {
    let mut draft = Draft::of(state, rules, term, now);
    let mut abandoned = Vec::new();
    for run in std::mem::take(&mut draft.state.active) {
        match run.phase {
            Phase::Begun { nonce, at, .. } if !under_way.contains(&nonce) => {
                let again = draft.settle(&run, state.holder.as_ref());
                let holder = state.holder.clone();
                abandoned.push(Abandoned { of: run.of, attempt: run.attempt, begun: at, holder, again });
            }
            Phase::Begun { .. } | Phase::Waiting { .. } => draft.state.active.push(run),
        }
    }
    if abandoned.is_empty() { None } else { Some(TakenOver { decision: draft.decide(None), abandoned }) }
}

impl Draft<'_> {
    /// True where another attempt follows.
    fn settle(&mut self, run: &Active, holder: Option<&Holder>) -> bool {
        let host = holder.map_or("?", |holder| holder.host.as_str());
        let detail = format!("host `{host}` did not say how it ended");
        self.tell(over(run, Outcome::Unknown, self.now, detail));
        let attempt = run.attempt.saturating_add(1);
        match self.rules.policies.delivery {
            Delivery::AtMostOnce => false,
            Delivery::AtLeastOnce if attempt > MAX_ATTEMPTS => self.stop_trying(run, Reason::TooManyAttempts),
            Delivery::AtLeastOnce if self.rules.is_too_late(&run.of, self.now) => {
                self.stop_trying(run, Reason::TooLate)
            }
            Delivery::AtLeastOnce => {
                let phase = Phase::Waiting { until: self.now };
                self.state.active.push(Active { of: run.of.clone(), attempt, phase });
                true
            }
        }
    }
}

impl Draft<'_> {
    fn stop_trying(&mut self, run: &Active, reason: Reason) -> bool {
        self.give_up(run.of.clone(), run.attempt.saturating_add(1), reason);
        false
    }
}

/// That a job was made, changed or resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// When, by the ensemble's clock.
    pub at: Timestamp,
    /// It ticks from here on. The same as `at`; or a time before, because what came since then was missed and is not passed over;
    /// or a time after, if the ensemble was `restored` then.
    pub ticks_from: Timestamp,
    /// Since this change the ensemble was restored from an older state, and an operator let the cluster go on at `ticks_from`. That
    /// is no change of the job.
    pub restored: bool,
}

impl Changed {
    /// It ticks from this change on.
    pub fn from_now_on(at: Timestamp) -> Self {
        Changed { at, ticks_from: at, restored: false }
    }

    /// Returns the time by which a run state names it as settled.
    pub(super) fn name(&self) -> Timestamp {
        self.at.max(self.ticks_from)
    }
}

/// The job was made, changed or resumed: it ticks from then on, not before (kubernetes#63371) unless that was asked for, and
/// goes on where it had paused itself. What was to come before and nobody has decided is told as skipped. The same again
/// changes nothing; None where nothing changes.
///
/// A change that is yet to come by this host's clock was made while another clock was ahead: the job ticks from now on. The state
/// names it as settled, so that it isn't settled again later, when `now` is another.
///
/// Where the ensemble was restored, nothing of before that is begun: it may have run already, also what was being filled in. A
/// job that had paused itself stays so.
pub fn changed(state: &JobState, rules: &Rules<'_>, term: &Term, change: Changed, now: Timestamp) -> Option<Decision> {
    let Changed { at, ticks_from, restored } = change;
    if state.settled == Some(change.name()) {
        return None;
    }
    let mut draft = Draft::of(state, rules, term, now);
    draft.state.settled = Some(change.name()).filter(|name| is_ahead(*name, now));
    let ticks_from = if draft.state.settled.is_some() { ticks_from.min(now) } else { ticks_from };
    let from = rules.schedule.cursor_at(ticks_from);
    let paused = draft.state.paused.take_if(|paused| paused.at <= at).is_some();
    let reason = match (restored, paused) {
        (true, _) => Reason::Restored,
        (false, true) => Reason::Paused,
        (false, false) => Reason::Changed,
    };
    if paused {
        draft.state.failures = 0;
    }
    draft.skip_until(from, reason);
    while let Some(tick) = draft.state.queue.pop_front_if(|tick| *tick <= from) {
        draft.skip(tick, reason);
    }
    draft.give_up_waiting(reason, |of| matches!(of, Occasion::Tick(tick) if *tick <= from));
    draft.end_backfill(at, Reason::Changed);
    if restored {
        draft.end_backfill(ticks_from, Reason::Restored);
    }
    draft.state.cursor = Some(state.cursor.map_or(from, |cursor| cursor.max(from)));
    draft.state.next = draft.state.cursor.and_then(|cursor| rules.schedule.next_after(cursor));
    if draft.state == *state { None } else { Some(draft.decide(None)) }
}

impl Draft<'_> {
    /// The ticks between the cursor and this one, where there are. Of the schedule that the job had only the first is known.
    fn skip_until(&mut self, last: Timestamp, reason: Reason) {
        if let Some(first) = self.state.next.filter(|first| *first <= last) {
            let before = self.rules.schedule.next_after(last).unwrap_or(Timestamp::MAX);
            self.skips.push(Skip { what: Skipped::Ticks { first, before }, reason });
        }
    }
}

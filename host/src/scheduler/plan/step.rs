//! What is to be done next.

use jiff::Timestamp;
use thiserror::Error;

use super::admit::Draft;
use super::state::{Active, JobState, Occasion, Phase};
use super::{Begin, Decision, Rules, Term};
use crate::registry::Overlap;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write a new state, then begin a run where it says so.
    Write(Box<Decision>),
    /// Stop a run; once it has stopped, say how it ended. Asked once: from then on it is in [`Term::stopping`].
    Stop {
        /// Which.
        nonce: u32,
        /// Why.
        why: StopReason,
    },
    /// Nothing until then, unless a run ends or the job is changed. None: there is nothing to come.
    Wait(Option<Timestamp>),
}

/// Why a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The next tick has come, and `overlap` is `cancel-running`.
    Superseded,
    /// It should have ended, and its end should have been written, long ago.
    Overdue,
}

/// A run of the job is under way, so none begins now.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a run of this job is under way")]
pub struct UnderWay;

/// What is to be done at `now`. `nonce` marks the run that is begun, where one is; it must be another each time.
pub fn next_step(state: &JobState, rules: &Rules<'_>, term: &Term, now: Timestamp, nonce: u32) -> Step {
    if let Some(nonce) = overdue(state, term, now) {
        return Step::Stop { nonce, why: StopReason::Overdue };
    }
    if state.paused.is_some() {
        return Step::Wait(wake(state, rules, term));
    }
    let mut draft = Draft::of(state, rules, now);
    draft.admit(term.since);
    draft.skip_too_late();
    let begin = draft.begin_due(term, nonce);
    if begin.is_some() || draft.state != *state {
        return Step::Write(Box::new(draft.decide(begin)));
    }
    match superseded(state, rules, term) {
        Some(nonce) => Step::Stop { nonce, why: StopReason::Superseded },
        None => Step::Wait(wake(state, rules, term)),
    }
}

/// A run beside the schedule, of this name, begun at `now`: also while the job is paused.
///
/// # Errors
/// [`UnderWay`] where the job has no room for another run.
pub fn ordered(
    state: &JobState,
    rules: &Rules<'_>,
    term: &Term,
    name: &str,
    now: Timestamp,
    nonce: u32,
) -> Result<Decision, UnderWay> {
    if state.active.len() + state.queue.len() >= rules.policies.slots() {
        return Err(UnderWay);
    }
    let mut draft = Draft::of(state, rules, now);
    let begin = draft.begin(Occasion::Order(name.to_owned()), 1, term, nonce);
    Ok(draft.decide(Some(begin)))
}

impl Draft<'_> {
    /// The retry whose time has come, else the tick whose turn it is.
    fn begin_due(&mut self, term: &Term, nonce: u32) -> Option<Begin> {
        let now = self.now;
        let is_due = |active: &Active| matches!(active.phase, Phase::Waiting { until } if until <= now);
        if let Some(at) = self.state.active.iter().position(is_due) {
            let Active { of, attempt, .. } = self.state.active.remove(at);
            return Some(self.begin(of, attempt, term, nonce));
        }
        if self.state.active.len() >= self.rules.policies.slots() {
            return None;
        }
        // By this host's clock too: the one that put it into the queue may have been ahead.
        let tick = self.state.queue.pop_front_if(|tick| self.rules.schedule.begins(*tick) <= now)?;
        Some(self.begin(Occasion::Tick(tick), 1, term, nonce))
    }

    fn begin(&mut self, of: Occasion, attempt: u32, term: &Term, nonce: u32) -> Begin {
        let phase = Phase::Begun { nonce, at: self.now, deadline: self.rules.end_deadline(self.now) };
        self.state.holder = Some(term.holder.clone());
        self.state.active.push(Active { of: of.clone(), attempt, phase });
        Begin { of, attempt, nonce }
    }
}

fn overdue(state: &JobState, term: &Term, now: Timestamp) -> Option<u32> {
    let is_over = |active: &&Active| matches!(active.phase, Phase::Begun { deadline, .. } if deadline <= now);
    let overdue = state.active.iter().filter(is_over).filter_map(Active::nonce);
    overdue.into_iter().find(|nonce| !term.stopping.contains(nonce))
}

/// The run that has to make way for the tick that waits.
fn superseded(state: &JobState, rules: &Rules<'_>, term: &Term) -> Option<u32> {
    match rules.policies.overlap {
        Overlap::CancelRunning if !state.queue.is_empty() => {
            state.active.iter().filter_map(Active::nonce).find(|nonce| !term.stopping.contains(nonce))
        }
        Overlap::CancelRunning
        | Overlap::Skip
        | Overlap::QueueOne
        | Overlap::QueueAll { .. }
        | Overlap::Allow { .. } => None,
    }
}

/// When there is something to do, if no run ends before.
fn wake(state: &JobState, rules: &Rules<'_>, term: &Term) -> Option<Timestamp> {
    let paused = state.paused.is_some();
    let tick = state.cursor.filter(|_| !paused).and_then(|cursor| rules.schedule.next_after(cursor));
    let of_active = |active: &Active| match active.phase {
        Phase::Waiting { until } => Some(until).filter(|_| !paused),
        Phase::Begun { nonce, deadline, .. } => Some(deadline).filter(|_| !term.stopping.contains(&nonce)),
    };
    let has_room = !paused && state.active.len() < rules.policies.slots();
    let queued = state.queue.front().copied().filter(|_| has_room);
    tick.into_iter()
        .chain(queued)
        .map(|tick| rules.schedule.begins(tick))
        .chain(state.active.iter().filter_map(of_active))
        .min()
}

//! What is to be done next.

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use super::admit::Draft;
use super::skip::Reason;
use super::state::{Active, JobState, Occasion, Phase};
use super::{Begin, Decision, Rules, Term, later};
use crate::registry::Overlap;

/// When a retry that may not begin for a reason that passes is looked at again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// So many skips are told at once, or sooner.
const MAX_UNTOLD: usize = 8;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write a new state, then begin a run where it says so.
    Write(Box<Decision>),
    /// Ask for a turn, as something is to be begun; nothing else is to be done until then. None: nothing is to come.
    Ask(Option<Timestamp>),
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

/// Whether a run may be begun now, as far as the job itself can't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When it was asked for; now, where it was not yet. What came until then is one thing, what came later met a tick that
    /// waited for its turn.
    pub asked: Timestamp,
    /// What was answered.
    pub answer: Answer,
}

/// Whether a run may be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Given,
    /// Nobody asked yet, or others come first.
    Awaited,
    /// It may not: what is due is skipped, for this reason. A retry waits where the reason passes.
    Refused(Reason),
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

/// What is due to begin.
enum Due {
    /// The attempt that waits at this place among those under way.
    Retry(usize),
    /// The first tick of the queue.
    Queued,
    /// The next tick that is filled in.
    Backfill,
}

/// What is to be done at `now`. `nonce` marks the run that is begun, where one is; it must be another each time.
pub fn next_step(state: &JobState, rules: &Rules<'_>, term: &Term, turn: Turn, now: Timestamp, nonce: u32) -> Step {
    if let Some(nonce) = overdue(state, term, now) {
        return Step::Stop { nonce, why: StopReason::Overdue };
    }
    if state.paused.is_some() {
        return Step::Wait(wake(state, rules, term, now));
    }
    let mut draft = Draft::of(state, rules, term, now);
    draft.admit(turn.asked.min(now));
    draft.admit(now);
    draft.skip_too_late();
    let begin = match (draft.due(), turn.answer) {
        (None, _) => None,
        (Some(due), Answer::Given) => Some(draft.begin_due(&due, nonce)),
        (Some(Due::Retry(_)), Answer::Refused(reason)) if reason.passes() => {
            if draft.state == *state {
                let again = later(now, LOOK_AGAIN);
                return Step::Wait(Some(wake(state, rules, term, now).map_or(again, |wake| wake.min(again))));
            }
            None
        }
        (Some(due), Answer::Refused(reason)) => {
            draft.refuse(&due, reason);
            None
        }
        // A tick that waits for nothing but its turn needs no write of its own.
        (Some(_), Answer::Awaited) if draft.only_waits(state) => {
            return Step::Ask(wake(&draft.state, rules, term, now));
        }
        (Some(_), Answer::Awaited) => None,
    };
    if begin.is_some() || draft.state != *state {
        return Step::Write(Box::new(draft.decide(begin)));
    }
    match superseded(state, rules, term) {
        Some(nonce) => Step::Stop { nonce, why: StopReason::Superseded },
        None => Step::Wait(wake(state, rules, term, now)),
    }
}

/// Whether the job has room for a run beside its schedule.
///
/// # Errors
/// [`UnderWay`] where it has not.
pub fn has_room(state: &JobState, rules: &Rules<'_>) -> Result<(), UnderWay> {
    let taken = state.active.len() + state.queue.len();
    if taken < rules.policies.slots() { Ok(()) } else { Err(UnderWay) }
}

/// A run beside the schedule, of this name, begun at `now`: also where the job has paused itself. The job [`has_room`], and its turn
/// was given.
pub fn ordered(state: &JobState, rules: &Rules<'_>, term: &Term, name: &str, now: Timestamp, nonce: u32) -> Decision {
    let mut draft = Draft::of(state, rules, term, now);
    let begin = draft.begin(Occasion::Order(name.to_owned()), 1, nonce);
    draft.decide(Some(begin))
}

impl Draft<'_> {
    /// The retry whose time has come, else the tick whose turn it is, else one that is filled in.
    fn due(&self) -> Option<Due> {
        let is_due = |active: &Active| matches!(active.phase, Phase::Waiting { until } if until <= self.now);
        if let Some(at) = self.state.active.iter().position(is_due) {
            return Some(Due::Retry(at));
        }
        if self.state.active.len() >= self.rules.policies.slots() {
            return None;
        }
        match self.state.queue.front() {
            // By this host's clock too: the one that put it into the queue may have been ahead.
            Some(tick) if self.rules.schedule.begins(*tick) <= self.now => Some(Due::Queued),
            Some(_) => None,
            None => self.state.backfill.map(|_| Due::Backfill),
        }
    }

    fn take(&mut self, due: &Due) -> (Occasion, u32) {
        match due {
            Due::Retry(at) => {
                let Active { of, attempt, .. } = self.state.active.remove(*at);
                (of, attempt)
            }
            Due::Queued => (Occasion::Tick(self.state.queue.pop_front().expect("it has a first")), 1),
            Due::Backfill => (Occasion::Backfill(self.next_filled_in()), 1),
        }
    }

    fn begin_due(&mut self, due: &Due, nonce: u32) -> Begin {
        let (of, attempt) = self.take(due);
        self.begin(of, attempt, nonce)
    }

    fn refuse(&mut self, due: &Due, reason: Reason) {
        match self.take(due) {
            (Occasion::Tick(tick), 1) => self.skip(tick, reason),
            (of, attempt) => self.give_up(of, attempt, reason),
        }
    }

    /// Nothing has come but at most one tick, which waits in a queue that was empty, and a few that met it there: as they do
    /// again, they are told with the next write. A host that has too much to do would have more with a write for each. Where runs
    /// may be under way beside the tick, one that ends would change what becomes of those that met it: they are told at once.
    fn only_waits(&self, before: &JobState) -> bool {
        let queue = &self.state.queue;
        let alone = *queue == before.queue || (before.queue.is_empty() && queue.len() == 1);
        let untold = if self.rules.policies.slots() == 1 { MAX_UNTOLD } else { 1 };
        alone && self.skips.len() < untold && self.state.active == before.active
    }

    fn begin(&mut self, of: Occasion, attempt: u32, nonce: u32) -> Begin {
        let phase = Phase::Begun { nonce, at: self.now, deadline: self.rules.end_deadline(self.now) };
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

/// When there is something to do next, after `now`, if no run ends before.
fn wake(state: &JobState, rules: &Rules<'_>, term: &Term, now: Timestamp) -> Option<Timestamp> {
    let paused = state.paused.is_some();
    let begins = |tick: Timestamp| rules.schedule.begins(tick);
    let tick = state.cursor.filter(|_| !paused).and_then(|cursor| rules.schedule.next_after(cursor)).map(begins);
    let of_active = |active: &Active| match active.phase {
        Phase::Waiting { until } => Some(until).filter(|_| !paused),
        Phase::Begun { nonce, deadline, .. } => Some(deadline).filter(|_| !term.stopping.contains(&nonce)),
    };
    let queued = state.queue.front().copied().filter(|_| !paused);
    let too_late = queued.and_then(|tick| rules.last_begin(&Occasion::Tick(tick)));
    let too_late = too_late.map(|last| later(last, SignedDuration::from_millis(1)));
    tick.into_iter()
        .chain(queued.map(begins))
        .chain(too_late)
        .chain(state.active.iter().filter_map(of_active))
        .filter(|at| *at > now)
        .min()
}

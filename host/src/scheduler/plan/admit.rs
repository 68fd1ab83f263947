//! The ticks that have come are begun, skipped, or put into the queue: here `overlap` speaks.

use jiff::Timestamp;

use super::arrivals::{Arrival, arrivals};
use super::skip::{Reason, Skip, Skipped};
use super::state::{JobState, Kept, Occasion, Phase};
use super::{Begin, Decision, Rules, Term};
use crate::history::Outcome;
use crate::registry::{CatchUp, Overlap};

/// A decision in the making.
pub(super) struct Draft<'a> {
    pub(super) rules: &'a Rules<'a>,
    pub(super) now: Timestamp,
    pub(super) state: JobState,
    /// Up to where ticks were decided before.
    cursor: Option<Timestamp>,
    /// The term whose decision it is.
    term: &'a Term,
    pub(super) skips: Vec<Skip>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(state: &JobState, rules: &'a Rules<'a>, term: &'a Term, now: Timestamp) -> Self {
        Draft { rules, now, state: state.clone(), cursor: state.cursor, term, skips: Vec::new() }
    }

    /// What is skipped stands in the state too, so that it is told even where its record is lost in a crash.
    pub(super) fn decide(mut self, begin: Option<Begin>) -> Decision {
        self.state.written_by(&self.term.holder);
        for Skip { what, reason } in &self.skips {
            let (of, attempt) = match what {
                Skipped::Tick(tick) | Skipped::Ticks { first: tick, .. } => (Occasion::Tick(*tick), 1),
                Skipped::Backfill { first: tick, .. } => (Occasion::Backfill(*tick), 1),
                Skipped::Attempt { of, attempt } => (of.clone(), *attempt),
            };
            let (outcome, detail) = (Outcome::Skipped, reason.to_string());
            self.state.push(Kept { of, attempt, outcome, ended: self.now, took_ms: 0, detail });
        }
        if self.state.cursor != self.cursor || self.state.next.is_none() {
            self.state.next = self.state.cursor.and_then(|cursor| self.rules.schedule.next_after(cursor));
        }
        let (next, value) = self.state.fit();
        Decision { next, value, skips: self.skips, begin }
    }

    /// An attempt is over.
    pub(super) fn tell(&mut self, over: Kept) {
        self.state.written_by(&self.term.holder);
        self.state.push(over);
    }

    /// Decides what came after the cursor and by `until`.
    pub(super) fn admit(&mut self, until: Timestamp) {
        let cursor = *self.state.cursor.get_or_insert(self.now);
        let Some(found) = arrivals(self.rules, cursor, self.term.since, until, self.is_busy()) else { return };
        self.state.cursor = Some(found.latest);
        self.skips.extend(found.skips);
        for arrival in found.left {
            self.admit_one(arrival);
        }
    }

    /// A run is under way, or one waits. What is filled in makes way for the schedule: it only delays it.
    fn is_busy(&self) -> bool {
        !self.state.queue.is_empty() || self.is_running()
    }

    /// A run is under way, or is tried again in a moment.
    fn is_running(&self) -> bool {
        self.state.active.iter().any(|active| !matches!(active.of, Occasion::Backfill(_)))
    }

    fn admit_one(&mut self, Arrival { tick, caught_up }: Arrival) {
        if self.rules.is_too_late(&Occasion::Tick(tick), self.now) {
            return self.skip(tick, Reason::TooLate);
        }
        if !self.is_busy() {
            return self.state.queue.push_back(tick);
        }
        match (self.rules.policies.overlap, self.rules.policies.catch_up) {
            (_, CatchUp::All { max, .. }) if caught_up => self.enqueue(tick, max, Reason::TooManyMissed),
            (Overlap::Skip, _) if self.is_running() => self.skip(tick, Reason::Overlapped),
            (Overlap::Skip, _) => self.skip(tick, Reason::NoTurn),
            (Overlap::QueueOne, _) => self.enqueue(tick, 1, Reason::Superseded),
            // What is caught up with waits in the same queue.
            (Overlap::QueueAll { max }, CatchUp::All { max: missed, .. }) => {
                self.enqueue(tick, max.max(missed), Reason::QueueFull);
            }
            (Overlap::QueueAll { max }, CatchUp::Latest | CatchUp::None) => self.enqueue(tick, max, Reason::QueueFull),
            (Overlap::CancelRunning, _) => {
                self.enqueue(tick, 1, Reason::Superseded);
                self.give_up_waiting(Reason::Superseded, |_| true);
            }
            (Overlap::Allow { max }, _) if self.state.active.len() + self.state.queue.len() >= max as usize => {
                let all_run = self.state.active.len() >= max as usize;
                self.skip(tick, if all_run { Reason::TooManyRunning } else { Reason::NoTurn });
            }
            (Overlap::Allow { .. }, _) => self.state.queue.push_back(tick),
        }
    }

    /// Puts a tick behind the others; where there are more than `max`, the oldest go.
    fn enqueue(&mut self, tick: Timestamp, max: u32, reason: Reason) {
        self.state.queue.push_back(tick);
        while self.state.queue.len() > max as usize {
            if let Some(oldest) = self.state.queue.pop_front() {
                self.skip(oldest, reason);
            }
        }
    }

    /// The ticks that waited too long are skipped, and so are the retries.
    pub(super) fn skip_too_late(&mut self) {
        while let Some(tick) = self.state.queue.front().copied() {
            if !self.rules.is_too_late(&Occasion::Tick(tick), self.now) {
                break;
            }
            self.state.queue.pop_front();
            self.skip(tick, Reason::TooLate);
        }
        let (rules, now) = (self.rules, self.now);
        self.give_up_waiting(Reason::TooLate, |of| rules.is_too_late(of, now));
    }

    /// The attempts that wait for their time and are `given_up` are none any more.
    pub(super) fn give_up_waiting(&mut self, reason: Reason, given_up: impl Fn(&Occasion) -> bool) {
        let mut skips = Vec::new();
        self.state.active.retain(|active| match active.phase {
            Phase::Waiting { .. } if given_up(&active.of) => {
                let what = Skipped::Attempt { of: active.of.clone(), attempt: active.attempt };
                skips.push(Skip { what, reason });
                false
            }
            Phase::Waiting { .. } | Phase::Begun { .. } => true,
        });
        self.skips.extend(skips);
    }

    pub(super) fn skip(&mut self, tick: Timestamp, reason: Reason) {
        self.skips.push(Skip { what: Skipped::Tick(tick), reason });
    }

    /// An attempt that is not made.
    pub(super) fn give_up(&mut self, of: Occasion, attempt: u32, reason: Reason) {
        self.skips.push(Skip { what: Skipped::Attempt { of, attempt }, reason });
    }
}

//! What a change of a run state says happened to the job's ticks.

use std::collections::BTreeSet;

use jiff::Timestamp;
use silverback::history::Outcome;
use silverback::scheduler::plan::{Active, JobState, Kept, Occasion, Phase, Reason};

use super::Story;
use crate::oracle::{Ran, Seen};

/// How the guests of the tests say that trying again may help.
const RETRYABLE: &str = "retryable, as asked";

/// Writes into a story what one transaction did.
pub(super) struct Book<'a> {
    pub(super) story: &'a mut Story,
    pub(super) time: Timestamp,
}

/// Before and after one write.
struct Change {
    before: JobState,
    next: JobState,
    /// The outcomes that came with it, oldest first.
    told: Vec<Kept>,
}

impl Book<'_> {
    pub(super) fn turn(&mut self, next: JobState, count: Option<u64>) {
        let before = std::mem::replace(&mut self.story.state, next.clone());
        let told = told(&before, &next);
        let change = Change { before, next, told };
        self.ends(&change, count);
        self.skips(&change);
        self.begins(&change);
    }

    fn ends(&mut self, change: &Change, count: Option<u64>) {
        let is_under_way = |nonce| change.next.begun(nonce).is_some();
        let mut succeeded = false;
        for run in &change.before.active {
            let Phase::Begun { nonce, deadline, .. } = run.phase else { continue };
            if is_under_way(nonce) {
                continue;
            }
            if self.time > deadline {
                self.complain(format!("{} #{} ended after its deadline, {deadline}", run.of.name(), run.attempt));
            }
            let (at, outcome, retryable) = self.end(change, run, count);
            succeeded |= outcome == Outcome::Succeeded;
            let Occasion::Tick(tick) = run.of else {
                self.story.beside.insert((run.of.name(), run.attempt), Some(outcome));
                continue;
            };
            let ran = self.story.seen.iter_mut().rev().find_map(|seen| match seen {
                Seen::Ran(ran) if (ran.tick, ran.attempt) == (tick, run.attempt) => Some(ran),
                Seen::Ran(_) | Seen::Skipped { .. } | Seen::GaveUp { .. } | Seen::Untold { .. } => None,
            });
            let ran = ran.expect("what ends was begun");
            (ran.ended, ran.retryable) = (Some((at, outcome)), retryable);
        }
        self.count(succeeded, count);
    }

    /// When and how a run ended, and whether it said that trying again may help.
    fn end(&mut self, change: &Change, run: &Active, count: Option<u64>) -> (Timestamp, Outcome, Option<bool>) {
        let is_its =
            |kept: &&Kept| kept.outcome != Outcome::Skipped && (&kept.of, kept.attempt) == (&run.of, run.attempt);
        if let Some(kept) = change.told.iter().find(is_its) {
            let retryable = (kept.outcome == Outcome::Failed).then_some(kept.detail == RETRYABLE);
            return (kept.ended, kept.outcome, retryable);
        }
        self.story.inferred += 1;
        let goes_on = change.next.active.iter().any(|active| active.of == run.of);
        let outcome = match (count, goes_on && self.story.policies().retry.is_none()) {
            (Some(_), _) => Outcome::Succeeded,
            (None, true) => Outcome::Unknown,
            (None, false) => Outcome::Failed,
        };
        (self.time, outcome, None)
    }

    /// One is added with each end of a run that succeeded, and with nothing else.
    fn count(&mut self, succeeded: bool, count: Option<u64>) {
        let before = self.story.count;
        match (succeeded, count) {
            (true, Some(count)) if count == before + 1 => {}
            (true, count) => self.complain(format!("a run succeeded, and counted {count:?} after {before}")),
            (false, Some(count)) => self.complain(format!("it counted {count}, and no run succeeded")),
            (false, None) => {}
        }
        self.story.count = count.unwrap_or(before);
    }

    fn skips(&mut self, change: &Change) {
        let (mut ticks, mut attempts) = (BTreeSet::new(), BTreeSet::new());
        for Kept { of, attempt, outcome, ended, took_ms: _, detail } in &change.told {
            let (Occasion::Tick(tick), Outcome::Skipped) = (of, outcome) else { continue };
            let tick = *tick;
            let reason = reason(detail);
            self.story.seen.push(match attempt {
                1 => Seen::Skipped { first: tick, before: None, reason, at: *ended },
                _ => Seen::GaveUp { tick, attempt: *attempt, reason, at: *ended },
            });
            if *attempt == 1 {
                ticks.insert(tick)
            } else {
                attempts.insert((tick, *attempt))
            };
        }
        for tick in self.decided(change).difference(&ticks) {
            self.untold(change, *tick, 1);
        }
        for run in &change.before.active {
            let Occasion::Tick(tick) = run.of else { continue };
            let goes_on = change.next.active.iter().any(|next| (&next.of, next.attempt) == (&run.of, run.attempt));
            if run.nonce().is_none() && !goes_on && !attempts.contains(&(tick, run.attempt)) {
                self.untold(change, tick, run.attempt);
            }
        }
    }

    /// The ticks that neither wait any more nor were begun.
    fn decided(&self, change: &Change) -> BTreeSet<Timestamp> {
        let schedule = self.story.schedule();
        let from = change.before.cursor.unwrap_or_else(|| schedule.cursor_at(self.story.made));
        let until = change.next.cursor.unwrap_or(from);
        let next = |tick: &Timestamp| schedule.next_after(*tick).filter(|tick| *tick <= until);
        let mut ticks: BTreeSet<Timestamp> = std::iter::successors(next(&from), next).collect();
        ticks.extend(&change.before.queue);
        let left = |tick: &Timestamp| {
            let begun = |active: &Active| active.of == Occasion::Tick(*tick) && active.attempt == 1;
            !change.next.queue.contains(tick) && !change.next.active.iter().any(begun)
        };
        ticks.retain(left);
        ticks
    }

    /// Not run, and the run state had no room for the reason, or names only the first tick of a span.
    fn untold(&mut self, change: &Change, tick: Timestamp, attempt: u32) {
        let at = self.time;
        let ends_span = |reason: &Reason| matches!(reason, Reason::Changed | Reason::Paused);
        let spans = change.told.iter().filter(|kept| kept.outcome == Outcome::Skipped && kept.of.tick() <= Some(tick));
        let reason = match spans.map(|kept| reason(&kept.detail)).find(ends_span) {
            Some(reason) if tick <= self.story.schedule().cursor_at(self.story.changed) => reason,
            _ => return self.story.seen.push(Seen::Untold { tick, attempt, at }),
        };
        self.story.seen.push(match attempt {
            1 => Seen::Skipped { first: tick, before: None, reason, at },
            _ => Seen::GaveUp { tick, attempt, reason, at },
        });
    }

    fn begins(&mut self, change: &Change) {
        for run in &change.next.active {
            let Phase::Begun { nonce, at, .. } = run.phase else { continue };
            if change.before.begun(nonce).is_some() {
                continue;
            }
            match &run.of {
                Occasion::Tick(tick) => {
                    let ran = Ran { tick: *tick, attempt: run.attempt, began: at, ended: None, retryable: None };
                    self.story.seen.push(Seen::Ran(ran));
                }
                of @ (Occasion::Backfill(_) | Occasion::Order(_)) => {
                    if self.story.beside.insert((of.name(), run.attempt), None).is_some() {
                        self.complain(format!("{} #{} was begun twice", of.name(), run.attempt));
                    }
                }
            }
        }
    }

    fn complain(&mut self, what: String) {
        self.story.broken.push(format!("{}: {what}", self.time));
    }
}

/// The outcomes of `next` that weren't there before, oldest first.
fn told(before: &JobState, next: &JobState) -> Vec<Kept> {
    let next = &next.outcomes;
    let is_all = |new: &usize| next.iter().skip(*new).zip(&before.outcomes).all(|(now, then)| now == then);
    // The ring only loses at its end.
    let fits = |new: &usize| next.len() - new <= before.outcomes.len();
    let new = (0..=next.len()).find(|new| fits(new) && is_all(new)).unwrap_or(next.len());
    next.iter().take(new).rev().cloned().collect()
}

/// # Panics
/// Where no reason is written so.
fn reason(detail: &str) -> Reason {
    let said = detail.trim_end_matches('…');
    let found = Reason::ALL.into_iter().find(|reason| reason.as_str().starts_with(said));
    found.unwrap_or_else(|| panic!("`{detail}` is no reason"))
}

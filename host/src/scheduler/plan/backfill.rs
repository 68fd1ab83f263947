//! Ticks of a span that is past, run again or for the first time, one after another beside the schedule. Of the whole span
//! the state keeps only where it stands, so it is small and survives its host.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Decision;
use super::admit::Draft;
use super::skip::{Reason, Skip, Skipped};
use super::state::JobState;
use super::{Rules, Term, later};

/// The most ticks of one back-fill.
pub const MAX_BACKFILL: usize = 1000;

/// A span that is being filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// The next tick to run.
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub next: Timestamp,
    /// The last.
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub last: Timestamp,
    /// When it was asked for: it ends with a change of its job, because its ticks are others then, or if the ensemble is restored
    /// from an older state.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub asked: Timestamp,
}

/// Why a span is not filled in. Nothing was changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BackfillError {
    /// It ends before it begins.
    #[error("to: `{to}` is before from, which is `{from}`")]
    Backwards {
        /// Its begin.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
    /// It reaches into the future.
    #[error("to: `{to}` is still to come")]
    Future {
        /// Its end.
        to: Timestamp,
    },
    /// There is no tick in it.
    #[error("from, to: the job has no tick from `{from}` to `{to}`")]
    Empty {
        /// Its begin.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
    /// There are too many.
    #[error("from, to: the job has more than {MAX_BACKFILL} ticks from `{from}` to `{to}`; fill in a shorter span")]
    TooMany {
        /// Its begin.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
    /// Nothing of the job begins until it is resumed.
    #[error("the job has paused itself ({why}): resume it first")]
    Paused {
        /// Why it did.
        why: String,
    },
    /// One at a time.
    #[error("ticks up to `{last}` are being filled in")]
    UnderWay {
        /// The last tick of that.
        last: Timestamp,
    },
}

/// Fills in the ticks from `from` to `to`, both included. Gives how many there are.
///
/// # Errors
/// [`BackfillError`].
pub fn backfilled(
    state: &JobState,
    rules: &Rules<'_>,
    term: &Term,
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<(Decision, usize), BackfillError> {
    if to < from {
        return Err(BackfillError::Backwards { from, to });
    }
    if to > now {
        return Err(BackfillError::Future { to });
    }
    if let Some(paused) = &state.paused {
        return Err(BackfillError::Paused { why: paused.why.clone() });
    }
    if let Some(Backfill { last, .. }) = state.backfill {
        return Err(BackfillError::UnderWay { last });
    }
    let before = from.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN);
    let next = |tick: Timestamp| rules.schedule.next_until(tick, to);
    let ticks: Vec<Timestamp> =
        std::iter::successors(next(before), |tick| next(*tick)).take(MAX_BACKFILL + 1).collect();
    let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else {
        return Err(BackfillError::Empty { from, to });
    };
    if ticks.len() > MAX_BACKFILL {
        return Err(BackfillError::TooMany { from, to });
    }
    let mut draft = Draft::of(state, rules, term, now);
    draft.state.backfill = Some(Backfill { next: *first, last: *last, asked: now });
    Ok((draft.decide(None), ticks.len()))
}

impl Draft<'_> {
    /// Takes the next tick out of the span.
    pub(super) fn next_filled_in(&mut self) -> Timestamp {
        let span = self.state.backfill.take().expect("a span is being filled in");
        let next = self.rules.schedule.next_until(span.next, span.last);
        self.state.backfill = next.map(|next| Backfill { next, ..span });
        span.next
    }

    /// Ends a span that was asked for by then.
    pub(super) fn end_backfill(&mut self, at: Timestamp, reason: Reason) {
        if let Some(Backfill { next, last, .. }) = self.state.backfill.take_if(|span| span.asked <= at) {
            let what = Skipped::Backfill { first: next, before: later(last, SignedDuration::from_secs(1)) };
            self.skips.push(Skip { what, reason });
        }
    }
}

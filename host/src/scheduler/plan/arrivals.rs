//! Which ticks have come since the cursor, and which of them `catch_up` leaves for a run.

use jiff::{SignedDuration, Timestamp};

use super::skip::{Reason, Skip, Skipped};
use super::{Rules, later, millis};
use crate::registry::{CatchUp, MAX_QUEUED, Overlap};
use crate::scheduler::due::{Due, Earlier, due};

/// Two ticks are never closer.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// The ticks that came since the cursor.
pub(super) struct Arrivals {
    /// The latest of them.
    pub(super) latest: Timestamp,
    /// Those left for a run, oldest first.
    pub(super) left: Vec<Arrival>,
    /// The others.
    pub(super) skips: Vec<Skip>,
}

/// A tick that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) tick: Timestamp,
    /// It was missed, and is caught up with: it waits for its turn whatever `overlap` says.
    pub(super) caught_up: bool,
}

/// What came after `cursor`, by `now`. A tick that came before `since` was missed; where the job is not busy, so was each that a
/// later one followed. None where nothing came.
pub(super) fn arrivals(
    rules: &Rules<'_>,
    cursor: Timestamp,
    since: Timestamp,
    now: Timestamp,
    busy: bool,
) -> Option<Arrivals> {
    let Due { tick: latest, earlier } = due(rules.schedule, cursor, now)?;
    let mut found = Arrivals { latest, left: Vec::new(), skips: Vec::new() };
    let ticks = found.named(rules, earlier, since, now);
    let window = match rules.policies.catch_up {
        CatchUp::Latest | CatchUp::None => None,
        CatchUp::All { window_ms, .. } => Some(now.checked_sub(millis(window_ms)).unwrap_or(Timestamp::MIN)),
    };
    for tick in ticks {
        let begins = rules.schedule.begins(tick);
        let live = begins >= since && (busy || tick == latest);
        let reason = if begins < since { Reason::Leaderless } else { Reason::HeldUp };
        match (rules.policies.catch_up, window) {
            _ if live => found.left.push(Arrival { tick, caught_up: false }),
            (CatchUp::Latest, _) if tick == latest => found.left.push(Arrival { tick, caught_up: false }),
            (CatchUp::Latest | CatchUp::None, _) => found.skip(tick, reason),
            (CatchUp::All { .. }, Some(window)) if begins < window => found.skip(tick, Reason::OutOfWindow),
            (CatchUp::All { .. }, _) => found.left.push(Arrival { tick, caught_up: true }),
        }
    }
    found.bound(rules);
    Some(found)
}

impl Arrivals {
    /// Each tick that may matter, oldest first; those before, where there are too many to name, are skipped in one.
    fn named(&mut self, rules: &Rules<'_>, earlier: Earlier, since: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        let first = match earlier {
            Earlier::Single(mut ticks) => {
                ticks.push(self.latest);
                return ticks;
            }
            Earlier::Span { first, .. } => first,
        };
        let ticks = newest(rules, first, now, MAX_QUEUED as usize + 1);
        let before = ticks.first().copied().unwrap_or(self.latest);
        let reason = match (rules.policies.catch_up, rules.policies.overlap) {
            (CatchUp::All { .. }, _) => Reason::TooManyMissed,
            (CatchUp::Latest | CatchUp::None, _) if first < since => Reason::Leaderless,
            (CatchUp::Latest | CatchUp::None, Overlap::QueueAll { .. }) => Reason::QueueFull,
            (
                CatchUp::Latest | CatchUp::None,
                Overlap::Skip | Overlap::QueueOne | Overlap::CancelRunning | Overlap::Allow { .. },
            ) => Reason::HeldUp,
        };
        self.skips.push(Skip { what: Skipped::Ticks { first, before }, reason });
        ticks
    }

    /// Of the ticks to catch up with, the latest `max`.
    fn bound(&mut self, rules: &Rules<'_>) {
        let CatchUp::All { max, .. } = rules.policies.catch_up else { return };
        let excess = self.left.iter().filter(|arrival| arrival.caught_up).count().saturating_sub(max as usize);
        // Those that were missed come before those that were not.
        let over: Vec<Arrival> = self.left.drain(..excess).collect();
        over.into_iter().for_each(|arrival| self.skip(arrival.tick, Reason::TooManyMissed));
    }

    fn skip(&mut self, tick: Timestamp, reason: Reason) {
        self.skips.push(Skip { what: Skipped::Tick(tick), reason });
    }
}

/// The latest `count` ticks from `first` on that have come, oldest first, by halving: more than `count` come after `from`.
fn newest(rules: &Rules<'_>, first: Timestamp, now: Timestamp, count: usize) -> Vec<Timestamp> {
    let after = |from: Timestamp| {
        let next =
            |tick: Timestamp| rules.schedule.next_until(tick, now).filter(|tick| rules.schedule.begins(*tick) <= now);
        std::iter::successors(next(from), move |tick| next(*tick)).take(count + 1).collect::<Vec<_>>()
    };
    let (mut from, mut to) = (first, now);
    while to.duration_since(from) > RESOLUTION {
        let middle = later(from, to.duration_since(from) / 2);
        let ticks = after(middle);
        match ticks.len() {
            some if some == count => return ticks,
            some if some > count => from = middle,
            _ => to = middle,
        }
    }
    let mut ticks = after(from);
    ticks.drain(..ticks.len().saturating_sub(count));
    ticks
}

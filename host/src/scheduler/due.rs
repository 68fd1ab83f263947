//! Which ticks have come since the last one that was decided. Pure, and bounded whatever the clock did meanwhile.

use jiff::{SignedDuration, Timestamp};

use crate::registry::Schedule;

/// How many missed ticks are recorded one by one; more are recorded as one span.
const MAX_SINGLE: usize = 64;

/// Two ticks are never closer.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// What has come since the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The latest tick.
    pub tick: Timestamp,
    /// Those before it.
    pub earlier: Earlier,
}

/// Ticks before the latest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// Each of them, oldest first.
    Single(Vec<Timestamp>),
    /// Too many to name: from the first to the last before the latest.
    Span {
        /// The oldest.
        first: Timestamp,
        /// No later than this.
        before: Timestamp,
    },
}

/// The ticks in `(cursor, now]`; None where there is none. At most a hundred steps of the schedule or so, even where the clock
/// jumped by years (kubernetes#42649).
pub(super) fn due(schedule: &Schedule, cursor: Timestamp, now: Timestamp) -> Option<Due> {
    let first = schedule.next_after(cursor).filter(|tick| *tick <= now)?;
    let mut ticks = vec![first];
    while ticks.len() <= MAX_SINGLE + 1 {
        match schedule.next_after(*ticks.last()?).filter(|tick| *tick <= now) {
            Some(tick) => ticks.push(tick),
            None => {
                let tick = ticks.pop()?;
                return Some(Due { tick, earlier: Earlier::Single(ticks) });
            }
        }
    }
    let tick = latest(schedule, first, now);
    Some(Due { tick, earlier: Earlier::Span { first, before: tick } })
}

/// The latest tick in `[first, now]`, by halving: `from` always has a tick behind it that is due, `to` has none.
fn latest(schedule: &Schedule, first: Timestamp, now: Timestamp) -> Timestamp {
    let next_due = |after: Timestamp| schedule.next_after(after).filter(|tick| *tick <= now);
    let (mut tick, mut to) = (first, now);
    while to.duration_since(tick) > RESOLUTION {
        let middle = tick + to.duration_since(tick) / 2;
        match next_due(middle) {
            Some(later) => tick = later,
            None => to = middle,
        }
    }
    next_due(tick).unwrap_or(tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn every(text: &str) -> Schedule {
        Schedule::parse(text, "UTC").unwrap()
    }

    #[test]
    fn nothing_is_due_before_the_next_tick_or_when_the_clock_steps_back() {
        let cursor = at("2026-01-01T00:00:10Z");
        assert_eq!(due(&every("@every 10s"), cursor, at("2026-01-01T00:00:19.999Z")), None);
        assert_eq!(due(&every("@every 10s"), cursor, at("2025-12-31T00:00:00Z")), None);
    }

    #[test]
    fn the_latest_is_due_and_the_earlier_ones_are_named() {
        let found = due(&every("@every 10s"), at("2026-01-01T00:00:10Z"), at("2026-01-01T00:00:40Z")).unwrap();
        assert_eq!(found.tick, at("2026-01-01T00:00:40Z"));
        assert_eq!(found.earlier, Earlier::Single(vec![at("2026-01-01T00:00:20Z"), at("2026-01-01T00:00:30Z")]));
    }

    #[test]
    fn years_of_missed_ticks_are_one_span() {
        let found = due(&every("@every 1s"), at("2020-01-01T00:00:00Z"), at("2026-01-01T00:00:00.5Z")).unwrap();
        assert_eq!(found.tick, at("2026-01-01T00:00:00Z"));
        let first = at("2020-01-01T00:00:01Z");
        assert_eq!(found.earlier, Earlier::Span { first, before: at("2026-01-01T00:00:00Z") });
        let yearly = every("0 0 1 1 *");
        let found = due(&yearly, at("1990-06-01T00:00:00Z"), at("2090-06-01T00:00:00Z")).unwrap();
        assert_eq!(found.tick, at("2090-01-01T00:00:00Z"));
    }

    #[test]
    fn the_latest_tick_is_found_in_few_steps_though_many_lie_just_before_it() {
        // 86 400 ticks on the first of each month, and none for two weeks.
        let bursts = every("* * * 1 * *");
        let found = due(&bursts, at("2026-01-01T00:00:00Z"), at("2026-03-14T09:26:53Z")).unwrap();
        assert_eq!(found.tick, at("2026-03-01T23:59:59Z"));
    }
}

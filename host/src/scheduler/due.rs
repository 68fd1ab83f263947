//! Which ticks have come since the last one that was decided. Pure, and bounded whatever the clock did meanwhile.
//!
//! A tick has come when its run may begin: at its nominal time, or with jitter a while later, but always before the next tick.

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

/// The ticks after `cursor` that have come by `now`; None where there is none. At most a hundred steps of the schedule or so, even where the clock
/// jumped by years (kubernetes#42649).
pub(super) fn due(schedule: &Schedule, cursor: Timestamp, now: Timestamp) -> Option<Due> {
    let next_due = |after: Timestamp| next_due(schedule, after, now);
    let first = next_due(cursor)?;
    let mut ticks = vec![first];
    while ticks.len() <= MAX_SINGLE + 1 {
        match next_due(*ticks.last()?) {
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

/// The first tick after `after`, where it has come.
fn next_due(schedule: &Schedule, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
    schedule.next_until(after, now).filter(|tick| schedule.begins(*tick) <= now)
}

/// The latest tick from `first` on that has come, by halving: `tick` always has, and none after `to`.
fn latest(schedule: &Schedule, first: Timestamp, now: Timestamp) -> Timestamp {
    let next_due = |after: Timestamp| next_due(schedule, after, now);
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
    use crate::registry::{Fold, JobId, ScheduleSpec};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn every(text: &str) -> Schedule {
        of(&ScheduleSpec::new(text))
    }

    fn of(spec: &ScheduleSpec) -> Schedule {
        Schedule::parse(spec, Some(&JobId::new("acme", "nightly").unwrap())).unwrap()
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
    fn a_tick_is_due_only_when_its_jitter_is_over() {
        let schedule = of(&ScheduleSpec { jitter_ms: 300_000, ..ScheduleSpec::new("@every 10m") });
        let (cursor, tick) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:10:00Z"));
        let begins = schedule.begins(tick);
        assert!(begins > tick + SignedDuration::from_secs(1));
        assert_eq!(due(&schedule, cursor, begins - SignedDuration::from_millis(1)), None);
        assert_eq!(due(&schedule, cursor, begins).unwrap().tick, tick);
        // After years too: the last nominal tick is still to begin, so the one before it is the latest that has come.
        let long_ago = at("1990-01-01T00:00:00Z");
        let found = due(&schedule, long_ago, begins - SignedDuration::from_millis(1)).unwrap();
        assert_eq!(found.tick, cursor);
        assert_eq!(due(&schedule, long_ago, begins).unwrap().tick, tick);
    }

    /// Unions, exclusions, folds and jitter, against a walk over every tick.
    #[test]
    fn whatever_the_schedule_the_latest_is_the_last_of_all_that_have_come() {
        let texts = ["30 6-16/4 * * 1-5".to_owned(), "*/20 1 * * *".to_owned(), "@every 7h".to_owned()];
        let schedule = of(&ScheduleSpec {
            schedule: texts.to_vec(),
            except: vec!["2026-10-10..2026-10-20".to_owned(), "* 10-12 * * SAT".to_owned()],
            time_zone: "America/New_York".to_owned(),
            fold: Fold::Both,
            jitter_ms: 200_000,
            ..ScheduleSpec::default()
        });
        let cursor = at("2026-09-01T00:00:00Z");
        let mut all = vec![];
        let mut before = cursor;
        while let Some(tick) = schedule.next_after(before).filter(|tick| *tick < at("2026-11-15T00:00:00Z")) {
            all.push(tick);
            before = tick;
        }
        assert!(all.len() > 400, "{}", all.len());
        let mut now = cursor;
        while now < at("2026-11-14T00:00:00Z") {
            let come: Vec<Timestamp> = all.iter().copied().filter(|tick| schedule.begins(*tick) <= now).collect();
            let found = due(&schedule, cursor, now);
            assert_eq!(found.as_ref().map(|due| due.tick), come.last().copied(), "{now}");
            match found.map(|due| due.earlier) {
                Some(Earlier::Single(earlier)) => assert_eq!(earlier, come[..come.len() - 1]),
                Some(Earlier::Span { first, .. }) => assert!(first == all[0] && come.len() > MAX_SINGLE),
                None => assert_eq!(come, []),
            }
            now += SignedDuration::from_secs(3571);
        }
    }

    #[test]
    fn the_latest_tick_is_found_in_few_steps_though_many_lie_just_before_it() {
        // 86 400 ticks on the first of each month, and none for two weeks.
        let bursts = every("* * * 1 * *");
        let found = due(&bursts, at("2026-01-01T00:00:00Z"), at("2026-03-14T09:26:53Z")).unwrap();
        assert_eq!(found.tick, at("2026-03-01T23:59:59Z"));
    }
}

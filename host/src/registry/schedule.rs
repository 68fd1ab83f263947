//! When a schedule ticks. Pure: the time is an argument, so every host computes the same ticks.
//!
//! A cron schedule at a fixed time of day runs once where the clocks go back or forward; one with a wildcard hour follows
//! real time.

use std::fmt::Display;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

const FIELDS: [(&str, i64, i64); 6] = [
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
];

/// An instant before any tick that matters; a schedule without a tick after it has none at all.
const LONG_AGO: Timestamp = Timestamp::constant(1_700_000_000, 0);

/// Why there is no such schedule. The text and the zone are the caller's to name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ScheduleError {
    /// Neither cron nor `@every`, or one that never ticks.
    #[error("{0}")]
    Schedule(String),
    /// Not an IANA name.
    #[error("no such time zone")]
    TimeZone,
}

/// A valid schedule in its zone.
#[derive(Clone, Debug)]
pub struct Schedule(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Ticks at the multiples of so many seconds since 1970.
    Every { seconds: i64 },
    /// Boxed: croner's pattern is large.
    Cron { cron: Box<Cron>, zone: TimeZone },
}

impl Schedule {
    /// Cron of 5 or 6 fields (seconds first), or `@every DURATION` of whole seconds; `zone` is an IANA name.
    ///
    /// # Errors
    /// What is wrong, naming the field of the cron text; also for one that never ticks, like 31 February.
    pub fn parse(text: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone = TimeZone::get(zone).map_err(|_| ScheduleError::TimeZone)?;
        let kind = match text.trim().strip_prefix("@every") {
            Some(interval) => Kind::Every { seconds: every(interval.trim()).map_err(ScheduleError::Schedule)? },
            None => Kind::Cron { cron: Box::new(cron(text).map_err(ScheduleError::Schedule)?), zone },
        };
        let schedule = Schedule(kind);
        match schedule.next_after(LONG_AGO) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Schedule("it never ticks".to_owned())),
        }
    }

    /// The first tick strictly after `now`. None where there is none before the calendar ends.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::Every { seconds } => {
                let next = now.as_second().div_euclid(*seconds).checked_add(1)?.checked_mul(*seconds)?;
                // Before 1970 `as_second` rounds towards zero; a tick not after `now` is the one before.
                let next = if Timestamp::from_second(next).ok()? <= now { next.checked_add(*seconds)? } else { next };
                Timestamp::from_second(next).ok()
            }
            Kind::Cron { cron, zone } => {
                let find = |start: Timestamp| cron.find_next_occurrence(&start.to_zoned(zone.clone()), false).ok();
                // croner gives up inside a gap of more than two hours (a skipped day): go on behind it.
                let found = find(now).or_else(|| find(zone.following(now).next()?.timestamp()))?;
                Some(found.timestamp())
            }
        }
    }
}

fn every(interval: &str) -> Result<i64, String> {
    if interval.is_empty() {
        return Err("`@every` wants a duration, like `@every 10s`".to_owned());
    }
    let duration = SignedDuration::from_str(interval)
        .map_err(|_| format!("`{interval}` is not a duration like `10s`, `5m` or `1h30m`"))?;
    if duration < SignedDuration::from_secs(1) {
        return Err(format!("`{interval}` is less than 1s"));
    }
    if duration.subsec_nanos() != 0 {
        return Err(format!("`{interval}` is not a whole number of seconds"));
    }
    Ok(duration.as_secs())
}

fn cron(text: &str) -> Result<Cron, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if text.contains('@') {
        return Err("beside cron only `@every DURATION` is known".to_owned());
    }
    if !(5..=6).contains(&fields.len()) {
        return Err(format!(
            "it has {} fields, and must have 5, or 6 with seconds first, or be `@every DURATION`",
            fields.len()
        ));
    }
    let parser = CronParser::builder().year(Year::Disallowed).build();
    parser.parse(text).map_err(|whole| {
        let names = &FIELDS[6 - fields.len()..];
        let guilty = names.iter().zip(&fields).enumerate().find_map(|(at, (name, field))| {
            let mut alone = ["*"; 6];
            alone[6 - fields.len() + at] = field;
            parser.parse(&alone.join(" ")).err().map(|error| reason(*name, field, &error))
        });
        guilty.unwrap_or_else(|| plain(&whole))
    })
}

/// What is wrong with one field.
fn reason((name, least, most): (&str, i64, i64), field: &str, error: &dyn Display) -> String {
    match field.parse::<i64>() {
        Ok(number) if !(least..=most).contains(&number) => format!("{name} {number} is not in {least}-{most}"),
        Ok(_) | Err(_) => format!("{name} `{field}` ({least}-{most}): {}", plain(error)),
    }
}

/// A message of croner's in our style: no heading, no capital, no full stop.
fn plain(error: &dyn Display) -> String {
    let message = error.to_string();
    let message = message.split_once(": ").map_or(message.as_str(), |(_, detail)| detail).trim_end_matches('.');
    let message = message.trim_start_matches("CronPattern ");
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(schedule: &str, zone: &str, after: &str, expected: &[&str]) {
        let schedule = Schedule::parse(schedule, zone).unwrap();
        let mut now = at(after);
        for tick in expected {
            now = schedule.next_after(now).unwrap();
            assert_eq!(now, at(tick));
        }
    }

    #[test]
    fn a_fixed_time_in_the_hour_that_new_york_repeats_runs_once() {
        let ticks = ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"];
        check("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", &ticks);
        // Asked again from within the repeated half, it doesn't come back.
        check("30 1 * * *", "America/New_York", "2026-11-01T06:10:00Z", &ticks[1..]);
    }

    #[test]
    fn a_fixed_time_in_the_hour_that_new_york_skips_runs_once_behind_the_gap() {
        let ticks = ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"];
        check("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", &ticks);
    }

    #[test]
    fn a_wildcard_follows_real_time_over_the_fold() {
        let ticks = ["2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z"];
        check("*/30 * * * *", "America/New_York", "2026-11-01T04:45:00Z", &ticks);
    }

    #[test]
    fn the_half_hour_of_lord_howe_neither_doubles_nor_swallows_a_run() {
        // Clocks go back from 02:00 (+11) to 01:30 (+10:30) on 5 April 2026, forward from 02:00 to 02:30 on 4 October.
        let fold = ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"];
        check("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", &fold);
        let gap = ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"];
        check("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", &gap);
    }

    #[test]
    fn a_zone_that_skips_a_whole_day_goes_on_behind_it() {
        check("0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z", &["2011-12-30T22:00:00Z"]);
    }

    #[test]
    fn every_ticks_at_multiples_since_1970_whoever_asks() {
        check("@every 90s", "UTC", "1970-01-01T00:00:00Z", &["1970-01-01T00:01:30Z", "1970-01-01T00:03:00Z"]);
        check("@every 1s", "UTC", "2026-01-01T00:00:00.999Z", &["2026-01-01T00:00:01Z"]);
        check("@every 1s", "UTC", "2026-01-01T00:00:00Z", &["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"]);
        check("@every 10s", "UTC", "1969-12-31T23:59:55.5Z", &["1970-01-01T00:00:00Z"]);
    }

    #[test]
    fn six_fields_begin_with_seconds() {
        check("*/20 0 12 * * *", "UTC", "2026-01-01T12:00:10Z", &["2026-01-01T12:00:20Z", "2026-01-01T12:00:40Z"]);
    }

    #[test]
    fn a_leap_day_is_found_and_an_irregular_schedule_does_not_spin() {
        check("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", &["2104-02-29T00:00:00Z"]);
        check("30 6-16/4 * * 1-5", "UTC", "2026-01-02T14:31:00Z", &["2026-01-05T06:30:00Z", "2026-01-05T10:30:00Z"]);
    }

    #[test]
    fn refusals_name_the_field_and_the_value() {
        let texts = [
            "61 * * * *",
            "* 24 * * *",
            "0 0 31 2 *",
            "0 0 0 * *",
            "5-70 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "* * * *",
            "* * * * * * 2030",
            "",
            "@daily",
            "@every",
            "@every 0s",
            "@every 500ms",
            "@every 1.5s",
            "@every -3s",
            "@every soon",
            "@every 9000000000h",
        ];
        let refusals: Vec<String> =
            texts.iter().map(|text| format!("{text:?}: {}", Schedule::parse(text, "UTC").unwrap_err())).collect();
        insta::assert_snapshot!(refusals.join("\n"));
        assert_eq!(Schedule::parse("* * * * *", "Mars/Olympus").unwrap_err(), ScheduleError::TimeZone);
    }

    #[test]
    fn an_impossible_date_is_refused_in_bounded_time() {
        let begun = clock::system().boot();
        assert!(Schedule::parse("0 0 31 2 *", "America/New_York").is_err());
        let took = clock::system().boot() - begun;
        assert!(took.as_secs() < 2, "took {took:?}");
    }

    proptest! {
        #[test]
        fn the_next_tick_is_always_later(
            second in 0i64..4_000_000_000,
            nanosecond in 0i32..1_000_000_000,
            schedule in prop::sample::select(vec!["30 2 * * *", "*/7 * * * *", "0 0 1 * 1", "@every 7s", "15 45 1 * * *"]),
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Australia/Lord_Howe", "America/Santiago"]),
        ) {
            let now = Timestamp::new(second, nanosecond).unwrap();
            let tick = Schedule::parse(schedule, zone).unwrap().next_after(now);
            prop_assert!(tick.is_some_and(|tick| tick > now && tick.subsec_nanosecond() == 0), "{now} -> {tick:?}");
        }
    }
}

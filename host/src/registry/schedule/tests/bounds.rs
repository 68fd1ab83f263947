//! Whatever the schedule and however far away its next tick, finding it is a moment's work.

use proptest::prelude::*;

use super::*;
use crate::clock;

/// Long beside what it takes, also on a busy machine; short beside what a walk over every tick would.
const MOMENT_MS: u128 = 3000;

#[track_caller]
fn quickly<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = clock::system().boot();
    let done = work();
    let took = clock::system().boot() - begun;
    assert!(took.as_millis() < MOMENT_MS, "{what} took {took:?}");
    done
}

#[test]
fn kubernetes_118706_an_irregular_schedule_does_not_spin() {
    let ticks = ["2026-01-05T06:30:00Z", "2026-01-05T10:30:00Z", "2026-01-05T14:30:00Z", "2026-01-06T06:30:00Z"];
    quickly("30 6-16/4 * * 1-5", || check("30 6-16/4 * * 1-5", "UTC", "2026-01-02T14:31:00Z", &ticks));
}

#[test]
fn sparse_schedules_are_found_in_a_moment() {
    for (schedule, zone, after, tick) in [
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("0 0 29 2 +MON", "America/New_York", "2072-03-01T00:00:00Z", "2112-02-29T05:00:00Z"),
        ("0 0 12 1 1 * 2099", "America/New_York", "1970-01-01T00:00:00Z", "2099-01-01T17:00:00Z"),
        ("* * * 1 1 * 2199", "Africa/Lagos", "1970-01-01T00:00:00Z", "2198-12-31T23:00:00Z"),
        ("30 2 8-14 3 +SUN", "America/New_York", "2026-03-09T00:00:00Z", "2027-03-14T07:30:00Z"),
    ] {
        quickly(schedule, || check(schedule, zone, after, &[tick]));
    }
    // Only in a gap, and skipped there: before 2007 the clocks went forward in April.
    let skipping = ScheduleSpec { gap: Gap::Skip, ..spec(&["30 2 8-14 3 +SUN"], "America/New_York") };
    let schedule = quickly("parsing", || parse(&skipping));
    assert_eq!(quickly("400 years", || schedule.next_after(at("2026-01-01T00:00:00Z"))), None);
}

#[test]
fn exclusions_are_stepped_over_in_a_moment() {
    let left = |schedule: &str, except: &[&str]| ScheduleSpec {
        except: except.iter().map(|text| (*text).to_owned()).collect(),
        ..spec(&[schedule], "America/New_York")
    };
    let decades = left("* * * * * *", &["2026-01-01..2199-12-31"]);
    quickly("decades", || ticks(&decades, "2026-06-01T00:00:00Z", &["2200-01-01T05:00:00Z"]));
    let leap_days = left("@every 1s", &["* * * 1,3-12 *", "* * 1-28 2 *"]);
    quickly("leap days", || ticks(&leap_days, "2096-03-01T06:00:00Z", &["2104-02-29T05:00:00Z"]));
    for never in [left("* * * * * *", &["* */2 * * *", "* 1-23/2 * * *"]), left("@every 1h", &["* * * * *"])] {
        quickly("never", || Schedule::parse(&never, None).unwrap_err());
    }
    // Each tick is left out by itself, for ever.
    let hours = ScheduleSpec { time_zone: "UTC".to_owned(), ..left("@every 2h", &["* */2 * * *"]) };
    quickly("each by itself", || Schedule::parse(&hours, None).unwrap_err());
}

#[test]
fn an_impossible_date_is_refused_in_a_moment() {
    for impossible in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 29 2 * 2023", "0 0 0 29 2 * 2023"] {
        let refused = quickly(impossible, || Schedule::parse(&spec(&[impossible], "America/New_York"), None));
        assert!(refused.is_err(), "{impossible}");
    }
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
        let tick = parse(&spec(&[schedule], zone)).next_after(now);
        prop_assert!(tick.is_some_and(|tick| tick > now && tick.subsec_nanosecond() == 0), "{now} -> {tick:?}");
    }
}

//! Whatever a tenant writes, a search for its ticks takes few steps, or it is refused. Steps are counted, not time.

use proptest::prelude::*;

use super::super::work::{SEARCH_STEPS, Work};
use super::*;

/// How many steps a search takes, and what it finds. The search is not cut short.
fn counted(schedule: &Schedule, now: Timestamp) -> (Option<Timestamp>, u32) {
    let mut work = Work::up_to(u32::MAX);
    let tick = schedule.plan.search(now, Timestamp::MAX, &mut work).unwrap();
    (tick, u32::MAX - work.left())
}

fn except(texts: &[String], spec: ScheduleSpec) -> ScheduleSpec {
    ScheduleSpec { except: texts.to_vec(), ..spec }
}

/// 64 schedules at 23 h by 64 exclusions that leave in that hour on a Thursday 29 February alone.
fn one_hour_in_decades() -> ScheduleSpec {
    let schedule: Vec<String> = (0..60)
        .map(|minute| format!("{minute} 23 * * *"))
        .chain((1..5).map(|second| format!("{second} 0 23 * * *")))
        .collect();
    let days: Vec<String> = (1..=31).map(|day| format!("{day}W")).collect();
    let rare = ["* 0-22 * * *", "* 23 * 1,3-12 *", "* 23 1-28 2 *", "* 23 29 2 +SUN-WED,FRI,SAT"].map(str::to_owned);
    let idle = (0..60).map(|n| format!("* 0-{} {} {}-12 +SUN", 22 - n % 20, days.join(","), 1 + n / 20));
    let except: Vec<String> = rare.into_iter().chain(idle).collect();
    assert_eq!((schedule.len(), except.len()), (MAX_TEXTS, MAX_TEXTS));
    ScheduleSpec { schedule, except, ..ScheduleSpec::default() }
}

#[test]
fn b3_an_hour_in_decades_is_found_in_few_steps() {
    let schedule = parse(&one_hour_in_decades());
    let (tick, steps) = counted(&schedule, at("2026-01-01T00:00:00Z"));
    assert_eq!(tick, Some(at("2052-02-29T23:00:00Z")));
    assert!(steps < 2000, "{steps}");
    // Asked again within it, and behind it.
    let (tick, steps) = counted(&schedule, at("2052-02-29T23:00:00Z"));
    assert!(tick == Some(at("2052-02-29T23:00:01Z")) && steps < 1000, "{tick:?} {steps}");
    let (tick, steps) = counted(&schedule, at("2052-03-01T00:00:00Z"));
    assert!(tick == Some(at("2080-02-29T23:00:00Z")) && steps < 2000, "{tick:?} {steps}");
}

/// An interval that begins later says nothing of the ticks until then.
#[test]
fn b3_an_interval_that_has_not_begun_proves_nothing() {
    for (schedule, except) in [
        (["@every 12h phase 1h", "@every 10m from 2030-01-01T00:00:00Z"], "* 9-11,21-22 * * *"),
        (["@every 86401s", "@every 2h from 9999-01-01T00:00:00Z"], "* 0-11 * * *"),
    ] {
        let spec = ScheduleSpec {
            schedule: schedule.map(str::to_owned).to_vec(),
            except: vec![except.to_owned()],
            time_zone: "America/New_York".to_owned(),
            ..ScheduleSpec::default()
        };
        // Refused, or it finds what comes after a summer without a tick.
        match Schedule::parse(&spec, None) {
            Ok(schedule) => {
                let (tick, steps) = counted(&schedule, at("2027-03-14T01:00:00Z"));
                assert!(
                    tick.is_some_and(|tick| tick < at("2027-12-01T00:00:00Z")) && steps < SEARCH_STEPS,
                    "{tick:?} {steps}"
                );
            }
            Err(refused) => assert!(refused.to_string().contains("too much work"), "{refused}"),
        }
    }
    // One that has begun when the first tick comes proves it all the same.
    let spec = ScheduleSpec {
        except: vec!["* 0-11 * * *".to_owned()],
        ..ScheduleSpec::new("@every 10m from 2030-01-01T00:00:00Z")
    };
    assert_eq!(parse(&spec).next_after(at("2027-01-01T00:00:00Z")), Some(at("2030-01-01T12:00:00Z")));
}

/// Months of years that nobody names are not looked at, although another schedule names no years.
#[test]
fn b3_years_are_passed_over_beside_a_schedule_of_any_year() {
    let mut schedule: Vec<String> = (0..63).map(|n| format!("{n} 0 0 * * ? 2199")).collect();
    schedule[60..].iter_mut().enumerate().for_each(|(n, text)| *text = format!("0 {n} 1 * * ? 2199"));
    schedule.push("0 0 29 2 +THU".to_owned());
    let except = ["2052-02-29", "2080-02-29", "2120-02-29", "2148-02-29", "2176-02-29"].map(str::to_owned).to_vec();
    let spec = ScheduleSpec { schedule, except, ..ScheduleSpec::default() };
    let (tick, steps) = counted(&parse(&spec), at("2027-01-01T00:00:00Z"));
    assert!(tick == Some(at("2199-01-01T00:00:00Z")) && steps < 5000, "{tick:?} {steps}");
}

#[test]
fn b3_jitter_among_rare_ticks_is_checked_in_a_moment() {
    let spec = ScheduleSpec { jitter_ms: 500, ..one_hour_in_decades() };
    let schedule = parse(&spec);
    assert_eq!(schedule.check_at(&spec, at("2026-01-01T00:00:00Z")), Ok(()));
    let too_long = ScheduleSpec { jitter_ms: 1000, ..spec };
    let refused = parse(&too_long).check_at(&too_long, at("2026-01-01T00:00:00Z")).unwrap_err();
    assert_eq!(refused.field, "jitter");
}

/// What would be looked through in vain for longest, or is parsed with most work.
fn nasty() -> Vec<(&'static str, ScheduleSpec)> {
    let new_york = |schedule: Vec<String>| ScheduleSpec {
        schedule,
        time_zone: "America/New_York".to_owned(),
        ..ScheduleSpec::default()
    };
    let minutes = |rest: &str| (0..60).map(|minute| format!("{minute} {rest}")).collect::<Vec<String>>();
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
    let leap_years = (1972..2300).step_by(4).filter(|year| year % 100 != 0 || year % 400 == 0);
    let leap_days: Vec<String> = leap_years.map(|year| format!("{year}-02-29")).take(MAX_TEXTS).collect();
    let many = |hours: &'static str| {
        (0..60).map(move |n| format!("* {hours} {}W,L-{} * SUN#{}", 1 + n % 31, 1 + n % 30, 1 + n % 5))
    };
    let skipped = [minutes("2 8-14 3 +SUN"), texts(&["0 0 0 1 1 ? 2199"])].concat();
    let years = (0..32).flat_map(|n| {
        [format!("0 {n} 0 29 2 +MON 1970-2199/2"), format!("0 {n} 0 31 1,3,5 +TUE {}-2199/13", 1970 + n)]
    });
    vec![
        ("one hour in decades", one_hour_in_decades()),
        ("skipped each year", ScheduleSpec { gap: Gap::Skip, ..new_york(skipped.clone()) }),
        (
            "skipped each year, in part left out",
            except(&many("3-23").collect::<Vec<_>>(), ScheduleSpec { gap: Gap::Skip, ..new_york(skipped) }),
        ),
        (
            "shifted into what is left out",
            except(&texts(&["* 3 * * *"]), new_york([minutes("2 8-14 3 +SUN"), texts(&["0 5 1 1 *"])].concat())),
        ),
        (
            "shifted out of what is left out",
            except(&texts(&["* 0-2 * * *", "* 4-23 * * *"]), new_york(minutes("2 8-14 3 +SUN"))),
        ),
        ("leap days by date", except(&leap_days, new_york(minutes("0 29 2 *")))),
        ("years that never fit", new_york(years.collect())),
        ("the fifth Sunday of February", ScheduleSpec { schedule: minutes("0 * 2 SUN#5"), ..ScheduleSpec::default() }),
        ("a year in two centuries", spec(&["0 0 0 29 2 +THU 2148,2176"], "Africa/Casablanca")),
        (
            "an interval and one hour a week",
            except(&texts(&["* * * * MON-SAT", "* 1-23 * * *"]), spec(&["@every 90m"], "UTC")),
        ),
        (
            "an interval and every other hour",
            except(&texts(&["* 1-23/2 * * *"]), spec(&["@every 7201s", "@every 3601s"], "UTC")),
        ),
        (
            "an interval and leap days",
            except(&texts(&["* * * 1,3-12 *", "* * 1-28 2 *"]), spec(&["@every 1s"], "Asia/Gaza")),
        ),
        ("a day and a second", except(&texts(&["* 0-11 * * *"]), spec(&["@every 86401s"], "UTC"))),
        (
            "an interval in an hour that is skipped",
            except(
                &texts(&["* 0-1,3-23 * * *", "* 2 * 1-2,4-12 *", "* 2 1-7,15-31 3 *", "* 2 8-14 3 +MON-SAT"]),
                new_york(texts(&["@every 30m", "@every 1h"])),
            ),
        ),
        ("weeks", except(&texts(&["* * * * SAT,SUN"]), spec(&["@every 20d", "@every 30d"], "Europe/Berlin"))),
        ("years apart", except(&many("3").collect::<Vec<_>>(), spec(&["@every 87600h"], "Europe/Berlin"))),
        (
            "centuries",
            except(
                &texts(&["1970-01-01..2300-01-01", "2300-01-03..9999-12-30"]),
                spec(&["* * * * * *", "@every 1s"], "Africa/Cairo"),
            ),
        ),
        (
            "everything at once",
            ScheduleSpec {
                except: one_hour_in_decades().except,
                ..spec(&["@every 1s", "@every 59m", "0 23 * * *", "*/7 * * * *"], "Africa/Casablanca")
            },
        ),
    ]
}

/// Instants all over the time that schedules are for.
fn instants() -> impl Iterator<Item = Timestamp> {
    let begin = at("1970-01-01T00:00:00Z");
    (0..60).map(move |n| begin + SignedDuration::from_hours(n * 62_123) + SignedDuration::from_secs(n * 77))
}

#[test]
fn b3_what_is_accepted_takes_few_steps_whenever_it_is_asked() {
    for (name, spec) in nasty() {
        let schedule = match Schedule::parse(&spec, Some(&nightly())) {
            Ok(schedule) => schedule,
            Err(refused) => {
                assert!(
                    refused.reason.contains("too much work") || refused.reason.contains("all of its ticks"),
                    "{name}: {refused}"
                );
                continue;
            }
        };
        for now in instants() {
            let mut before = now;
            for _ in 0..5 {
                let (tick, steps) = counted(&schedule, before);
                assert!(steps <= SEARCH_STEPS, "{name}: {steps} steps from {before}");
                let Some(tick) = tick else { break };
                before = tick;
            }
        }
    }
}

/// A search for a tick that is near is short, however rare the other schedules of the job are: catching up asks for many in a row.
#[test]
fn b3_a_tick_that_is_near_is_found_in_few_steps() {
    let rare = (0..60).map(|minute| format!("{minute} 2 29 2 +THU"));
    let dense = ["*/7 * * * *", "@every 59m", "@every 1s"].map(str::to_owned);
    let left_out: Vec<String> =
        (0..MAX_TEXTS).map(|n| format!("* 3 {}W,L-{} * +SUN", 1 + n % 31, 1 + n % 30)).collect();
    let schedule = parse(&except(
        &left_out,
        ScheduleSpec {
            schedule: rare.chain(dense).collect(),
            time_zone: "America/New_York".to_owned(),
            ..ScheduleSpec::default()
        },
    ));
    let mut before = at("2026-03-08T06:59:00Z");
    for _ in 0..5000 {
        let (tick, steps) = counted(&schedule, before);
        assert!(steps < 1000, "{steps} steps from {before}");
        before = tick.unwrap();
    }
    assert!(before < at("2026-03-08T10:00:00Z"));
}

#[test]
fn b3_only_intervals_among_excluded_hours_may_be_refused() {
    let refused: Vec<String> = nasty()
        .into_iter()
        .filter_map(|(name, spec)| Some(format!("{name}: {}", Schedule::parse(&spec, Some(&nightly())).err()?)))
        .collect();
    insta::assert_snapshot!(refused.join("\n"));
}

#[test]
fn b3_a_text_that_is_too_long_is_refused() {
    let long = format!("{} * * * *", vec!["0-59"; 300].join(","));
    let refused = Schedule::parse(&spec(&[&long], "UTC"), None).unwrap_err();
    assert_eq!((refused.field, refused.reason.as_str()), ("schedule", "it has 1507 bytes, and the limit is 1000"));
    let all = (0..60).map(|minute| minute.to_string()).collect::<Vec<_>>().join(",");
    parse(&spec(&[&format!("{all} * * * *")], "UTC"));
}

// ---- chance ----

fn list(texts: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(texts).prop_map(str::to_owned), 0..=most)
}

/// Fields of five or seven, each rare in its own way.
fn any_cron() -> impl Strategy<Value = String> {
    let day = ["*", "?", "29", "31", "L", "LW", "L-30", "1W,15W,31W", "*/30", "29-31", "H"];
    let month = ["*", "2", "1-12/11", "4,6,9,11", "3", "*/5"];
    let weekday = ["*", "+MON", "SUN#5", "5L", "+*/6", "SAT,SUN", "+THU#5", "*/7"];
    let hour = ["*", "2", "*/2", "23", "0-3", "H(1-3)"];
    let years = ["", " *", " 1970-2199/28", " 2199", " 2024,2052"];
    let select = |texts: &[&'static str]| prop::sample::select(texts.to_vec());
    (0..60u8, select(&hour), select(&day), select(&month), select(&weekday), select(&years)).prop_map(
        |(minute, hour, day, month, weekday, years)| {
            let second = if years.is_empty() { "" } else { "0 " };
            format!("{second}{minute} {hour} {day} {month} {weekday}{years}")
        },
    )
}

fn any_interval() -> impl Strategy<Value = String> {
    let phase = |seconds: u32| (0..seconds).prop_map(move |phase| format!("@every {seconds}s phase {phase}s"));
    prop_oneof![
        (1..7200u32).prop_flat_map(phase),
        (3600..400_000u32).prop_flat_map(phase),
        (1..80u32).prop_map(|days| format!("@every {days}d")),
        (1..400_000u32, 0..8_000_000_000_i64).prop_map(|(seconds, from)| {
            format!("@every {seconds}s from {}", Timestamp::from_second(from).unwrap())
        }),
    ]
}

fn any_exclusion() -> impl Strategy<Value = String> {
    let hours = ["*", "0-22", "*/2", "1-23/2", "2", "3", "0-11"];
    let days = ["*", "1-28", "29", "1-30", "15W,16W,17W", "*/2", "L"];
    let months = ["*", "1,3-12", "2", "3", "*/2"];
    let weekdays = ["*", "SAT,SUN", "+SUN-WED,FRI,SAT", "MON#1", "+*/2"];
    let select = |texts: &[&'static str]| prop::sample::select(texts.to_vec());
    let cron = (select(&hours), select(&days), select(&months), select(&weekdays))
        .prop_map(|(hours, days, months, weekdays)| format!("* {hours} {days} {months} {weekdays}"));
    let date = |day: i32| (jiff::civil::date(1970, 1, 1) + SignedDuration::from_hours(24 * i64::from(day))).to_string();
    let dates = (0..160_000i32, prop_oneof![Just(0), 0..90, 0..80_000])
        .prop_map(move |(first, days)| format!("{}..{}", date(first), date(first + days)));
    prop_oneof![2 => cron, 1 => dates]
}

fn any_spec() -> impl Strategy<Value = ScheduleSpec> {
    let some = |most: usize| prop_oneof![2 => 0..=2usize, 1 => 0..=most];
    let crons = some(64).prop_flat_map(|count| prop::collection::vec(any_cron(), count));
    let intervals = some(8).prop_flat_map(|count| prop::collection::vec(any_interval(), count));
    let exclusions = some(64).prop_flat_map(|count| prop::collection::vec(any_exclusion(), count));
    let zones =
        ["UTC", "America/New_York", "Africa/Casablanca", "Australia/Lord_Howe", "Asia/Gaza", "Antarctica/Troll"];
    let rules = (
        prop::sample::select(vec![Gap::Shift, Gap::Skip]),
        prop::sample::select(vec![Fold::First, Fold::Last, Fold::Both]),
    );
    let at = list(&["2052-02-29T12:00:00Z", "2199-12-31T23:59:59Z", "2026-11-01 01:30"], 2);
    (crons, intervals, at, exclusions, prop::sample::select(zones.to_vec()), rules).prop_map(
        |(crons, intervals, at, except, zone, (gap, fold))| {
            let schedule: Vec<String> = crons.into_iter().chain(intervals).take(MAX_TEXTS).collect();
            ScheduleSpec { schedule, at, except, time_zone: zone.to_owned(), gap, fold, jitter_ms: 0 }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn b3_of_schedules_of_chance_all_that_are_accepted_take_few_steps(
        spec in any_spec(),
        seconds in prop::collection::vec(0i64..13_000_000_000, 8),
    ) {
        let Ok(schedule) = Schedule::parse(&spec, Some(&nightly())) else { return Ok(()) };
        for second in seconds {
            let mut before = Timestamp::from_second(second).unwrap();
            for _ in 0..3 {
                let (tick, steps) = counted(&schedule, before);
                prop_assert!(steps <= SEARCH_STEPS, "{} steps from {}", steps, before);
                prop_assert!(tick.is_none_or(|tick| tick > before));
                let Some(tick) = tick else { break };
                before = tick;
            }
        }
    }
}

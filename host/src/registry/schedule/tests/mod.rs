//! What schedules name, and what is refused.

mod bounded_work;
mod bounds;
mod by_definition;
mod jitter;
mod refusals;
mod remarks;
mod tables;
mod transitions;
mod zones;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn nightly() -> JobId {
    JobId { tenant: "acme".to_owned(), name: "nightly".to_owned() }
}

fn spec(schedules: &[&str], zone: &str) -> ScheduleSpec {
    let schedule = schedules.iter().map(|text| (*text).to_owned()).collect();
    ScheduleSpec { schedule, time_zone: zone.to_owned(), ..ScheduleSpec::default() }
}

#[track_caller]
fn parse(spec: &ScheduleSpec) -> Schedule {
    Schedule::parse(spec, Some(&nightly())).unwrap()
}

/// The ticks after a time are these.
#[track_caller]
fn ticks(spec: &ScheduleSpec, after: &str, expected: &[&str]) {
    let schedule = parse(spec);
    let mut now = at(after);
    for tick in expected {
        now = schedule.next_after(now).unwrap();
        assert_eq!(now, at(tick), "{:?} {:?}", spec.schedule, spec.at);
    }
}

#[track_caller]
fn check(schedule: &str, zone: &str, after: &str, expected: &[&str]) {
    ticks(&spec(&[schedule], zone), after, expected);
}

#[test]
fn every_ticks_at_multiples_since_1970_whoever_asks() {
    check("@every 90s", "UTC", "1970-01-01T00:00:00Z", &["1970-01-01T00:01:30Z", "1970-01-01T00:03:00Z"]);
    check("@every 1s", "UTC", "2026-01-01T00:00:00.999Z", &["2026-01-01T00:00:01Z"]);
    check("@every 1s", "UTC", "2026-01-01T00:00:00Z", &["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"]);
    check("@every 10s", "UTC", "1969-12-31T23:59:55.5Z", &["1970-01-01T00:00:00Z"]);
}

#[test]
fn every_may_have_a_phase_or_a_beginning() {
    check("@every 1h phase 5m", "UTC", "2026-01-01T00:05:00Z", &["2026-01-01T01:05:00Z", "2026-01-01T02:05:00Z"]);
    let ticks = ["2026-12-01T08:00:00Z", "2026-12-02T20:00:00Z"];
    check("@every 36h from 2026-12-01T09:00:00+01:00", "UTC", "2026-01-01T00:00:00Z", &ticks);
}

#[test]
fn six_fields_begin_with_seconds_and_seven_end_with_the_year() {
    check("*/20 0 12 * * *", "UTC", "2026-01-01T12:00:10Z", &["2026-01-01T12:00:20Z", "2026-01-01T12:00:40Z"]);
    check("30 0 0 1 1 * 2030-2031", "UTC", "2026-01-01T00:00:00Z", &["2030-01-01T00:00:30Z", "2031-01-01T00:00:30Z"]);
}

#[test]
fn words_stand_for_cron() {
    let words = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];
    let next: Vec<String> = words
        .map(|word| parse(&spec(&[word], "UTC")).next_after(at("2026-05-05T05:05:05Z")).unwrap().to_string())
        .to_vec();
    let expected = [
        "2026-05-05T06:00:00Z",
        "2026-05-06T00:00:00Z",
        "2026-05-06T00:00:00Z",
        "2026-05-10T00:00:00Z",
        "2026-06-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
    ];
    assert_eq!(next, expected);
}

#[test]
fn the_last_day_the_nearest_workday_and_the_second_tuesday_are_found() {
    check("0 9 L * *", "UTC", "2028-02-01T00:00:00Z", &["2028-02-29T09:00:00Z", "2028-03-31T09:00:00Z"]);
    check("0 9 LW * *", "UTC", "2026-05-01T00:00:00Z", &["2026-05-29T09:00:00Z", "2026-06-30T09:00:00Z"]);
    // 15 August 2026 is a Saturday, 15 November a Sunday, 1 August a Saturday.
    check("0 9 15W 8,11 *", "UTC", "2026-08-01T00:00:00Z", &["2026-08-14T09:00:00Z", "2026-11-16T09:00:00Z"]);
    check("0 9 1W 8 *", "UTC", "2026-07-31T10:00:00Z", &["2026-08-03T09:00:00Z"]);
    check("0 9 * * TUE#2", "UTC", "2026-05-01T00:00:00Z", &["2026-05-12T09:00:00Z", "2026-06-09T09:00:00Z"]);
    check("0 9 * JAN-MAR friL", "UTC", "2026-01-01T00:00:00Z", &["2026-01-30T09:00:00Z", "2026-02-27T09:00:00Z"]);
    check("0 9 13 * +FRI", "UTC", "2026-04-01T00:00:00Z", &["2026-11-13T09:00:00Z"]);
}

/// Vixie cron and cronie: a field that begins with `*` makes both of them have to match.
#[test]
fn b3_a_day_must_fit_both_fields_if_one_begins_with_a_star() {
    // May 2026 begins on a Friday.
    let mondays = ["2026-05-11T00:00:00Z", "2026-05-25T00:00:00Z", "2026-06-01T00:00:00Z", "2026-06-15T00:00:00Z"];
    for both in ["0 0 */2 * MON", "0 0 1-31/2 * +MON", "0 0 */2 * +MON", "0 0 */2,9 * 1"] {
        check(both, "UTC", "2026-05-01T00:00:00Z", &mondays);
    }
    check("0 0 13 * */5", "UTC", "2026-05-01T00:00:00Z", &["2026-09-13T00:00:00Z", "2026-11-13T00:00:00Z"]);
    check("0 0 ? * MON", "UTC", "2026-05-01T00:00:00Z", &["2026-05-04T00:00:00Z", "2026-05-11T00:00:00Z"]);
    // A range is no star, whatever it has.
    check(
        "0 0 1-31/15 * MON",
        "UTC",
        "2026-05-01T00:00:00Z",
        &["2026-05-04T00:00:00Z", "2026-05-11T00:00:00Z", "2026-05-16T00:00:00Z"],
    );
    let except = ScheduleSpec { except: vec!["* * */2 * MON".to_owned()], ..spec(&["0 9 * * *"], "UTC") };
    let but_mondays = ["2026-05-10T09:00:00Z", "2026-05-12T09:00:00Z", "2026-05-13T09:00:00Z"];
    ticks(&except, "2026-05-09T12:00:00Z", &but_mondays);
}

#[test]
fn b3_days_before_the_last_are_counted_back() {
    check(
        "0 9 L-2 * *",
        "UTC",
        "2028-01-01T00:00:00Z",
        &["2028-01-29T09:00:00Z", "2028-02-27T09:00:00Z", "2028-03-29T09:00:00Z"],
    );
    check("0 9 l-3,1 2 *", "UTC", "2026-01-01T00:00:00Z", &["2026-02-01T09:00:00Z", "2026-02-25T09:00:00Z"]);
    // Only months of 31 days have a day 30 days before their last.
    check("0 9 L-30 * *", "UTC", "2026-01-02T00:00:00Z", &["2026-03-01T09:00:00Z", "2026-05-01T09:00:00Z"]);
}

#[test]
fn b3_a_day_of_an_interval_has_24_hours() {
    check("@every 1d", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"]);
    check("@every 1d12h phase 1h", "UTC", "1970-01-01T00:00:00Z", &["1970-01-01T01:00:00Z", "1970-01-02T13:00:00Z"]);
    check("@every 1w", "UTC", "1970-01-01T00:00:00Z", &["1970-01-08T00:00:00Z"]);
    check("@every 1.5h", "UTC", "1970-01-01T00:00:00Z", &["1970-01-01T01:30:00Z"]);
}

#[test]
fn a_tick_that_several_schedules_name_is_one() {
    let several = ScheduleSpec {
        at: vec!["2026-01-01T01:30:00Z".to_owned(), "2026-01-01T02:00:00Z".to_owned()],
        ..spec(&["0 * * * *", "@every 2h", "0 0,1 * * *"], "UTC")
    };
    let expected = ["2026-01-01T01:00:00Z", "2026-01-01T01:30:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"];
    ticks(&several, "2026-01-01T00:00:00Z", &expected);
}

#[test]
fn a_single_time_is_read_in_its_own_zone_by_its_offset_or_in_the_jobs() {
    let once = |text: &str, zone: &str| ScheduleSpec { at: vec![text.to_owned()], ..spec(&[], zone) };
    let nine = ["2026-12-01T08:00:00Z"];
    for (text, zone) in [
        ("2026-12-01T09:00:00[Europe/Berlin]", "UTC"),
        ("2026-12-01T09:00:00+01:00", "UTC"),
        ("2026-12-01T08:00:00Z", "Europe/Berlin"),
        ("2026-12-01 09:00", "Europe/Berlin"),
        ("2026-12-01T09:00:00+01:00[Europe/Berlin]", "Europe/Berlin"),
    ] {
        ticks(&once(text, zone), "2026-01-01T00:00:00Z", &nine);
        assert_eq!(parse(&once(text, zone)).next_after(at(nine[0])), None);
    }
    let both = ScheduleSpec { fold: Fold::Both, ..once("2026-10-25T02:30:00", "Europe/Berlin") };
    ticks(&both, "2026-01-01T00:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
    ticks(&once("2026-03-29T02:30:00[Europe/Berlin]", "UTC"), "2026-01-01T00:00:00Z", &["2026-03-29T01:30:00Z"]);
}

#[test]
fn what_is_left_out_does_not_tick() {
    let except = |texts: &[&str], schedule| ScheduleSpec {
        except: texts.iter().map(|text| (*text).to_owned()).collect(),
        ..spec(&[schedule], "Europe/Berlin")
    };
    let days = except(&["2026-12-24..2026-12-26", "2026-12-28", "* * 31 12 *"], "0 9 * * *");
    let expected = [
        "2026-12-23T08:00:00Z",
        "2026-12-27T08:00:00Z",
        "2026-12-29T08:00:00Z",
        "2026-12-30T08:00:00Z",
        "2027-01-01T08:00:00Z",
    ];
    ticks(&days, "2026-12-22T12:00:00Z", &expected);
    let nights = except(&["* 22-23,0-5 * * *", "* * * * SAT,SUN"], "@every 45m");
    // From Friday evening to Monday morning, by the clock in Berlin.
    ticks(&nights, "2026-12-04T20:15:00Z", &["2026-12-07T05:15:00Z", "2026-12-07T06:00:00Z"]);
}

#[test]
fn h_is_a_value_of_the_jobs_own() {
    let minutes = |field: &str, job: &str| -> Vec<i8> {
        let id = JobId { tenant: "acme".to_owned(), name: job.to_owned() };
        let schedule = Schedule::parse(&spec(&[&format!("{field} 3 * * *")], "UTC"), Some(&id)).unwrap();
        let ticks = schedule.forecast(at("2026-01-01T00:00:00Z"), 60);
        let today = ticks.iter().filter(|coming| coming.tick < at("2026-01-02T00:00:00Z"));
        today.map(|coming| coming.local.minute()).collect()
    };
    for job in 0..200 {
        let job = format!("job-{job}");
        assert_eq!(minutes("H", &job).len(), 1);
        assert_eq!(minutes("H", &job), minutes("H", &job));
        assert!(minutes("H(10-19)", &job).iter().all(|minute| (10..20).contains(minute)));
        let stepped = minutes("H/15", &job);
        assert!(stepped.len() == 4 && stepped.windows(2).all(|pair| pair[1] - pair[0] == 15), "{stepped:?}");
    }
    let distinct: std::collections::BTreeSet<_> = (0..200).map(|job| minutes("H", &format!("job-{job}"))).collect();
    assert!(distinct.len() > 45, "{}", distinct.len());
}

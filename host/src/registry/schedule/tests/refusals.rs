//! Refusals name the field and the value.

use super::*;

#[track_caller]
fn refusal(spec: &ScheduleSpec) -> String {
    Schedule::parse(spec, Some(&nightly())).unwrap_err().to_string()
}

#[test]
fn of_a_schedule() {
    let texts = [
        "61 * * * *",
        "* 24 * * *",
        "0 0 31 2 *",
        "0 0 0 * *",
        "5-70 * * * *",
        "*/0 * * * *",
        "*/90 * * * *",
        "5/15 * * * *",
        "30-10 * * * *",
        "1,,2 * * * *",
        "-1 * * * *",
        "99999999 * * * *",
        "a * * * *",
        "* * * FOO *",
        "* * * * FRY",
        "* * * * MON#6",
        "* * * * L",
        "0 0 32W * *",
        "0 0 LL * *",
        "H(1 * * * *",
        "H(50-70) * * * *",
        "Hx * * * *",
        "* * * * * * 1969",
        "* * * * * * 2200",
        "* * * * * * H",
        "* * * *",
        "* * * * * * * *",
        "",
        "@fortnightly",
        "@daily 3",
        "@every",
        "@every 0s",
        "@every 500ms",
        "@every 1.5s",
        "@every -3s",
        "@every soon",
        "@every 9000000000h",
        "@every 1h phase 1h",
        "@every 1h phase -5m",
        "@every 1h from noon",
        "@every 1h at 5m",
        "@every 1mo",
        "@every 1 day",
        "@every10s",
        "@reboot",
        "@at 2026-12-01T09:00:00Z",
        "@Daily",
        "CRON_TZ=Europe/Berlin 0 3 * * *",
        "TZ=UTC @daily",
        "0 0 L-31 * *",
        "0 0 L-0 * *",
        "0 0 L-2W * *",
        "0 0 25-L * *",
        "0 0 W * *",
        "0 0 1-5W * *",
        "? 3 * * *",
        "0 3 * ? *",
        "0 0 12 1/5 * ?",
        "0 0 3 ? * 8",
    ];
    let refusals: Vec<String> = texts.iter().map(|text| refusal(&spec(&[text], "UTC"))).collect();
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn of_the_other_fields() {
    let daily = || spec(&["0 3 * * *"], "Europe/Berlin");
    let once = |text: &str| ScheduleSpec { at: vec![text.to_owned()], ..spec(&[], "Europe/Berlin") };
    let except = |text: &str| ScheduleSpec { except: vec![text.to_owned()], ..daily() };
    let specs = [
        spec(&["* * * * *"], "Mars/Olympus"),
        spec(&[], "UTC"),
        spec(&["0 3 * * *", "0 0 31 2 *"], "UTC"),
        spec(&["0 3 * * *"; 65], "UTC"),
        once("tomorrow"),
        once("2026-12-01"),
        once("2026-12-01T09:00:00.5Z"),
        once("2026-12-01T09:00:00[Mars/Olympus]"),
        once("2026-12-01T09:00:00[America/New_York]"),
        once("2026-12-01T09:00:00+05:00"),
        once("2026-12-01T09:00:00+05:00[Europe/Berlin]"),
        once("1969-12-01T09:00:00Z"),
        ScheduleSpec { gap: Gap::Skip, ..once("2026-03-29T02:30:00") },
        except("Christmas"),
        except("2026-02-30"),
        except("2026-12-26..2026-12-24"),
        except("0 3 * * *"),
        except("* 3 * * * *"),
        except("* 25 * * *"),
        except("* 3 * * *"),
        except("* Hx * * *"),
        ScheduleSpec { gap: Gap::Skip, ..spec(&["0 * * * *", "@every 1h"], "UTC") },
        ScheduleSpec { fold: Fold::Last, ..spec(&["0 */2 * * *"], "UTC") },
        ScheduleSpec { jitter_ms: 25 * 3_600_000, ..daily() },
        ScheduleSpec { jitter_ms: u64::MAX, ..daily() },
    ];
    let refusals: Vec<String> = specs.iter().map(refusal).collect();
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn of_what_is_applied_now() {
    let once = ScheduleSpec { at: vec!["2026-12-01T09:00:00Z".to_owned()], ..spec(&[], "UTC") };
    let jittered = |minutes: u64, schedules: &[&str]| ScheduleSpec {
        jitter_ms: minutes * 60_000,
        ..spec(schedules, "Europe/Berlin")
    };
    let specs = [
        once,
        spec(&["0 0 0 1 1 * 2025", "0 0 0 1 1 * 2024"], "UTC"),
        jittered(1, &["* * * * *"]),
        jittered(10, &["0 * * * *", "5 3 * * *"]),
        // The day on which the clocks go forward is shorter.
        jittered(23 * 60, &["0 3 * * *"]),
    ];
    let now = at("2027-01-01T00:00:00.5Z");
    let refusals: Vec<String> =
        specs.iter().map(|spec| parse(spec).check_at(spec, now).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(refusals.join("\n"));
    let fitting = jittered(23 * 60 - 1, &["0 3 * * *"]);
    assert_eq!(parse(&fitting).check_at(&fitting, now), Ok(()));
}

#[test]
fn what_is_a_jobs_own_wants_a_job() {
    let anonymous = |spec: &ScheduleSpec| Schedule::parse(spec, None).unwrap_err().to_string();
    assert_eq!(
        anonymous(&spec(&["H 3 * * *"], "UTC")),
        "schedule `H 3 * * *` is not valid: minute `H`: `H` is a value of the job's own, and no job is named"
    );
    let jitter = ScheduleSpec { jitter_ms: 1000, ..spec(&["0 3 * * *"], "UTC") };
    assert_eq!(anonymous(&jitter), "jitter `1s` is not valid: each job has its own, and no job is named");
}

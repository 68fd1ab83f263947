//! Golden tables from the tz database, named after what others shipped: fixed times in the gaps and folds of 2026.

use super::*;

/// For each policy, the ticks of a fixed time over a change of the clock.
#[track_caller]
fn gap(schedule: &str, zone: &str, after: &str, shift: &[&str], skip: &[&str]) {
    ticks(&ScheduleSpec { gap: Gap::Shift, ..spec(&[schedule], zone) }, after, shift);
    ticks(&ScheduleSpec { gap: Gap::Skip, ..spec(&[schedule], zone) }, after, skip);
}

#[track_caller]
fn fold(schedule: &str, zone: &str, after: &str, first: &[&str], last: &[&str], both: &[&str]) {
    ticks(&ScheduleSpec { fold: Fold::First, ..spec(&[schedule], zone) }, after, first);
    ticks(&ScheduleSpec { fold: Fold::Last, ..spec(&[schedule], zone) }, after, last);
    ticks(&ScheduleSpec { fold: Fold::Both, ..spec(&[schedule], zone) }, after, both);
}

#[test]
fn kubernetes_121594_new_york_does_not_double_the_hour_that_comes_twice() {
    fold(
        "30 1 * * *",
        "America/New_York",
        "2026-11-01T00:00:00Z",
        &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
        &["2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"],
        &["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"],
    );
    // Asked again from within the second half, the first doesn't come back.
    check("30 1 * * *", "America/New_York", "2026-11-01T06:10:00Z", &["2026-11-02T06:30:00Z"]);
    // The edges: the last minute before, the first and the last of the hour, the first behind it.
    let edges = ["2026-11-01T04:59:00Z", "2026-11-01T05:00:00Z", "2026-11-01T05:59:00Z", "2026-11-01T07:00:00Z"];
    let after = "2026-11-01T04:58:00Z";
    let minutes = spec(&["59 0 * * *", "0 1 * * *", "59 1 * * *", "0 2 * * *"], "America/New_York");
    ticks(&minutes, after, &edges);
}

#[test]
fn croner_16_new_york_does_not_lose_the_hour_that_is_skipped() {
    gap(
        "30 2 * * *",
        "America/New_York",
        "2026-03-08T00:00:00Z",
        &["2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z"],
        &["2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"],
    );
    // What is shifted onto another time of the schedule is one tick.
    gap(
        "0,30 1-3 * * *",
        "America/New_York",
        "2026-03-08T06:00:00Z",
        &["2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z", "2026-03-09T05:00:00Z"],
        &["2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z", "2026-03-09T05:00:00Z"],
    );
}

#[test]
fn tokio_cron_scheduler_107_the_offset_is_that_of_each_day() {
    check(
        "0 9 * * *",
        "America/New_York",
        "2026-03-07T00:00:00Z",
        &["2026-03-07T14:00:00Z", "2026-03-08T13:00:00Z", "2026-03-09T13:00:00Z"],
    );
    check("0 9 * * *", "America/New_York", "2026-10-31T14:00:00Z", &["2026-11-01T14:00:00Z"]);
}

#[test]
fn the_half_hour_of_lord_howe() {
    // Back from 02:00 (+11) to 01:30 (+10:30) on 5 April; forward from 02:00 to 02:30 on 4 October.
    fold(
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T00:00:00Z",
        &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
        &["2026-04-04T15:15:00Z", "2026-04-05T15:15:00Z"],
        &["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-05T15:15:00Z"],
    );
    gap(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T00:00:00Z",
        &["2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"],
        &["2026-10-04T15:15:00Z", "2026-10-05T15:15:00Z"],
    );
}

#[test]
fn midnight_in_santiago() {
    // From 24:00 on 4 April back to 23:00; from 24:00 on 5 September forward to 01:00.
    fold(
        "30 23 * * *",
        "America/Santiago",
        "2026-04-04T03:00:00Z",
        &["2026-04-05T02:30:00Z", "2026-04-06T03:30:00Z"],
        &["2026-04-05T03:30:00Z", "2026-04-06T03:30:00Z"],
        &["2026-04-05T02:30:00Z", "2026-04-05T03:30:00Z", "2026-04-06T03:30:00Z"],
    );
    gap(
        "@daily",
        "America/Santiago",
        "2026-09-05T12:00:00Z",
        &["2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"],
        &["2026-09-07T03:00:00Z", "2026-09-08T03:00:00Z"],
    );
}

#[test]
fn ramadan_in_casablanca() {
    // Back from 03:00 (+01) to 02:00 (+00) on 15 February, forward on 22 March.
    fold(
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-02-14T12:00:00Z",
        &["2026-02-15T01:30:00Z", "2026-02-16T02:30:00Z"],
        &["2026-02-15T02:30:00Z", "2026-02-16T02:30:00Z"],
        &["2026-02-15T01:30:00Z", "2026-02-15T02:30:00Z", "2026-02-16T02:30:00Z"],
    );
    gap(
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-03-21T12:00:00Z",
        &["2026-03-22T02:30:00Z", "2026-03-23T01:30:00Z"],
        &["2026-03-23T01:30:00Z", "2026-03-24T01:30:00Z"],
    );
}

#[test]
fn a_day_that_apia_skips_is_made_up_for_at_the_same_hour() {
    let noon = ["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z", "2011-12-31T22:00:00Z"];
    check("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", &noon);
    // 30 December did not come: its noon is that of the 31st.
    check("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", &["2011-12-30T22:00:00Z", "2012-12-29T22:00:00Z"]);
}

#[test]
fn any_hour_follows_real_time() {
    let fold = ["2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z"];
    check("*/30 * * * *", "America/New_York", "2026-11-01T04:45:00Z", &fold);
    let gap = ["2026-03-08T06:00:00Z", "2026-03-08T08:00:00Z"];
    check(
        "0 1-3/2 * * *",
        "America/New_York",
        "2026-03-08T05:30:00Z",
        &["2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"],
    );
    check("0 */2 * * *", "America/New_York", "2026-03-08T05:30:00Z", &gap[1..]);
}

//! What `next` says of changes of the clock.

use super::*;

fn remarks(spec: &ScheduleSpec, after: &str, count: usize) -> String {
    let row = |coming: Forecast| format!("{} {} {}", coming.tick, coming.local, coming.remark.unwrap_or_default());
    let rows: Vec<String> = parse(spec).forecast(at(after), count).into_iter().map(row).collect();
    rows.join("\n").replace(" \n", "\n")
}

#[test]
fn changes_of_the_clock_are_remarked_on() {
    let new_york = |schedule: &str| spec(&[schedule], "America/New_York");
    let texts = [
        remarks(&new_york("30 2 * * *"), "2026-03-07T12:00:00Z", 2),
        remarks(&ScheduleSpec { gap: Gap::Skip, ..new_york("30 2 * * *") }, "2026-03-07T12:00:00Z", 2),
        remarks(&new_york("30 1 * * *"), "2026-10-31T12:00:00Z", 2),
        remarks(&ScheduleSpec { fold: Fold::Both, ..new_york("30 1 * * *") }, "2026-10-31T12:00:00Z", 3),
        remarks(&new_york("30 */2 * * *"), "2026-03-08T06:00:00Z", 1),
        remarks(&spec(&["@daily"], "America/Santiago"), "2026-09-05T12:00:00Z", 1),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

//! Names of zones.

use super::*;

const UTC: [&str; 8] = ["UTC", "utc", "Etc/UTC", "etc/utc", "ETC/UCT", "Zulu", "universal", "Etc/Universal"];

#[test]
fn b3_utc_is_utc_by_every_name() {
    for name in UTC {
        let schedule = parse(&spec(&["0 9 * * *"], name));
        let coming = schedule.forecast(at("2026-01-01T00:00:00Z"), 1);
        assert_eq!(coming[0].local.to_string(), "2026-01-01T09:00:00+00:00[UTC]", "{name}");
        // UTC is the default, so single times may name another zone.
        let at_nine = "2026-12-01T09:00:00[Europe/Berlin]".to_owned();
        ticks(
            &ScheduleSpec { at: vec![at_nine], ..spec(&[], name) },
            "2026-01-01T00:00:00Z",
            &["2026-12-01T08:00:00Z"],
        );
        let by_offset = "2026-12-01T09:00:00+05:00".to_owned();
        ticks(
            &ScheduleSpec { at: vec![by_offset], ..spec(&[], name) },
            "2026-01-01T00:00:00Z",
            &["2026-12-01T04:00:00Z"],
        );
        for other in UTC {
            let at_eight = format!("2026-12-01T08:00:00[{other}]");
            ticks(
                &ScheduleSpec { at: vec![at_eight], ..spec(&[], name) },
                "2026-01-01T00:00:00Z",
                &["2026-12-01T08:00:00Z"],
            );
        }
    }
}

/// That years with the same calendar are alike is what long searches rely on.
#[test]
fn b3_from_some_year_on_clocks_are_changed_by_rule() {
    let mut compared = 0;
    for name in jiff::tz::TimeZoneDatabase::bundled().available() {
        let Ok(zone) = super::super::zone::named(name.as_str()) else { continue };
        let mut known = std::collections::HashMap::new();
        for year in super::super::local::rules_from(&zone)..2300 {
            let begin = jiff::civil::date(year, 1, 1);
            let class = (begin.weekday().to_sunday_zero_offset(), begin.in_leap_year());
            let first = jiff::tz::Offset::UTC.to_timestamp(begin.at(0, 0, 0, 0)).unwrap();
            let changes = zone.following(first - SignedDuration::from_secs(1));
            let within =
                changes.take_while(|change| jiff::tz::Offset::UTC.to_datetime(change.timestamp()).year() == year);
            let all: Vec<_> =
                within.map(|change| (change.timestamp().duration_since(first), change.offset())).collect();
            compared += all.len();
            assert_eq!(known.entry(class).or_insert_with(|| all.clone()), &all, "{name:?} in {year}");
        }
    }
    assert!(compared > 20_000, "{compared}");
}

#[test]
fn b3_a_name_of_no_place_is_no_zone() {
    for name in ["Etc/Unknown", "etc/unknown", "Factory", "FACTORY", "factory"] {
        let refused = Schedule::parse(&spec(&["0 9 * * *"], name), None).unwrap_err().to_string();
        assert!(
            refused.starts_with(&format!("time_zone `{name}` is not valid: the name stands for no place")),
            "{refused}"
        );
        let once = ScheduleSpec { at: vec![format!("2026-12-01T08:00:00[{name}]")], ..spec(&[], "UTC") };
        let refused = Schedule::parse(&once, None).unwrap_err();
        assert!(refused.field == "at" && refused.reason.contains("no place"), "{refused}");
    }
}

#[test]
fn b3_a_zone_before_a_schedule_is_pointed_to_time_zone() {
    let reason = "`CRON_TZ=` is not known here: leave it out, and write time_zone = \"Europe/Berlin\" for the job";
    let refused = Schedule::parse(&spec(&["CRON_TZ=Europe/Berlin 0 3 * * *"], "UTC"), None).unwrap_err();
    assert_eq!((refused.field, refused.reason.as_str()), ("schedule", reason));
    let prefixed = [
        spec(&["TZ=Europe/Berlin 0 3 * * *"], "UTC"),
        spec(&["  tz=Europe/Berlin @daily"], "UTC"),
        spec(&["CRON_TZ=UTC @every 1h"], "UTC"),
        ScheduleSpec { at: vec!["TZ=Europe/Berlin 2026-12-01T09:00".to_owned()], ..spec(&[], "UTC") },
        ScheduleSpec { except: vec!["TZ=Europe/Berlin * 3 * * *".to_owned()], ..spec(&["@daily"], "UTC") },
    ];
    for spec in prefixed {
        let refused = Schedule::parse(&spec, None).unwrap_err().to_string();
        assert!(refused.contains("write time_zone = "), "{refused}");
    }
}

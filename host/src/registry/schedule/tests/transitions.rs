//! Every change of the clock from 2000 to 2040 in twenty zones, against an oracle that walks the minutes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use super::*;

pub(super) const ZONES: [&str; 20] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Caracas",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Europe/Moscow",
    "Pacific/Apia",
    "Pacific/Chatham",
];
const MINUTE: SignedDuration = SignedDuration::from_secs(60);
/// How far around a change the minutes are walked, and how far of that the ticks are compared.
const WALKED: SignedDuration = SignedDuration::from_hours(74);
pub(super) const COMPARED: SignedDuration = SignedDuration::from_hours(36);

/// What the clock on the wall shows, minute by minute. It knows nothing of gaps and folds but what it sees.
pub(super) struct Walk {
    pub(super) instants: BTreeMap<DateTime, Vec<Timestamp>>,
}

impl Walk {
    pub(super) fn around(zone: &TimeZone, change: Timestamp) -> Self {
        let mut instants: BTreeMap<DateTime, Vec<Timestamp>> = BTreeMap::new();
        let mut instant = change - WALKED;
        while instant < change + WALKED {
            instants.entry(zone.to_datetime(instant)).or_default().push(instant);
            instant += MINUTE;
        }
        Walk { instants }
    }

    /// When a job of this local time should tick.
    pub(super) fn ticks(&self, local: DateTime, gap: Gap, fold: Fold) -> Vec<Timestamp> {
        match (self.instants.get(&local).map(Vec::as_slice), fold) {
            (Some([one]), _) => vec![*one],
            (Some([first, .., last]), Fold::First | Fold::Last) => {
                vec![if fold == Fold::First { *first } else { *last }]
            }
            (Some(all), _) => all.to_vec(),
            (None, _) if gap == Gap::Skip => vec![],
            (None, _) => {
                // As long after the last minute that came as it would have been.
                let (shown, instants) = self.instants.range(..local).next_back().unwrap();
                vec![*instants.last().unwrap() + local.duration_since(*shown)]
            }
        }
    }

    /// The ticks of a time of day within the compared span.
    fn daily(&self, time: Time, change: Timestamp, gap: Gap, fold: Fold) -> Vec<Timestamp> {
        let (first, last) = (self.instants.keys().next().unwrap(), self.instants.keys().next_back().unwrap());
        let mut ticks = BTreeSet::new();
        let mut date = first.date().tomorrow().unwrap();
        while date < last.date() {
            ticks.extend(self.ticks(date.to_datetime(time), gap, fold));
            date = date.tomorrow().unwrap();
        }
        ticks.into_iter().filter(|tick| (change - COMPARED..change + COMPARED).contains(tick)).collect()
    }
}

pub(super) fn changes(zone: &TimeZone) -> Vec<Timestamp> {
    let until = at("2040-01-01T00:00:00Z");
    let all = zone.following(at("2000-01-01T00:00:00Z")).map(|change| change.timestamp());
    all.take_while(|change| *change < until)
        .filter(|change| zone.to_offset(*change) != zone.to_offset(*change - MINUTE))
        .collect()
}

/// The times of day at the edges of a change and inside of it.
fn near(zone: &TimeZone, change: Timestamp) -> BTreeSet<Time> {
    let (before, after) = (zone.to_offset(change - MINUTE).to_datetime(change), zone.to_datetime(change));
    let middle = before.min(after) + before.duration_since(after).abs() / 2;
    [before, after, before - MINUTE, after - MINUTE, before + MINUTE, middle]
        .into_iter()
        .map(|local| Time::constant(local.hour(), local.minute(), 0, 0))
        .collect()
}

#[test]
fn at_every_change_of_the_clock_fixed_times_tick_as_the_policy_says() {
    let policies = [Gap::Shift, Gap::Skip].map(|gap| [Fold::First, Fold::Last, Fold::Both].map(|fold| (gap, fold)));
    let mut compared = (0, 0);
    for name in ZONES {
        let zone = super::super::zone::named(name).unwrap();
        for change in changes(&zone) {
            let walk = Walk::around(&zone, change);
            for time in near(&zone, change) {
                for (gap, fold) in policies.concat() {
                    let text = format!("{} {} * * *", time.minute(), time.hour());
                    let schedule = parse(&ScheduleSpec { gap, fold, ..spec(&[&text], name) });
                    let expected = walk.daily(time, change, gap, fold);
                    let context = format!("`{text}` in {name} around {change}, {gap:?}, {fold:?}");
                    follows(&schedule, change - COMPARED, change + COMPARED, &expected, &context);
                    from_far_away(&walk, &zone.to_datetime(change).date().to_datetime(time), name, gap, fold);
                    compared.1 += expected.len();
                }
            }
            compared.0 += 1;
        }
    }
    assert!(compared.0 > 1000 && compared.1 > 80_000, "{compared:?} changes and ticks");
}

/// A date of one year alone, asked for from the beginning of time and from behind.
#[track_caller]
fn from_far_away(walk: &Walk, local: &DateTime, zone: &str, gap: Gap, fold: Fold) {
    let expected = walk.ticks(*local, gap, fold);
    let text = local.strftime("%-S %-M %-H %-d %-m * %Y").to_string();
    let Ok(schedule) = Schedule::parse(&ScheduleSpec { gap, fold, ..spec(&[&text], zone) }, None) else {
        assert_eq!(expected, [], "`{text}` in {zone} is refused");
        return;
    };
    let ticks: Vec<Timestamp> =
        std::iter::successors(schedule.next_after(LONG_AGO), |tick| schedule.next_after(*tick)).collect();
    assert_eq!(ticks, expected, "`{text}` in {zone}, {gap:?}, {fold:?}");
}

/// The ticks in `[from, until)` are these, from wherever one asks.
#[track_caller]
pub(super) fn follows(schedule: &Schedule, from: Timestamp, until: Timestamp, expected: &[Timestamp], context: &str) {
    const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);
    let mut found = Vec::new();
    let mut before = from - NANOSECOND;
    while let Some(tick) = schedule.next_after(before).filter(|tick| *tick < until) {
        assert!(tick > before, "{context}: {tick} does not come after {before}");
        for between in [before + tick.duration_since(before) / 2, tick - NANOSECOND] {
            assert_eq!(schedule.next_after(between), Some(tick), "{context}: asked at {between}");
        }
        found.push(tick);
        before = tick;
    }
    assert_eq!(found, expected, "{context}");
}

#[test]
fn at_every_change_of_the_clock_any_hour_follows_real_time() {
    for name in ZONES {
        let zone = super::super::zone::named(name).unwrap();
        let schedule = parse(&spec(&["*/10 */2 * * *"], name));
        for change in changes(&zone) {
            let mut expected = Vec::new();
            let mut instant = change - SignedDuration::from_hours(3);
            let until = change + SignedDuration::from_hours(3);
            while instant < until {
                let local = zone.to_datetime(instant);
                if local.minute() % 10 == 0 && local.hour() % 2 == 0 {
                    expected.push(instant);
                }
                instant += MINUTE;
            }
            follows(
                &schedule,
                change - SignedDuration::from_hours(3),
                until,
                &expected,
                &format!("{name} at {change}"),
            );
        }
    }
}

//! Schedules of chance against what they mean by definition: every minute around a change of the clock is asked whether it is a tick.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::transitions::{COMPARED, Walk, ZONES, changes, follows};
use super::*;

/// A field of days of the month, as it is written and as it is meant.
#[derive(Clone, Debug)]
enum DayField {
    Any,
    Every(i8),
    Days(Vec<i8>),
    Last,
    BeforeLast(i8),
    LastWorkday,
    Near(i8),
}

#[derive(Clone, Debug)]
enum WeekField {
    Any,
    Every(i8),
    Days(Vec<i8>),
    Nth(i8, i8),
    Last(i8),
}

#[derive(Clone, Debug)]
enum HourField {
    Any,
    Every(i8),
    Hours(Vec<i8>),
}

/// What days a cron schedule is about.
#[derive(Clone, Debug)]
struct DayRule {
    day: DayField,
    month: Vec<i8>,
    week: WeekField,
    plus: bool,
}

#[derive(Clone, Debug)]
struct Line {
    minutes: Vec<i8>,
    hours: HourField,
    days: DayRule,
}

#[derive(Clone, Debug)]
enum Exclusion {
    Hours(HourField, DayRule),
    Dates(Date, Date),
}

#[derive(Clone, Debug)]
struct Case {
    lines: Vec<Line>,
    /// Every so many minutes, so many minutes later.
    intervals: Vec<(i64, i64)>,
    exclusions: Vec<Exclusion>,
    gap: Gap,
    fold: Fold,
}

fn numbers(values: &[i8]) -> String {
    values.iter().map(i8::to_string).collect::<Vec<_>>().join(",")
}

fn workday(date: Date) -> bool {
    !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

impl DayField {
    fn text(&self) -> String {
        match self {
            DayField::Any => "*".to_owned(),
            DayField::Every(step) => format!("*/{step}"),
            DayField::Days(days) => numbers(days),
            DayField::Last => "L".to_owned(),
            DayField::BeforeLast(days) => format!("L-{days}"),
            DayField::LastWorkday => "LW".to_owned(),
            DayField::Near(day) => format!("{day}W"),
        }
    }

    fn fits(&self, date: Date) -> bool {
        let days = || (1..=date.days_in_month()).map(|day| Date::new(date.year(), date.month(), day).unwrap());
        let workdays = || days().filter(|day| workday(*day));
        match self {
            DayField::Any => true,
            DayField::Every(step) => (date.day() - 1) % step == 0,
            DayField::Days(days) => days.contains(&date.day()),
            DayField::Last => date.day() == date.days_in_month(),
            DayField::BeforeLast(days) => date.day() == date.days_in_month() - days,
            DayField::LastWorkday => workdays().next_back() == Some(date),
            DayField::Near(day) if *day > date.days_in_month() => false,
            DayField::Near(day) => workdays().min_by_key(|other| (other.day() - day).abs()) == Some(date),
        }
    }

    fn begins_with_star(&self) -> bool {
        matches!(self, DayField::Any | DayField::Every(_))
    }
}

impl WeekField {
    fn text(&self) -> String {
        match self {
            WeekField::Any => "*".to_owned(),
            WeekField::Every(step) => format!("*/{step}"),
            WeekField::Days(days) => numbers(days),
            WeekField::Nth(day, n) => format!("{day}#{n}"),
            WeekField::Last(day) => format!("{day}L"),
        }
    }

    fn fits(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        match self {
            WeekField::Any => true,
            // 0 to 7, of which both are Sunday.
            WeekField::Every(step) => weekday % step == 0 || (weekday == 0 && 7 % step == 0),
            WeekField::Days(days) => days.iter().any(|day| day % 7 == weekday),
            WeekField::Nth(day, n) => day % 7 == weekday && (date.day() - 1) / 7 + 1 == *n,
            WeekField::Last(day) => day % 7 == weekday && date.day() + 7 > date.days_in_month(),
        }
    }

    fn begins_with_star(&self) -> bool {
        matches!(self, WeekField::Any | WeekField::Every(_))
    }
}

impl HourField {
    fn text(&self) -> String {
        match self {
            HourField::Any => "*".to_owned(),
            HourField::Every(step) => format!("*/{step}"),
            HourField::Hours(hours) => numbers(hours),
        }
    }

    fn fits(&self, hour: i8) -> bool {
        match self {
            HourField::Any => true,
            HourField::Every(step) => hour % step == 0,
            HourField::Hours(hours) => hours.contains(&hour),
        }
    }
}

impl DayRule {
    fn text(&self) -> String {
        let plus = if self.plus { "+" } else { "" };
        format!("{} {} {plus}{}", self.day.text(), numbers(&self.month), self.week.text())
    }

    fn fits(&self, date: Date) -> bool {
        let (day, week) = (self.day.fits(date), self.week.fits(date));
        let both = self.plus || self.day.begins_with_star() || self.week.begins_with_star();
        self.month.contains(&date.month()) && if both { day && week } else { day || week }
    }
}

impl Line {
    fn text(&self) -> String {
        format!("{} {} {}", numbers(&self.minutes), self.hours.text(), self.days.text())
    }

    fn names(&self, local: DateTime) -> bool {
        self.minutes.contains(&local.minute()) && self.hours.fits(local.hour()) && self.days.fits(local.date())
    }

    fn ticks(&self, walk: &Walk, gap: Gap, fold: Fold) -> Vec<Timestamp> {
        let HourField::Hours(hours) = &self.hours else {
            let named = walk.instants.iter().filter(|(local, _)| self.names(**local));
            return named.flat_map(|(_, instants)| instants.clone()).collect();
        };
        let (first, last) = (walk.instants.keys().next().unwrap(), walk.instants.keys().next_back().unwrap());
        let dates = first.date().series(jiff::Span::new().days(1)).skip(1).take_while(|date| *date < last.date());
        let times = dates.filter(|date| self.days.fits(*date)).flat_map(|date| {
            let of_hour =
                |hour: &i8| self.minutes.iter().map(|minute| Time::constant(*hour, *minute, 0, 0)).collect::<Vec<_>>();
            hours.iter().flat_map(of_hour).map(|time| date.to_datetime(time)).collect::<Vec<_>>()
        });
        times.flat_map(|local| walk.ticks(local, gap, fold)).collect()
    }
}

impl Exclusion {
    fn text(&self) -> String {
        match self {
            Exclusion::Hours(hours, days) => format!("* {} {}", hours.text(), days.text()),
            Exclusion::Dates(first, last) => format!("{first}..{last}"),
        }
    }

    fn has(&self, local: DateTime) -> bool {
        match self {
            Exclusion::Hours(hours, days) => hours.fits(local.hour()) && days.fits(local.date()),
            Exclusion::Dates(first, last) => (*first..=*last).contains(&local.date()),
        }
    }
}

impl Case {
    fn spec(&self, zone: &str) -> ScheduleSpec {
        let every = |(minutes, phase): &(i64, i64)| format!("@every {minutes}m phase {phase}m");
        ScheduleSpec {
            schedule: self.lines.iter().map(Line::text).chain(self.intervals.iter().map(every)).collect(),
            except: self.exclusions.iter().map(Exclusion::text).collect(),
            gap: self.gap,
            fold: self.fold,
            ..spec(&[], zone)
        }
    }

    fn ticks(&self, walk: &Walk, zone: &TimeZone, change: Timestamp) -> Vec<Timestamp> {
        let mut ticks: BTreeSet<Timestamp> = BTreeSet::new();
        ticks.extend(self.lines.iter().flat_map(|line| line.ticks(walk, self.gap, self.fold)));
        for instant in walk.instants.values().flatten() {
            let minute = instant.as_second() / 60;
            if self.intervals.iter().any(|(minutes, phase)| (minute - phase).rem_euclid(*minutes) == 0) {
                ticks.insert(*instant);
            }
        }
        let compared = change - COMPARED..change + COMPARED;
        let left_out =
            |tick: &Timestamp| self.exclusions.iter().any(|exclusion| exclusion.has(zone.to_datetime(*tick)));
        ticks.into_iter().filter(|tick| compared.contains(tick) && !left_out(tick)).collect()
    }
}

// ---- chance ----

fn some(values: std::ops::RangeInclusive<i8>, most: usize) -> impl Strategy<Value = Vec<i8>> {
    prop::collection::btree_set(values, 1..=most).prop_map(|values| values.into_iter().collect())
}

fn day_rule() -> impl Strategy<Value = DayRule> {
    let day = prop_oneof![
        4 => Just(DayField::Any),
        1 => (2..=20i8).prop_map(DayField::Every),
        3 => some(1..=31, 12).prop_map(DayField::Days),
        1 => Just(DayField::Last),
        1 => (1..=8i8).prop_map(DayField::BeforeLast),
        1 => Just(DayField::LastWorkday),
        1 => (1..=31i8).prop_map(DayField::Near),
    ];
    let week = prop_oneof![
        4 => Just(WeekField::Any),
        1 => (2..=7i8).prop_map(WeekField::Every),
        3 => some(0..=7, 4).prop_map(WeekField::Days),
        1 => (0..=7i8, 1..=5i8).prop_map(|(day, n)| WeekField::Nth(day, n)),
        1 => (0..=7i8).prop_map(WeekField::Last),
    ];
    let month = prop_oneof![3 => Just((1..=12).collect()), 1 => some(1..=12, 8)];
    (day, month, week, prop::bool::weighted(0.2)).prop_map(|(day, month, week, plus)| DayRule {
        day,
        month,
        week,
        plus,
    })
}

fn hours() -> impl Strategy<Value = HourField> {
    prop_oneof![
        1 => Just(HourField::Any),
        1 => (2..=12i8).prop_map(HourField::Every),
        4 => some(0..=23, 8).prop_map(HourField::Hours),
        2 => some(0..=3, 4).prop_map(HourField::Hours),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let line = (some(0..=59, 3), hours(), day_rule()).prop_map(|(minutes, hours, days)| Line { minutes, hours, days });
    let interval = (7..=4000i64).prop_flat_map(|minutes| (Just(minutes), 0..minutes));
    let hours = (hours(), day_rule()).prop_map(|(hours, days)| Exclusion::Hours(hours, days));
    let date = (2000..=2039i16, 1..=12i8, 1..=28i8).prop_map(|(year, month, day)| Date::constant(year, month, day));
    let dates = (date, 0..=500i64)
        .prop_map(|(first, days)| Exclusion::Dates(first, first + SignedDuration::from_hours(24 * days)));
    let exclusion = prop_oneof![3 => hours, 1 => dates];
    let fold = prop::sample::select(vec![Fold::First, Fold::Last, Fold::Both]);
    (
        prop::collection::vec(line, 1..=4),
        prop::collection::vec(interval, 0..=2),
        prop::collection::vec(exclusion, 0..=4),
        prop::sample::select(vec![Gap::Shift, Gap::Skip]),
        fold,
    )
        .prop_map(|(lines, intervals, exclusions, gap, fold)| Case { lines, intervals, exclusions, gap, fold })
}

#[test]
fn b3_schedules_of_chance_tick_as_they_are_defined() {
    const CASES: usize = 300;
    let mut runner = TestRunner::deterministic();
    let zones = [&ZONES[..], &["UTC", "Antarctica/Troll"]].concat();
    let (mut accepted, mut ticks) = (0, 0);
    for number in 0..CASES {
        let case = case().new_tree(&mut runner).unwrap().current();
        let name = zones[number % zones.len()];
        let zone = super::super::zone::named(name).unwrap();
        let all = changes(&zone);
        let change = all.get(number * 7919 % all.len().max(1)).copied().unwrap_or(at("2024-02-29T00:00:00Z"));
        let Ok(schedule) = Schedule::parse(&case.spec(name), Some(&nightly())) else { continue };
        let walk = Walk::around(&zone, change);
        let expected = case.ticks(&walk, &zone, change);
        let context = format!("{:?} around {change}", case.spec(name));
        follows(&schedule, change - COMPARED, change + COMPARED, &expected, &context);
        accepted += 1;
        ticks += expected.len();
    }
    assert!(accepted > CASES * 8 / 10 && ticks > 10 * CASES, "{accepted} schedules, {ticks} ticks");
}

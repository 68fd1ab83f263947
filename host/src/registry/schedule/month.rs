//! Months, and sets of their days as bits. A month's calendar is one of 91: eleven months begin on any of seven days, and February
//! has two lengths. So what a cron schedule names in each of those tells which months need not be looked at at all.

use jiff::civil::{Date, DateTime};

/// How many calendars a month may have.
const CLASSES: u8 = 91;
/// The days of five weeks that begin with the first bit.
const EVERY_WEEK: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;

/// A month of a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Month {
    pub year: i16,
    /// From 1.
    pub number: u8,
    /// The weekday of its first day; 0 is Sunday.
    pub first: u8,
    /// Its last day.
    pub length: u8,
}

impl Month {
    /// Returns the month of a day.
    pub(super) fn of(date: Date) -> Self {
        let unsigned = |number: i8| number.unsigned_abs();
        let day = unsigned(date.day()) - 1;
        let weekday = unsigned(date.weekday().to_sunday_zero_offset());
        Month {
            year: date.year(),
            number: unsigned(date.month()),
            first: (weekday + 35 - day) % 7,
            length: unsigned(date.days_in_month()),
        }
    }

    /// Returns January of a year, or None if there is no such year.
    pub(super) fn january(year: i16) -> Option<Self> {
        Date::new(year, 1, 1).ok().map(Month::of)
    }

    /// Returns the month after it, or None behind the last year.
    pub(super) fn next(self) -> Option<Self> {
        if self.number == 12 && self.year == Date::MAX.year() {
            return None;
        }
        let (year, number) = if self.number == 12 { (self.year + 1, 1) } else { (self.year, self.number + 1) };
        let first = (self.first + self.length) % 7;
        Some(Month { year, number, first, length: length(year, number) })
    }

    /// Returns one month of each class, in a year that has no meaning.
    pub(super) fn classes() -> impl Iterator<Item = Month> {
        let month = |number, first, length| Month { year: 0, number, first, length };
        (1..=12)
            .flat_map(move |number| (0..7).map(move |first| month(number, first, length(1, number))))
            .chain((0..7).map(move |first| month(2, first, 29)))
    }

    /// Returns which calendar it has.
    pub(super) fn class(self) -> u8 {
        if self.length == 29 { 84 + self.first } else { (self.number - 1) * 7 + self.first }
    }

    /// Returns whether it begins after a day.
    pub(super) fn is_after(self, date: Date) -> bool {
        (self.year, i16::from(self.number)) > (date.year(), i16::from(date.month()))
    }

    /// Returns one of its days, which must be from 1 to its length.
    pub(super) fn date(self, day: u32) -> Date {
        let day = i8::try_from(day).unwrap_or(i8::MAX);
        Date::new(self.year, i8::try_from(self.number).unwrap_or(i8::MAX), day).unwrap_or(Date::MAX)
    }

    /// Returns when it begins.
    pub(super) fn begin(self) -> DateTime {
        self.date(1).at(0, 0, 0, 0)
    }

    /// Returns all of its days: bit n is day n.
    pub(super) fn days(self) -> u32 {
        (u32::MAX >> (31 - self.length)) & !1
    }

    /// Returns its days that are some of these weekdays. Bit n of `weekdays` is weekday n.
    pub(super) fn days_of_week(self, weekdays: u8) -> u32 {
        let twice = u64::from(weekdays) | u64::from(weekdays) << 7;
        let from_first = twice >> self.first & 0x7f;
        low((from_first * EVERY_WEEK) << 1) & self.days()
    }

    /// Returns the Monday to Friday of it that is nearest to each of these days.
    pub(super) fn nearest_workdays(self, days: u32) -> u32 {
        let days = days & self.days();
        let (saturdays, sundays) = (days & self.days_of_week(1 << 6), days & self.days_of_week(1));
        let last = 1 << self.length;
        let mut nearest = days & !saturdays & !sundays;
        nearest |= (saturdays & !2) >> 1 | (saturdays & 2) << 2;
        nearest |= (sundays & !last) << 1 | (sundays & last) >> 2;
        nearest
    }
}

/// Which of the classes of months.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Classes(u128);

impl Classes {
    pub(super) const NONE: Classes = Classes(0);
    pub(super) const ALL: Classes = Classes((1 << CLASSES) - 1);

    pub(super) fn add(&mut self, month: Month) {
        self.0 |= 1 << month.class();
    }

    pub(super) fn add_all(&mut self, other: Classes) {
        self.0 |= other.0;
    }

    /// Returns those of them that are not among others.
    pub(super) fn without(self, others: Classes) -> Classes {
        Classes(self.0 & !others.0)
    }

    pub(super) fn have(self, month: Month) -> bool {
        self.0 >> month.class() & 1 != 0
    }
}

fn length(year: i16, number: u8) -> u8 {
    match number {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The low half.
fn low(bits: u64) -> u32 {
    u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_one_another_as_in_the_calendar() {
        let mut month = Month::january(1880).unwrap();
        for _ in 0..12 * 500 {
            let next = Month::of(month.date(u32::from(month.length)).tomorrow().unwrap());
            assert_eq!(month.next(), Some(next));
            month = next;
        }
        assert_eq!(Month::of(Date::MAX).next(), None);
    }

    #[test]
    fn every_month_has_one_of_the_classes() {
        let all: Vec<u8> = Month::classes().map(Month::class).collect();
        assert_eq!(all, (0..CLASSES).collect::<Vec<u8>>());
        let mut seen = Classes::NONE;
        let mut month = Month::january(2000).unwrap();
        for _ in 0..12 * 400 {
            let alike = Month::classes().nth(month.class().into()).unwrap();
            assert_eq!(Month { year: alike.year, ..month }, alike);
            seen.add(month);
            month = month.next().unwrap();
        }
        assert_eq!(seen, Classes::ALL);
    }

    #[test]
    fn days_by_weekday_are_those_of_the_calendar() {
        let mut month = Month::january(1999).unwrap();
        for _ in 0..12 * 30 {
            for weekdays in [0, 1, 0b10_0000, 0b101_0001, 0x7f] {
                let named = |day: &u32| {
                    let weekday = month.date(*day).weekday().to_sunday_zero_offset();
                    weekdays >> weekday & 1 != 0
                };
                let days = (1..=u32::from(month.length)).filter(named).fold(0, |days, day| days | 1 << day);
                assert_eq!(month.days_of_week(weekdays), days, "{month:?} {weekdays:b}");
            }
            month = month.next().unwrap();
        }
    }
}

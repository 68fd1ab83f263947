//! One cron schedule on the calendar. It doesn't know zones: times here are what a clock on the wall shows.

use jiff::civil::Time;

use super::days::Days;
use super::field::{HOUR, MINUTE, MONTH, SECOND, YEAR};
use super::month::Month;
use super::spread::Spread;

/// The times that a cron schedule names, one bit a value.
#[derive(Clone, Debug)]
pub(super) struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u32,
    months: u16,
    days: Days,
    /// None: every year.
    years: Option<Years>,
    /// Whether the hours are `*` or `*/n`: it follows real time then where the clocks are changed.
    pub any_hour: bool,
}

impl Cron {
    /// Five fields, six with seconds first, seven with years last.
    ///
    /// # Errors
    /// What is wrong, naming the field and its text.
    pub(super) fn parse(text: &str, spread: Option<&Spread>) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (second, rest, year) = match fields.as_slice() {
            rest if rest.len() == 5 => ("0", rest, None),
            [second, rest @ ..] if rest.len() == 5 => (*second, rest, None),
            [second, rest @ .., year] if rest.len() == 5 => (*second, rest, Some(*year)),
            other => {
                let count = other.len();
                return Err(format!(
                    "it has {count} fields, and must have 5, or 6 with seconds first, or 7 with years last"
                ));
            }
        };
        Ok(Cron {
            seconds: SECOND.bits(second, spread)?,
            minutes: MINUTE.bits(rest[0], spread)?,
            hours: u32::try_from(HOUR.bits(rest[1], spread)?).unwrap_or(u32::MAX),
            any_hour: rest[1].starts_with('*'),
            days: Days::parse(rest[2], rest[4], spread)?,
            months: u16::try_from(MONTH.bits(rest[3], spread)?).unwrap_or(u16::MAX),
            years: year.filter(|year| *year != "*").map(|year| Years::parse(year, spread)).transpose()?,
        })
    }

    /// Returns the days of a month that it names: bit n is day n.
    pub(super) fn days_in(&self, month: Month) -> u32 {
        if self.years.as_ref().is_some_and(|years| !years.have(month.year)) { 0 } else { self.days_in_class(month) }
    }

    /// Returns the days that it names in months of this class, of the years that it names.
    pub(super) fn days_in_class(&self, month: Month) -> u32 {
        if self.months >> month.number & 1 == 0 { 0 } else { self.days.in_month(month) }
    }

    /// Returns the years that it names, or None if it names every year.
    pub(super) fn years(&self) -> Option<&Years> {
        self.years.as_ref()
    }

    /// Returns the hours that it names. Bit n: it names times in hour n of its days.
    pub(super) fn hours(&self) -> u32 {
        self.hours
    }

    /// Adds the hours of another one that names the same days of all years. Returns false if the other names other days.
    pub(super) fn take_hours_of(&mut self, other: &Cron) -> bool {
        let same = self.months == other.months && self.days == other.days;
        if same {
            self.hours |= other.hours;
        }
        same
    }

    /// Returns the first time of a day that it names from `from` on, within some of its hours.
    pub(super) fn time_from(&self, from: Time, hours: u32) -> Option<Time> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let here = |bits: u64, value: i8| bits & (1 << value) != 0;
        if here(hours.into(), hour) {
            let second = first_from(self.seconds, second).filter(|_| here(self.minutes, minute));
            if let Some(second) = second {
                return Some(Time::constant(hour, minute, second, 0));
            }
            if let Some(minute) = first_from(self.minutes, minute + 1) {
                return Some(Time::constant(hour, minute, first_from(self.seconds, 0)?, 0));
            }
        }
        let hour = first_from(hours.into(), hour + 1)?;
        Some(Time::constant(hour, first_from(self.minutes, 0)?, first_from(self.seconds, 0)?, 0))
    }
}

/// The lowest bit that is set from `from` on.
fn first_from(bits: u64, from: i8) -> Option<i8> {
    let left = bits & u64::MAX.checked_shl(u32::from(from.unsigned_abs())).unwrap_or(0);
    (left != 0).then(|| i8::try_from(left.trailing_zeros()).unwrap_or(0))
}

/// Some of the years that a schedule may name: bit n is 1970 + n. Boxed, because few schedules name years.
#[derive(Clone, Debug)]
pub(super) struct Years(Box<[u64; 4]>);

impl Years {
    fn parse(text: &str, spread: Option<&Spread>) -> Result<Self, String> {
        let mut years = Years(Box::default());
        YEAR.each(text, spread, |values| {
            for year in values.each() {
                let at = usize::from(year - YEAR.least);
                years.0[at / 64] |= 1 << (at % 64);
            }
        })?;
        Ok(years)
    }

    pub(super) fn have(&self, year: i16) -> bool {
        let at = usize::try_from(i32::from(year) - i32::from(YEAR.least)).unwrap_or(usize::MAX);
        self.0.get(at / 64).is_some_and(|bits| bits & (1 << (at % 64)) != 0)
    }

    /// Returns the first of them that is not before `year`.
    pub(super) fn first_from(&self, year: i16) -> Option<i16> {
        let (least, most) = (YEAR.least, YEAR.most);
        let least = i16::try_from(least).unwrap_or(i16::MAX).max(year);
        (least..=i16::try_from(most).unwrap_or(i16::MAX)).find(|year| self.have(*year))
    }

    /// Returns the last of them.
    pub(super) fn last(&self) -> i16 {
        let years = YEAR.least..=YEAR.most;
        years.rev().filter_map(|year| i16::try_from(year).ok()).find(|year| self.have(*year)).unwrap_or(0)
    }

    pub(super) fn add_all(&mut self, others: &Years) {
        self.0.iter_mut().zip(*others.0).for_each(|(bits, others)| *bits |= others);
    }
}

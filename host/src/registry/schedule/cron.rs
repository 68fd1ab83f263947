//! A cron schedule on the calendar. It doesn't know zones: times here are what a clock on the wall shows.

use jiff::civil::{Date, DateTime, Time};

use super::days::Days;
use super::field::{HOUR, MINUTE, MONTH, SECOND, Unit, YEAR};
use super::spread::Spread;

/// After so many years the calendar repeats itself, weekdays included: what has not come until then never does.
const CYCLE_YEARS: i16 = 400;

/// The times that a cron schedule names, one bit a value.
#[derive(Clone, Debug)]
pub(super) struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u32,
    months: u16,
    days: Days,
    /// Bit n: 1970 + n. None: every year.
    years: Option<[u64; 4]>,
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
        let bits = |unit: &Unit, text: &str| {
            let mut bits = 0_u64;
            unit.each(text, spread, |value| bits |= 1 << value).map(|()| bits)
        };
        let low = |unit: &Unit, text: &str| bits(unit, text).map(|bits| u32::try_from(bits).unwrap_or(u32::MAX));
        Ok(Cron {
            seconds: bits(&SECOND, second)?,
            minutes: bits(&MINUTE, rest[0])?,
            hours: low(&HOUR, rest[1])?,
            any_hour: rest[1].starts_with('*'),
            days: Days::parse(rest[2], rest[4], spread)?,
            months: u16::try_from(low(&MONTH, rest[3])?).unwrap_or(u16::MAX),
            years: year.filter(|year| *year != "*").map(|year| years(year, spread)).transpose()?,
        })
    }

    /// The first time that it names, not before `from`, which has whole seconds.
    pub(super) fn next_from(&self, from: DateTime) -> Option<DateTime> {
        if self.has_day(from.date())
            && let Some(time) = self.time_from(from.time())
        {
            return Some(from.date().to_datetime(time));
        }
        let day = self.day_from(from.date().tomorrow().ok()?)?;
        Some(day.to_datetime(self.time_from(Time::midnight())?))
    }

    /// Whether it names times of this day.
    pub(super) fn has_day(&self, date: Date) -> bool {
        self.has_year(date.year()) && self.months & (1 << date.month()) != 0 && self.days.matches(date)
    }

    /// Bit n: it names times in hour n of its days.
    pub(super) fn hours(&self) -> u32 {
        self.hours
    }

    fn has_year(&self, year: i16) -> bool {
        let Some(years) = &self.years else { return true };
        let at = usize::try_from(i32::from(year) - i32::from(YEAR.least)).unwrap_or(usize::MAX);
        years.get(at / 64).is_some_and(|bits| bits & (1 << (at % 64)) != 0)
    }

    fn day_from(&self, mut date: Date) -> Option<Date> {
        let last_year = date.year().saturating_add(CYCLE_YEARS);
        while date.year() <= last_year {
            if !self.has_year(date.year()) {
                date = Date::new(date.year() + 1, 1, 1).ok()?;
            } else if self.months & (1 << date.month()) == 0 {
                date = date.last_of_month().tomorrow().ok()?;
            } else if self.days.matches(date) {
                return Some(date);
            } else {
                date = date.tomorrow().ok()?;
            }
        }
        None
    }

    fn time_from(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let here = |bits: u64, value: i8| bits & (1 << value) != 0;
        if here(self.hours.into(), hour) {
            let second = first_from(self.seconds, second).filter(|_| here(self.minutes, minute));
            if let Some(second) = second {
                return Some(Time::constant(hour, minute, second, 0));
            }
            if let Some(minute) = first_from(self.minutes, minute + 1) {
                return Some(Time::constant(hour, minute, first_from(self.seconds, 0)?, 0));
            }
        }
        let hour = first_from(self.hours.into(), hour + 1)?;
        Some(Time::constant(hour, first_from(self.minutes, 0)?, first_from(self.seconds, 0)?, 0))
    }
}

/// The lowest bit that is set from `from` on.
fn first_from(bits: u64, from: i8) -> Option<i8> {
    let left = bits & u64::MAX.checked_shl(u32::from(from.unsigned_abs())).unwrap_or(0);
    (left != 0).then(|| i8::try_from(left.trailing_zeros()).unwrap_or(0))
}

fn years(text: &str, spread: Option<&Spread>) -> Result<[u64; 4], String> {
    let mut years = [0; 4];
    YEAR.each(text, spread, |year| {
        let at = usize::from(year - YEAR.least);
        years[at / 64] |= 1 << (at % 64);
    })?;
    Ok(years)
}

#[cfg(test)]
mod tests {
    use croner::Cron as Croner;
    use proptest::prelude::*;
    use std::str::FromStr;

    use super::*;

    fn number(least: u16, most: u16) -> impl Strategy<Value = String> {
        (least..=most).prop_map(|value| value.to_string())
    }

    fn field(least: u16, most: u16) -> impl Strategy<Value = String> {
        let range = (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
        let stepped = (least..=most, 1..most - least).prop_map(move |(a, step)| format!("{a}-{most}/{step}"));
        let list = (number(least, most), number(least, most)).prop_map(|(a, b)| format!("{a},{b}"));
        prop_oneof![
            4 => Just("*".to_owned()),
            2 => number(least, most),
            1 => range,
            1 => stepped,
            1 => list,
            1 => (1..most - least).prop_map(|step| format!("*/{step}")),
        ]
    }

    fn day() -> impl Strategy<Value = String> {
        let near = (1..=31).prop_map(|day| format!("{day}W"));
        prop_oneof![4 => field(1, 31), 1 => near, 1 => Just("L".to_owned()), 1 => Just("LW".to_owned())]
    }

    fn weekday() -> impl Strategy<Value = String> {
        let kth = (0..=7, 1..=5).prop_map(|(day, k)| format!("{day}#{k}"));
        let last = (0..=7).prop_map(|day| format!("{day}L"));
        let name = prop::sample::select(vec!["SUN", "MON-FRI", "sat", "+FRI", "FRI-SUN", "?"]).prop_map(str::to_owned);
        prop_oneof![4 => field(0, 6), 1 => kth, 1 => last, 1 => name]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// croner is another's reading of the same language.
        #[test]
        fn it_names_the_times_that_croner_names(
            time in (field(0, 59), field(0, 59), field(0, 23)),
            days in (day(), field(1, 12), weekday()),
            year in prop_oneof![2 => Just("*".to_owned()), 1 => number(2020, 2040)],
            start in 946_684_800i64..2_208_988_800,
        ) {
            let text = format!("{} {} {} {} {} {} {year}", time.0, time.1, time.2, days.0, days.1, days.2);
            let (ours, theirs) = (Cron::parse(&text, None).unwrap(), Croner::from_str(&text).unwrap());
            let mut from = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(start).unwrap());
            for _ in 0..4 {
                let theirs = theirs.find_next_occurrence(&from, true).ok().filter(|found| found.year() < 2400);
                let ours = ours.next_from(from);
                prop_assert_eq!(ours, theirs, "{} from {}", text, from);
                let Some(found) = ours else { break };
                from = found + jiff::SignedDuration::from_secs(1);
            }
        }
    }
}

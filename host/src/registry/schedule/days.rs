//! Which days a cron schedule names: days of the month, days of the week, and what is said of them together.

use jiff::civil::Date;

use super::field::{DAY, WEEKDAY};
use super::spread::Spread;

/// The two fields of days. A day must fit the one that is restricted; where both are, either is enough (Vixie's rule), or with
/// `+` before the day of week, both.
#[derive(Clone, Debug, Default)]
pub(super) struct Days {
    /// Bit n: day n of the month.
    of_month: u32,
    /// `L`: the last day.
    last: bool,
    /// `LW`: the last Monday to Friday.
    last_workday: bool,
    /// Bit n, `nW`: the Monday to Friday that is nearest to day n within the month.
    nearest_workday: u32,
    /// Bit n: weekday n, Sunday is 0.
    of_week: u8,
    /// `n#k`, by k - 1: the k-th weekday n of the month.
    kth: [u8; 5],
    /// `nL`: the last weekday n of the month.
    last_of_week: u8,
    any_of_month: bool,
    any_of_week: bool,
    both: bool,
}

impl Days {
    pub(super) fn parse(of_month: &str, of_week: &str, spread: Option<&Spread>) -> Result<Self, String> {
        let mut days = Days { any_of_month: is_any(of_month), any_of_week: is_any(of_week), ..Days::default() };
        if !days.any_of_month {
            of_month.split(',').try_for_each(|part| days.add_of_month(of_month, part, spread))?;
        }
        let parts = of_week.strip_prefix('+').inspect(|_| days.both = true).unwrap_or(of_week);
        if !days.any_of_week {
            parts.split(',').try_for_each(|part| days.add_of_week(of_week, part, spread))?;
        }
        Ok(days)
    }

    fn add_of_month(&mut self, text: &str, part: &str, spread: Option<&Spread>) -> Result<(), String> {
        match part.to_ascii_uppercase().as_str() {
            "L" => self.last = true,
            "LW" | "WL" => self.last_workday = true,
            near if near.ends_with('W') => self.nearest_workday |= 1 << DAY.value(text, &near[..near.len() - 1])?,
            _ => DAY.each(part, spread, |day| self.of_month |= 1 << day)?,
        }
        Ok(())
    }

    fn add_of_week(&mut self, text: &str, part: &str, spread: Option<&Spread>) -> Result<(), String> {
        if let Some((day, k)) = part.split_once('#') {
            let day = WEEKDAY.value(text, day)? % 7;
            return match k.parse::<usize>() {
                Ok(k @ 1..=5) => {
                    self.kth[k - 1] |= 1 << day;
                    Ok(())
                }
                Ok(_) | Err(_) => Err(WEEKDAY.wrong(text, format!("`#{k}` is not in #1-#5"))),
            };
        }
        match part.strip_suffix(['L', 'l']) {
            Some("") => Err(WEEKDAY.wrong(text, "`L` wants a day: write `5L` for the last Friday of the month")),
            Some(day) => {
                self.last_of_week |= 1 << (WEEKDAY.value(text, day)? % 7);
                Ok(())
            }
            None => WEEKDAY.each(part, spread, |day| self.of_week |= 1 << (day % 7)),
        }
    }

    pub(super) fn matches(&self, date: Date) -> bool {
        match (self.any_of_month, self.any_of_week) {
            (true, true) => true,
            (true, false) => self.fits_week(date),
            (false, true) => self.fits_month(date),
            (false, false) if self.both => self.fits_month(date) && self.fits_week(date),
            (false, false) => self.fits_month(date) || self.fits_week(date),
        }
    }

    fn fits_month(&self, date: Date) -> bool {
        let (day, length) = (date.day(), date.days_in_month());
        self.of_month & (1 << day) != 0
            || (self.last && day == length)
            || (self.last_workday && day == nearest_workday(date, length))
            // A weekend moves a day by two at the most.
            || (self.nearest_workday != 0
                && (day.max(3) - 2..=(day + 2).min(length))
                    .any(|n| self.nearest_workday & (1 << n) != 0 && nearest_workday(date, n) == day))
    }

    fn fits_week(&self, date: Date) -> bool {
        let (day, weekday) = (date.day(), 1 << date.weekday().to_sunday_zero_offset());
        let k = usize::from(day.unsigned_abs() - 1) / 7;
        self.of_week & weekday != 0
            || self.kth[k] & weekday != 0
            || (self.last_of_week & weekday != 0 && day + 7 > date.days_in_month())
    }
}

fn is_any(field: &str) -> bool {
    matches!(field, "*" | "?")
}

/// The Monday to Friday nearest to day `n` of the date's month, within that month.
fn nearest_workday(date: Date, n: i8) -> i8 {
    let weekday = (i16::from(date.weekday().to_sunday_zero_offset()) + i16::from(n - date.day())).rem_euclid(7);
    match weekday {
        6 if n == 1 => 3,
        6 => n - 1,
        0 if n == date.days_in_month() => n - 2,
        0 => n + 1,
        _ => n,
    }
}

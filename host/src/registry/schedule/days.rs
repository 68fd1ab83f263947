//! Which days a cron schedule names: days of the month, days of the week, and what becomes of them together.

use super::field::{DAY, WEEKDAY};
use super::month::Month;
use super::spread::Spread;

/// The two fields of days. Either of them is enough if neither begins with `*`. If one does, or with `+` before the day of week, a
/// day must fit both (the rule of Vixie cron and cronie).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Days {
    /// Bit n: day n of the month.
    of_month: u32,
    /// Bit n, `L-n`: the day n days before the last. Bit 0, `L`: the last day.
    before_last: u32,
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
    /// # Errors
    /// What is wrong, naming the field and its text.
    pub(super) fn parse(of_month: &str, of_week: &str, spread: Option<&Spread>) -> Result<Self, String> {
        let plus = of_week.strip_prefix('+');
        let parts = plus.unwrap_or(of_week);
        let mut days = Days {
            any_of_month: is_any(of_month),
            any_of_week: is_any(parts),
            both: plus.is_some() || [of_month, parts].iter().any(|field| is_any(field) || field.starts_with('*')),
            ..Days::default()
        };
        if !days.any_of_month {
            of_month.split(',').try_for_each(|part| days.add_of_month(of_month, part, spread))?;
        }
        if !days.any_of_week {
            parts.split(',').try_for_each(|part| days.add_of_week(of_week, part, spread))?;
        }
        Ok(days)
    }

    fn add_of_month(&mut self, text: &str, part: &str, spread: Option<&Spread>) -> Result<(), String> {
        match part.to_ascii_uppercase().as_str() {
            "L" => self.before_last |= 1,
            "LW" | "WL" => self.last_workday = true,
            last if last.starts_with("L-") => self.before_last |= 1 << before_last(text, &last[2..])?,
            "W" => return Err(DAY.wrong(text, "`W` wants a day: write `15W`, or `LW` for the last workday")),
            near if near.ends_with('W') && near.contains('-') => {
                return Err(DAY.wrong(text, "`W` goes with one day: write `1W,2W,3W`"));
            }
            near if near.ends_with('W') => self.nearest_workday |= 1 << DAY.value(text, &near[..near.len() - 1])?,
            range if range.ends_with("-L") => {
                let first = &range[..range.len() - 2];
                return Err(DAY.wrong(text, format!("a range doesn't end with `L`: write `{first}-31`")));
            }
            _ => self.of_month |= u32::try_from(DAY.bits(part, spread)?).unwrap_or(u32::MAX),
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
            None => {
                let bits = WEEKDAY.bits(part, spread)?;
                // 7 is Sunday too.
                self.of_week |= u8::try_from((bits | bits >> 7) & 0x7f).unwrap_or(0);
                Ok(())
            }
        }
    }

    /// Returns the days of a month that it names: bit n is day n.
    pub(super) fn in_month(&self, month: Month) -> u32 {
        let of_month = if self.any_of_month { month.days() } else { self.by_month(month) };
        let of_week = if self.any_of_week { month.days() } else { self.by_week(month) };
        if self.both { of_month & of_week } else { of_month | of_week }
    }

    fn by_month(&self, month: Month) -> u32 {
        let mut days = self.of_month;
        if self.before_last != 0 {
            days |= self.before_last.reverse_bits() >> (31 - month.length);
        }
        if self.last_workday {
            days |= month.nearest_workdays(1 << month.length);
        }
        if self.nearest_workday != 0 {
            days |= month.nearest_workdays(self.nearest_workday);
        }
        days & month.days()
    }

    fn by_week(&self, month: Month) -> u32 {
        let mut days = month.days_of_week(self.of_week);
        for (week, weekdays) in self.kth.iter().enumerate().filter(|(_, weekdays)| **weekdays != 0) {
            days |= month.days_of_week(*weekdays) & (0x7f << (7 * week + 1));
        }
        if self.last_of_week != 0 {
            let last_week = !(u32::MAX >> (38 - month.length));
            days |= month.days_of_week(self.last_of_week) & last_week;
        }
        days
    }
}

fn is_any(field: &str) -> bool {
    matches!(field, "*" | "?")
}

/// What follows `L-`: how many days before the last.
fn before_last(text: &str, days: &str) -> Result<u32, String> {
    let digits = !days.is_empty() && days.bytes().all(|byte| byte.is_ascii_digit());
    match days.parse::<u32>() {
        Ok(days @ 1..=30) if digits => Ok(days),
        Ok(0) if digits => Err(DAY.wrong(text, "`L-0` is `L`, the last day: write that")),
        Ok(_) | Err(_) => {
            let reason = format!(
                "`{days}` after `L-` is not in 1-30: `L-2` is the day two days before the last of the month, `LW` the last workday"
            );
            Err(DAY.wrong(text, reason))
        }
    }
}

//! One field of a cron schedule: which values it names. It doesn't know days, which have rules of their own.

use super::spread::Spread;

/// What a field counts.
#[derive(Debug)]
pub(super) struct Unit {
    pub name: &'static str,
    pub least: u16,
    pub most: u16,
    /// The largest value that `H` may stand for.
    most_spread: u16,
    /// Names of the values from `least` on.
    names: &'static [&'static str],
}

pub(super) const SECOND: Unit = Unit { name: "second", least: 0, most: 59, most_spread: 59, names: &[] };
pub(super) const MINUTE: Unit = Unit { name: "minute", least: 0, most: 59, most_spread: 59, names: &[] };
pub(super) const HOUR: Unit = Unit { name: "hour", least: 0, most: 23, most_spread: 23, names: &[] };
/// `H` stays within the days that every month has.
pub(super) const DAY: Unit = Unit { name: "day of month", least: 1, most: 31, most_spread: 28, names: &[] };
pub(super) const MONTH: Unit = Unit {
    name: "month",
    least: 1,
    most: 12,
    most_spread: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
/// 0 and 7 are both Sunday.
pub(super) const WEEKDAY: Unit = Unit {
    name: "day of week",
    least: 0,
    most: 7,
    most_spread: 6,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};
pub(super) const YEAR: Unit = Unit { name: "year", least: 1970, most: 2199, most_spread: 2199, names: &[] };

/// Values that a field names: every `step`-th from the first to the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    pub first: u16,
    pub last: u16,
    pub step: u16,
}

impl Values {
    pub(super) fn each(self) -> impl Iterator<Item = u16> {
        (self.first..=self.last).step_by(self.step.into())
    }
}

impl Unit {
    /// Returns the values that a field names as bits. The unit's largest value must be below 64.
    ///
    /// # Errors
    /// What is wrong, naming the field and its text.
    pub(super) fn bits(&self, text: &str, spread: Option<&Spread>) -> Result<u64, String> {
        let mut bits = 0_u64;
        self.each(text, spread, |values| values.each().for_each(|value| bits |= 1 << value)).map(|()| bits)
    }

    /// Passes on what a field names: `*`, values, ranges and `H`, each with or without a step, separated by commas.
    ///
    /// # Errors
    /// What is wrong, naming the field and its text.
    pub(super) fn each(&self, text: &str, spread: Option<&Spread>, mut mark: impl FnMut(Values)) -> Result<(), String> {
        text.split(',').try_for_each(|part| self.part(text, part, spread).map(&mut mark))
    }

    fn part(&self, text: &str, part: &str, spread: Option<&Spread>) -> Result<Values, String> {
        let (base, step) = match part.split_once('/') {
            Some((base, step)) => (base, Some(self.step(text, step)?)),
            None => (part, None),
        };
        let (first, last) = match base {
            "*" => (self.least, self.most),
            "?" => return Err(self.wrong(text, "`?` is for the two fields of days: write `*`")),
            hashed if hashed.starts_with(['H', 'h']) => self.hashed(text, &hashed[1..], step, spread)?,
            range if range.contains('-') => self.range(text, range)?,
            value => match (self.value(text, value)?, step) {
                (value, None) => (value, value),
                (value, Some(step)) => {
                    let most = self.most;
                    return Err(self.wrong(text, format!("a step wants a range: write `{value}-{most}/{step}`")));
                }
            },
        };
        Ok(Values { first, last, step: step.unwrap_or(1) })
    }

    fn step(&self, text: &str, step: &str) -> Result<u16, String> {
        let most = self.most - self.least;
        match step.parse::<u16>() {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            Ok(_) | Err(_) => Err(self.wrong(text, format!("the step `{step}` is not in 1-{most}"))),
        }
    }

    fn range(&self, text: &str, range: &str) -> Result<(u16, u16), String> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, mut last) = (self.value(text, first)?, self.value(text, last)?);
        // `SAT-SUN`: a week that ends on Sunday.
        if self.name == WEEKDAY.name && last == 0 && first > 0 {
            last = 7;
        }
        if first > last {
            let (least, most) = (self.least, self.most);
            let round = || format!("`{range}` ends before it begins: write `{first}-{most},{least}-{last}`");
            let years = || format!("`{range}` ends before it begins");
            return Err(self.wrong(text, if self.name == YEAR.name { years() } else { round() }));
        }
        Ok((first, last))
    }

    /// `H`, `H(0-29)`: one value of the job's own; with a step, where it begins.
    fn hashed(&self, text: &str, rest: &str, step: Option<u16>, spread: Option<&Spread>) -> Result<(u16, u16), String> {
        let (least, most) = match rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some(range) => self.range(text, range)?,
            None if self.name == YEAR.name => {
                return Err(self.wrong(text, "for a year `H` wants a range, like `H(2030-2039)`"));
            }
            None if rest.is_empty() => (self.least, self.most_spread),
            None => return Err(self.wrong(text, format!("`H{rest}` is not like `H`, `H(0-9)` or `H/3`"))),
        };
        let spread = spread.ok_or_else(|| self.wrong(text, "`H` is a value of the job's own, and no job is named"))?;
        let choices = (most - least + 1).min(step.unwrap_or(u16::MAX));
        let first = least + u16::try_from(spread.below(self.name, u64::from(choices))).unwrap_or(0);
        Ok((first, if step.is_some() { most } else { first }))
    }

    /// A number or a name.
    pub(super) fn value(&self, text: &str, value: &str) -> Result<u16, String> {
        if let Some(at) = self.names.iter().position(|name| name.eq_ignore_ascii_case(value)) {
            return Ok(self.least + u16::try_from(at).unwrap_or(0));
        }
        if value.is_empty() {
            return Err(self.wrong(text, "a value is missing"));
        }
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse::<u16>() {
            Ok(number) if digits && (self.least..=self.most).contains(&number) => Ok(number),
            Ok(_) | Err(_) if digits => Err(format!("{} {value} is not in {}-{}", self.name, self.least, self.most)),
            Ok(_) | Err(_) => Err(self.wrong(text, format!("`{value}` is none of {}", self.values()))),
        }
    }

    fn values(&self) -> String {
        match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => format!("{}-{}, {first}-{last}", self.least, self.most),
            (None, _) | (_, None) => format!("{}-{}", self.least, self.most),
        }
    }

    /// ``minute `*/0`: the step …``.
    pub(super) fn wrong(&self, text: &str, reason: impl std::fmt::Display) -> String {
        format!("{} `{text}`: {reason}", self.name)
    }
}

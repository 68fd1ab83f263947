//! When no tick comes: dates, ranges of dates, and hours by a cron schedule. All are local times of the job's zone, compared
//! with the time that the clock shows at the tick. Whole hours, so that what is left out can be stepped over in few steps.

use jiff::civil::{Date, DateTime};

use super::cron::Cron;
use super::spread::Spread;

/// Hours of a day, all of them.
const WHOLE_DAY: u32 = (1 << 24) - 1;
/// So many days of the calendar repeat for ever: what leaves them out leaves out all.
const CYCLE_DAYS: u32 = 146_097;

/// All that a job leaves out.
#[derive(Clone, Debug, Default)]
pub(super) struct Exclusions(Vec<Exclusion>);

#[derive(Clone, Debug)]
enum Exclusion {
    /// Both included.
    Dates { first: Date, last: Date },
    /// Boxed: it is larger.
    Hours(Box<Cron>),
}

impl Exclusions {
    /// # Errors
    /// What is wrong, with the text that it is wrong in.
    pub(super) fn parse(texts: &[String], spread: Option<&Spread>) -> Result<Self, (String, String)> {
        let parse = |text: &String| Exclusion::parse(text.trim(), spread).map_err(|reason| (text.clone(), reason));
        Ok(Exclusions(texts.iter().map(parse).collect::<Result<_, _>>()?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first local time from `from` on that is not left out.
    pub(super) fn next_left_in(&self, from: DateTime) -> Option<DateTime> {
        let mut from = from;
        for _ in 0..CYCLE_DAYS {
            let ahead = !self.hours(from.date()) & WHOLE_DAY & (WHOLE_DAY << from.hour());
            if ahead & (1 << from.hour()) != 0 {
                return Some(from);
            }
            if ahead != 0 {
                return Some(from.date().at(i8::try_from(ahead.trailing_zeros()).ok()?, 0, 0, 0));
            }
            from = self.last_day_of_range(from.date()).tomorrow().ok()?.at(0, 0, 0, 0);
        }
        None
    }

    /// Bit n: hour n of this day is left out.
    fn hours(&self, date: Date) -> u32 {
        let hours = |exclusion: &Exclusion| match exclusion {
            Exclusion::Dates { first, last } if (*first..=*last).contains(&date) => WHOLE_DAY,
            Exclusion::Hours(cron) if cron.has_day(date) => cron.hours(),
            Exclusion::Dates { .. } | Exclusion::Hours(_) => 0,
        };
        self.0.iter().fold(0, |all, exclusion| all | hours(exclusion))
    }

    /// The last day of a range that has this day, or the day itself: years are one step.
    fn last_day_of_range(&self, date: Date) -> Date {
        let last = self.0.iter().filter_map(|exclusion| match exclusion {
            Exclusion::Dates { first, last } if (*first..=*last).contains(&date) => Some(*last),
            Exclusion::Dates { .. } | Exclusion::Hours(_) => None,
        });
        last.max().unwrap_or(date)
    }
}

impl Exclusion {
    fn parse(text: &str, spread: Option<&Spread>) -> Result<Self, String> {
        if text.contains(char::is_whitespace) {
            return hours(text, spread);
        }
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (date(first)?, date(last)?);
        if first > last { Err("it ends before it begins".to_owned()) } else { Ok(Exclusion::Dates { first, last }) }
    }
}

fn hours(text: &str, spread: Option<&Spread>) -> Result<Exclusion, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("it has {} fields, and must have 5, like `* 2-3 * * *`", fields.len()));
    }
    if fields[0] != "*" {
        let minute = fields[0];
        return Err(format!("minute `{minute}`: it must be `*`: whole hours are left out"));
    }
    Ok(Exclusion::Hours(Box::new(Cron::parse(text, spread)?)))
}

fn date(text: &str) -> Result<Date, String> {
    text.trim().parse().map_err(|_| {
        "it must be a date like `2026-12-24`, a range like `2026-12-24..2027-01-01`, or cron of 5 fields like `* 2-3 * * *`"
            .to_owned()
    })
}

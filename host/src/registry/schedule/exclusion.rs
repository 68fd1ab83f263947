//! When no tick comes: dates, ranges of dates, and hours by a cron schedule. All are local times of the job's zone, compared
//! with the time that the clock shows at the tick. They are whole hours, so that long spans can be stepped over in few steps.

use jiff::civil::{Date, DateTime};

use super::MAX_TEXTS;
use super::cron::Cron;
use super::month::{Classes, Month};
use super::spread::Spread;
use super::work::{TooMuch, Work, each, few};

/// Hours of a day, all of them.
pub(super) const WHOLE_DAY: u32 = (1 << 24) - 1;

/// All that a job leaves out.
#[derive(Clone, Debug)]
pub(super) struct Exclusions {
    /// In order. None touches another.
    dates: Vec<Dates>,
    /// No two name the same days.
    hours: Vec<Cron>,
    /// The classes of months in which `hours` leave some hour in.
    open: Classes,
}

/// Days, the first and the last of them included.
#[derive(Clone, Copy, Debug)]
struct Dates {
    first: Date,
    last: Date,
}

/// What one text leaves out.
enum Exclusion {
    Dates(Dates),
    Hours(Cron),
}

impl Exclusions {
    pub(super) const NONE: Exclusions = Exclusions { dates: Vec::new(), hours: Vec::new(), open: Classes::ALL };

    /// # Errors
    /// What is wrong, with the text that it is wrong in.
    pub(super) fn parse(texts: &[String], spread: Option<&Spread>) -> Result<Self, (String, String)> {
        let mut all = Exclusions::NONE;
        for text in texts {
            match Exclusion::parse(text.trim(), spread).map_err(|reason| (text.clone(), reason))? {
                Exclusion::Dates(dates) => all.dates.push(dates),
                Exclusion::Hours(cron) => {
                    if !all.hours.iter_mut().any(|known| known.take_hours_of(&cron)) {
                        all.hours.push(cron);
                    }
                }
            }
        }
        all.merge_dates();
        Ok(all)
    }

    fn merge_dates(&mut self) {
        self.dates.sort_by_key(|dates| dates.first);
        self.dates.dedup_by(|next, before| {
            let apart = before.last.tomorrow().is_ok_and(|behind| next.first > behind);
            if !apart {
                before.last = before.last.max(next.last);
            }
            !apart
        });
    }

    /// Finds out what is left in of each class of months, and remembers which are not left out whole. Until then it takes all for
    /// such.
    pub(super) fn classify(&mut self, work: &mut Work) -> Result<Openings, TooMuch> {
        if self.hours.is_empty() {
            return Ok(Openings::ALL);
        }
        let mut openings = Vec::with_capacity(Month::classes().count());
        self.open = Classes::NONE;
        for month in Month::classes() {
            let opening = self.in_class(month, work)?;
            work.spend(u32::from(month.length) * few(self.hours.len()))?;
            let mut hours = [0; 32];
            (1..=month.length).for_each(|day| hours[usize::from(day)] = opening.hours(day.into()));
            if hours != [0; 32] {
                self.open.add(month);
            }
            openings.push(hours);
        }
        Ok(Openings(openings))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.dates.is_empty() && self.hours.is_empty()
    }

    /// Returns how many spans of excluded dates there are.
    pub(super) fn spans_of_dates(&self) -> usize {
        self.dates.len()
    }

    /// Returns how many cron schedules of excluded hours there are.
    pub(super) fn crons(&self) -> usize {
        self.hours.len()
    }

    /// Returns whether a time is left out.
    pub(super) fn have(&self, local: DateTime, work: &mut Work) -> Result<bool, TooMuch> {
        if self.behind_dates(local).is_none_or(|behind| behind != local) {
            return Ok(true);
        }
        work.spend(each(self.hours.len()))?;
        let (month, day, hour) = (Month::of(local.date()), local.day(), local.hour());
        let names = |cron: &Cron| cron.hours() >> hour & 1 != 0 && cron.days_in(month) >> day & 1 != 0;
        Ok(self.hours.iter().any(names))
    }

    /// Returns the first time from `from` on that is not on an excluded date; None if the calendar ends before it.
    pub(super) fn behind_dates(&self, from: DateTime) -> Option<DateTime> {
        let at = self.dates.partition_point(|dates| dates.last < from.date());
        match self.dates.get(at) {
            Some(dates) if dates.first <= from.date() => Some(dates.last.tomorrow().ok()?.at(0, 0, 0, 0)),
            Some(_) | None => Some(from),
        }
    }

    /// Returns the last excluded date before a day that is not excluded itself.
    pub(super) fn last_date_before(&self, date: Date) -> Option<Date> {
        let at = self.dates.partition_point(|dates| dates.last < date);
        self.dates[..at].last().map(|dates| dates.last)
    }

    /// Returns the days of a month that are excluded dates: bit n is day n.
    pub(super) fn dates_in(&self, month: Month) -> u32 {
        let (first, last) = (month.date(1), month.date(month.length.into()));
        let at = self.dates.partition_point(|dates| dates.last < first);
        let within = self.dates[at..].iter().take_while(|dates| dates.first <= last);
        let days = |dates: &Dates| {
            let (first, last) = (dates.first.max(first).day(), dates.last.min(last).day());
            (u32::MAX >> (31 - last)) & (u32::MAX << first)
        };
        within.fold(0, |all, dates| all | days(dates))
    }

    /// Returns what is left in of a month.
    pub(super) fn in_month(&self, month: Month, work: &mut Work) -> Result<Opening<'_>, TooMuch> {
        let dates = self.dates_in(month);
        Ok(Opening { dates, ..self.in_class(month, work)? })
    }

    /// Returns what the cron schedules alone leave in of a month of this class.
    pub(super) fn in_class(&self, month: Month, work: &mut Work) -> Result<Opening<'_>, TooMuch> {
        work.spend(each(self.hours.len()))?;
        let mut days = [0; MAX_TEXTS];
        for (days, cron) in days.iter_mut().zip(&self.hours) {
            *days = cron.days_in_class(month);
        }
        Ok(Opening { crons: &self.hours, days, dates: 0 })
    }
}

/// What cron schedules leave in of each class of months, by day: hours as bits. Empty if they leave everything in.
#[derive(Debug)]
pub(super) struct Openings(Vec<[u32; 32]>);

impl Openings {
    /// Nothing is left out.
    pub(super) const ALL: Openings = Openings(Vec::new());

    /// Returns how many hours in a row are left in at some time in every month.
    pub(super) fn least_span(&self) -> u32 {
        self.0.iter().map(longest_span).min().unwrap_or(0)
    }

    /// Returns the most spans of hours that are left in, of any month.
    pub(super) fn most_spans(&self) -> u32 {
        self.0.iter().map(spans_of).max().unwrap_or(1)
    }

    /// Returns how many spans of hours are left in of a month; those that go on at midnight count twice.
    pub(super) fn spans(&self, month: Month) -> u32 {
        self.0.get(usize::from(month.class())).map_or(1, spans_of)
    }

    /// Returns the hours of a day that are left in. Bit n: hour n is.
    pub(super) fn hours(&self, month: Month, day: u32) -> u32 {
        self.0.get(usize::from(month.class())).map_or(WHOLE_DAY, |days| days[day as usize & 31])
    }
}

fn spans_of(days: &[u32; 32]) -> u32 {
    days.iter().map(|hours| (hours & !(hours << 1)).count_ones()).sum()
}

/// The most hours in a row that are left in of a month.
fn longest_span(days: &[u32; 32]) -> u32 {
    let (mut longest, mut span) = (0, 0);
    for hours in days {
        for hour in 0..24 {
            span = if hours >> hour & 1 == 0 { 0 } else { span + 1 };
            longest = span.max(longest);
        }
    }
    longest
}

/// What is left in of one month.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    crons: &'a [Cron],
    /// The days of each.
    days: [u32; MAX_TEXTS],
    /// The days that are excluded dates.
    dates: u32,
}

impl Opening<'_> {
    /// Returns the hours of a day that are left in. Bit n: hour n is.
    pub(super) fn hours(&self, day: u32) -> u32 {
        if self.dates >> day & 1 != 0 {
            return 0;
        }
        let on_day = self.crons.iter().zip(self.days).filter(|(_, days)| days >> day & 1 != 0);
        let left_out = on_day.fold(0, |all, (cron, _)| all | cron.hours());
        !left_out & WHOLE_DAY
    }
}

/// Finds times that are left in, one after another. It keeps the month that it was in.
pub(super) struct LeftIn<'a> {
    exclusions: &'a Exclusions,
    known: Option<(Month, Opening<'a>)>,
}

impl<'a> LeftIn<'a> {
    pub(super) fn of(exclusions: &'a Exclusions) -> Self {
        LeftIn { exclusions, known: None }
    }

    /// Returns the first local time from `from` on that is not left out, or None if there is none up to the month of `until`.
    pub(super) fn next_from(
        &mut self,
        from: DateTime,
        until: Date,
        work: &mut Work,
    ) -> Result<Option<DateTime>, TooMuch> {
        let mut from = from;
        if self.exclusions.open == Classes::NONE {
            return Ok(None);
        }
        while let Some(behind) = self.exclusions.behind_dates(from) {
            let month = Month::of(behind.date());
            if month.is_after(until) {
                return Ok(None);
            }
            work.spend(1)?;
            if self.exclusions.open.have(month)
                && let Some(found) = self.in_month(month, behind, work)?
            {
                return Ok(Some(found));
            }
            let Some(next) = month.next() else { return Ok(None) };
            from = next.begin();
        }
        Ok(None)
    }

    fn in_month(&mut self, month: Month, from: DateTime, work: &mut Work) -> Result<Option<DateTime>, TooMuch> {
        let opening = match self.known.take() {
            Some((known, opening)) if known == month => opening,
            Some(_) | None => self.exclusions.in_month(month, work)?,
        };
        let first = u32::from(from.day().unsigned_abs());
        let mut found = None;
        for day in first..=u32::from(month.length) {
            work.spend(few(self.exclusions.crons()))?;
            let hours = opening.hours(day);
            if day == first && hours >> from.hour() & 1 != 0 {
                found = Some(from);
                break;
            }
            let ahead = if day == first { hours & (WHOLE_DAY << from.hour()) } else { hours };
            if ahead != 0 {
                let hour = i8::try_from(ahead.trailing_zeros()).unwrap_or(0);
                found = Some(month.date(day).at(hour, 0, 0, 0));
                break;
            }
        }
        self.known = Some((month, opening));
        Ok(found)
    }
}

impl Exclusion {
    fn parse(text: &str, spread: Option<&Spread>) -> Result<Self, String> {
        super::zone::refuse_prefix(text)?;
        if text.contains(char::is_whitespace) {
            return hours(text, spread).map(Exclusion::Hours);
        }
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (date(first)?, date(last)?);
        if first > last {
            return Err("it ends before it begins: write the earlier date first".to_owned());
        }
        Ok(Exclusion::Dates(Dates { first, last }))
    }
}

fn hours(text: &str, spread: Option<&Spread>) -> Result<Cron, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("it has {} fields, and must have 5, like `* 2-3 * * *`", fields.len()));
    }
    if fields[0] != "*" {
        let minute = fields[0];
        return Err(format!("minute `{minute}`: it must be `*`: whole hours are left out"));
    }
    Cron::parse(text, spread)
}

fn date(text: &str) -> Result<Date, String> {
    text.trim().parse().map_err(|_| {
        "it must be a date like `2026-12-24`, a range like `2026-12-24..2027-01-01`, or cron of 5 fields like `* 2-3 * * *`"
            .to_owned()
    })
}

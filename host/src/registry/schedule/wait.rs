//! How long a search for a tick of `@every` may take, where hours by cron are left out.
//!
//! Ticks of an interval of up to an hour come in every hour that is left in. Those of a longer one may miss one hour after another,
//! and whether they ever meet one is a matter of arithmetic. So it is proved beforehand that they do, and how soon: a month in
//! which every tick that the interval may have there, whatever its phase, is followed by one that is left in is a sure one, and
//! between two sure months lie only so many months, all the time from 1970 to 2370.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::LONG_AGO;
use super::exclusion::{Exclusions, Openings};
use super::interval::Interval;
use super::local::Search;
use super::month::Month;
use super::work::{CHANGE_STEPS, CONVERSION_STEPS, INTERVAL_STEPS, TooMuch, Work, each, few};

/// Ticks of this interval and of shorter ones come in every hour.
const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// Local time is never further from UTC than this.
const MAX_OFFSET: i64 = 26 * HOUR;
/// A cycle of the calendar.
const MONTHS: u32 = 400 * 12;
const CYCLE: i64 = 146_097 * DAY;
/// Ticks in a cycle that are few enough to go through all of them.
const FEW_TICKS: i64 = 24_000;

/// Returns whether every search for a tick of these intervals is short enough.
///
/// # Errors
/// [`TooMuch`] if that can't be told with the work that is left.
pub(super) fn is_short(
    intervals: &[Interval],
    zone: &TimeZone,
    exclusions: &Exclusions,
    openings: &Openings,
    work: &mut Work,
) -> Result<bool, TooMuch> {
    // Only those prove anything that tick from when the first of them does: the others may begin in centuries.
    let begin = intervals.iter().map(|interval| interval.first).min();
    let from_the_beginning = || intervals.iter().filter(|interval| Some(interval.first) == begin);
    if exclusions.crons() == 0 || from_the_beginning().any(|interval| interval.seconds <= HOUR) {
        return Ok(true);
    }
    let price = Price::of(intervals, exclusions);
    // Without a look at the calendar: in every month comes a span that is longer than the interval, also if the clock is changed in
    // it. Each span of dates spoils two months, and a change of more than three hours another one.
    let months = 2 * each(exclusions.spans_of_dates()) + 5;
    let least_span = i64::from(openings.least_span()) * HOUR;
    let is_sure = |interval: &Interval| interval.seconds + 3 * HOUR <= least_span;
    if from_the_beginning().any(is_sure) && months.saturating_mul(price.month(openings.most_spans())) <= INTERVAL_STEPS
    {
        return Ok(true);
    }
    for interval in from_the_beginning() {
        if Sure::new(interval, openings).longest_search(&price, zone, exclusions, work)? <= INTERVAL_STEPS {
            return Ok(true);
        }
    }
    let ticks: i64 = intervals.iter().map(|interval| CYCLE / interval.seconds).sum();
    if ticks > FEW_TICKS { Ok(false) } else { all_are_short(intervals, zone, exclusions, work) }
}

/// Whether the searches are short enough, by making all of them.
fn all_are_short(
    intervals: &[Interval],
    zone: &TimeZone,
    exclusions: &Exclusions,
    work: &mut Work,
) -> Result<bool, TooMuch> {
    let end = Timestamp::from_second(CYCLE).unwrap_or(Timestamp::MAX);
    let mut from = LONG_AGO;
    loop {
        let mut part = Work::up_to(INTERVAL_STEPS);
        let found = Search { zone, exclusions, work: &mut part }.in_intervals(intervals, from, end);
        work.spend(INTERVAL_STEPS - part.left())?;
        match found {
            Err(TooMuch) => return Ok(false),
            Ok(None) => return Ok(true),
            Ok(Some(tick)) => match tick.checked_add(super::local::SECOND) {
                Ok(next) => from = next,
                Err(_) => return Ok(true),
            },
        }
    }
}

/// What a search takes.
struct Price {
    /// For a month, besides looks at ticks.
    month: u32,
    /// For a look at a tick.
    look: u32,
    /// The most ticks of a month.
    ticks: u32,
}

impl Price {
    fn of(intervals: &[Interval], exclusions: &Exclusions) -> Self {
        let ticks: i64 = intervals.iter().map(|interval| 31 * DAY / interval.seconds + 2).sum();
        Price {
            month: 2 * CHANGE_STEPS + each(exclusions.crons()) + 31 * few(exclusions.crons()),
            look: few(intervals.len()) + 2 * CONVERSION_STEPS + 2 * few(exclusions.crons()),
            ticks: u32::try_from(ticks).unwrap_or(u32::MAX),
        }
    }

    /// Returns the steps for a month with so many spans that are left in.
    fn month(&self, spans: u32) -> u32 {
        self.month.saturating_add(self.look.saturating_mul(self.ticks.min(spans + 2)))
    }
}

/// The months in which a tick of an interval is sure to be left in.
struct Sure<'a> {
    interval: &'a Interval,
    openings: &'a Openings,
    /// Ticks are so far apart, or a multiple of it, by the time of the week.
    grain: i64,
    /// What is known of classes of months, by offset.
    known: Vec<(Offset, [Option<bool>; 128])>,
}

impl<'a> Sure<'a> {
    fn new(interval: &'a Interval, openings: &'a Openings) -> Self {
        Sure { interval, openings, grain: greatest_common_divisor(interval.seconds, WEEK), known: Vec::new() }
    }

    /// Returns the most steps of a search that ends with the first sure month. Months that are left out whole by date don't count,
    /// because they are one step.
    fn longest_search(
        &mut self,
        price: &Price,
        zone: &TimeZone,
        exclusions: &Exclusions,
        work: &mut Work,
    ) -> Result<u32, TooMuch> {
        let Some(mut month) = Month::january(1970) else { return Ok(u32::MAX) };
        let begin = Timestamp::from_second(-MAX_OFFSET).unwrap_or(LONG_AGO);
        let (mut offset, mut changed) = (zone.to_offset(begin), i64::MIN);
        let mut changes = zone.following(begin).peekable();
        let (mut steps, mut longest) = (0_u32, 0);
        for _ in 0..MONTHS {
            work.spend(4)?;
            let Ok(begin) = Offset::UTC.to_timestamp(month.begin()) else { break };
            let end = begin.as_second() + i64::from(month.length) * DAY;
            while let Some(change) = changes.next_if(|change| change.timestamp().as_second() < end + MAX_OFFSET) {
                work.spend(CHANGE_STEPS)?;
                (offset, changed) = (change.offset(), change.timestamp().as_second());
            }
            let is_steady = changed < begin.as_second() - MAX_OFFSET;
            let dates = exclusions.dates_in(month);
            if dates != month.days() {
                let of_month = price.month(self.openings.spans(month) + each(exclusions.spans_of_dates()));
                longest = longest.max(steps.saturating_add(of_month));
                let is_sure = is_steady && dates == 0 && self.has(month, offset, work)?;
                // A search may also begin in the middle of a sure month, behind what would have ended it.
                steps = if is_sure { of_month } else { steps.saturating_add(of_month) };
            }
            let Some(next) = month.next() else { break };
            month = next;
        }
        Ok(longest)
    }

    /// Returns whether a month at this offset is a sure one.
    fn has(&mut self, month: Month, offset: Offset, work: &mut Work) -> Result<bool, TooMuch> {
        let class = usize::from(month.class());
        let at = match self.known.iter().position(|(known, _)| *known == offset) {
            Some(at) => at,
            None => {
                self.known.push((offset, [None; 128]));
                self.known.len() - 1
            }
        };
        if let Some(known) = self.known[at].1[class] {
            return Ok(known);
        }
        let sure = self.covers(month, offset, work)?;
        self.known[at].1[class] = Some(sure);
        Ok(sure)
    }

    /// The ticks of a month are a row that begins less than an interval after the month does. All the places where it may begin
    /// must lead into a time that is left in.
    fn covers(&self, month: Month, offset: Offset, work: &mut Work) -> Result<bool, TooMuch> {
        let every = self.interval.seconds;
        let spans = spans(month, self.openings);
        work.spend(64 + 4 * each(spans.len()))?;
        let mut covered = Vec::with_capacity(2 * spans.len());
        for (begin, end) in spans {
            if end - begin >= every {
                return Ok(true);
            }
            let begin_within = begin % every;
            let end_within = begin_within + end - begin;
            covered.push((begin_within, end_within.min(every)));
            if end_within > every {
                covered.push((0, end_within - every));
            }
        }
        covered.sort_unstable();
        // 1970-01-01 was a Thursday.
        let days = i64::from(month.first) - 4;
        let phase = self.interval.anchor + i64::from(offset.seconds()) - days * DAY;
        let may_begin_in = |from: i64, to: i64| from + (phase - from).rem_euclid(self.grain) < to;
        let mut to = 0;
        for (begin, end) in covered {
            if begin > to && may_begin_in(to, begin) {
                return Ok(false);
            }
            to = to.max(end);
        }
        Ok(!may_begin_in(to, every))
    }
}

/// Returns the spans of a month that are left in, in seconds from its beginning.
fn spans(month: Month, openings: &Openings) -> Vec<(i64, i64)> {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for day in 1..=u32::from(month.length) {
        let hours = openings.hours(month, day);
        for hour in (0..24).filter(|hour| hours >> hour & 1 != 0) {
            let begin = i64::from(day - 1) * DAY + hour * HOUR;
            match spans.last_mut() {
                Some((_, end)) if *end == begin => *end += HOUR,
                Some(_) | None => spans.push((begin, begin + HOUR)),
            }
        }
    }
    spans
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

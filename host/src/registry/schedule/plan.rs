//! The ticks of a job, without what its jitter makes of them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::calendar::Calendar;
use super::exclusion::Exclusions;
use super::interval::Interval;
use super::local::{SECOND, Search};
use super::parse::Parser;
use super::work::{TooMuch, Work};
use super::{ScheduleError, ScheduleSpec};
use crate::registry::JobId;

/// A job with schedules of several kinds is looked through so far ahead first, and so far next, with each of them: one that ticks
/// soon keeps the others from being looked through to their ends.
const NEAR: [SignedDuration; 2] = [SignedDuration::from_hours(40 * 24), SignedDuration::from_hours(4 * 365 * 24)];

static NOTHING_LEFT_OUT: Exclusions = Exclusions::NONE;

/// All that a job ticks at, in its zone.
#[derive(Debug)]
pub(super) struct Plan {
    /// One of the schedules at fixed hours, one of those that follow real time.
    pub calendars: Box<[Calendar]>,
    pub intervals: Box<[Interval]>,
    /// In order. None of them is left out.
    pub once: Box<[Timestamp]>,
    /// Boxed, because most schedules have none.
    pub exclusions: Option<Box<Exclusions>>,
    pub zone: TimeZone,
    /// Whether something of it depends on the job's name.
    pub is_jobs_own: bool,
}

impl Plan {
    /// Reads all of a job's schedule but its jitter.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub(super) fn parse(spec: &ScheduleSpec, job: Option<&JobId>) -> Result<Self, ScheduleError> {
        let plan = Parser::new(spec, job)?.parse()?;
        plan.check_rules(spec)?;
        Ok(plan)
    }

    /// The first tick in the time after `now` and up to `until`, nearer spans first.
    pub(super) fn search(
        &self,
        now: Timestamp,
        until: Timestamp,
        work: &mut Work,
    ) -> Result<Option<Timestamp>, TooMuch> {
        let Ok(mut from) = Timestamp::from_second(now.as_second()) else { return Ok(None) };
        if from <= now {
            let Ok(next) = from.checked_add(SECOND) else { return Ok(None) };
            from = next;
        }
        let kinds = self.calendars.len() + usize::from(!self.intervals.is_empty());
        for near in NEAR.into_iter().filter(|_| kinds > 1) {
            let Ok(end) = from.checked_add(near) else { break };
            if end >= until {
                break;
            }
            if let Some(tick) = self.search_all(from, end, work)? {
                return Ok(Some(tick));
            }
            let Ok(next) = end.checked_add(SECOND) else { break };
            from = next;
        }
        self.search_all(from, until, work)
    }

    /// The first tick in `from..=until`. `from` is a whole second.
    fn search_all(&self, from: Timestamp, until: Timestamp, work: &mut Work) -> Result<Option<Timestamp>, TooMuch> {
        let mut search = Search { zone: &self.zone, exclusions: self.exclusions(), work };
        let at = self.once.partition_point(|instant| *instant < from);
        let mut found = self.once.get(at).copied().filter(|tick| *tick <= until);
        for calendar in &self.calendars {
            found = search.in_calendar(calendar, from, found.unwrap_or(until))?.or(found);
        }
        if !self.intervals.is_empty() {
            found = search.in_intervals(&self.intervals, from, found.unwrap_or(until))?.or(found);
        }
        Ok(found)
    }

    fn exclusions(&self) -> &Exclusions {
        self.exclusions.as_deref().unwrap_or(&NOTHING_LEFT_OUT)
    }
}

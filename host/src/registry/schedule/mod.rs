//! When a job ticks. Pure: the time is an argument, so every host computes the same ticks.
//!
//! A job ticks at the times of all its schedules, of which several may name one tick, but for those that it leaves out. Where
//! a zone's clock is changed:
//!
//! | schedule | time that the clock skips | time that the clock shows twice |
//! |---|---|---|
//! | cron with hours other than `*` or `*/n`; `at` with a zone | `gap = "shift"`: once, as much later as the clock was put forward; `"skip"`: not that day | `fold = "first"`, `"last"`, or `"both"` |
//! | cron with hours `*` or `*/n` | doesn't come | comes twice: it follows real time |
//! | `@every` | real time, in any zone | real time |
//!
//! A tick's nominal time is what names its run. Jitter delays the begin alone, by the same share of the same span for the
//! same job, and always ends before the next tick (temporal#3059).
//!
//! Tenants write schedules, and hosts look for their ticks all the time, so every search is short whatever the schedule and
//! whenever it is: it is counted in steps ([`work`]), and a schedule that could take more of them than the limit is refused when it
//! is parsed. How long a search takes depends on how far away the tick is that it finds.

mod calendar;
mod cron;
mod days;
mod error;
mod exclusion;
mod field;
mod forecast;
mod interval;
mod local;
mod month;
mod once;
mod parse;
mod plan;
mod shared;
mod spread;
mod wait;
mod work;
mod written;
mod zone;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

pub use error::ScheduleError;
pub use forecast::Forecast;
pub use written::{Fold, Gap, ScheduleSpec};

use super::JobId;
use plan::Plan;
use spread::Spread;
use work::{PARSE_STEPS, SEARCH_STEPS, Work};

/// A schedule that has no tick from here on has none at all.
const LONG_AGO: Timestamp = Timestamp::UNIX_EPOCH;
/// How many schedules, single times and exclusions a job may have.
const MAX_TEXTS: usize = 64;
/// A day: what begins later than that is another day's.
const MAX_JITTER_MS: u64 = 24 * 60 * 60 * 1000;
/// How many ticks are looked at for the shortest time between two.
const SAMPLE: usize = 512;
/// A valid schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Jobs whose ticks are the same share it.
    plan: Arc<Plan>,
    jitter_ms: u64,
    /// Which share of the jitter is the job's, in 2^-32.
    share: u64,
}

impl Schedule {
    /// The schedule of a job. Without a job's name there is no `H` and no jitter, which are a job's own.
    ///
    /// # Errors
    /// The first field that is wrong; also for a schedule that never ticks, like 31 February, for one whose ticks are all left out,
    /// and for one whose ticks can't be found with a bounded amount of work.
    pub fn parse(spec: &ScheduleSpec, job: Option<&JobId>) -> Result<Self, ScheduleError> {
        Schedule::of(Arc::new(Plan::parse(spec, job)?), spec, job)
    }

    fn of(plan: Arc<Plan>, spec: &ScheduleSpec, job: Option<&JobId>) -> Result<Self, ScheduleError> {
        let refuse = |reason: &str| {
            let jitter = SignedDuration::from_millis(i64::try_from(spec.jitter_ms).unwrap_or(i64::MAX));
            Err(ScheduleError::new("jitter", format!("{jitter:#}"), reason))
        };
        let share = match (spec.jitter_ms, job) {
            (0, _) => 0,
            (1..=MAX_JITTER_MS, Some(job)) => Spread::of(job).below("jitter", 1 << 32),
            (1..=MAX_JITTER_MS, None) => return refuse("each job has its own, and no job is named"),
            _ => return refuse("it must be from 0s to 24h"),
        };
        Ok(Schedule { plan, jitter_ms: spec.jitter_ms, share })
    }

    /// What must hold of a schedule that is applied at `now`.
    ///
    /// # Errors
    /// There is no tick to come, or the jitter is no shorter than the time between two of the next 512, as far as a bounded amount
    /// of work leads.
    pub fn check_at(&self, spec: &ScheduleSpec, now: Timestamp) -> Result<(), ScheduleError> {
        let Some(mut last) = self.next_after(now) else {
            let (field, texts) = if spec.schedule.is_empty() { ("at", &spec.at) } else { ("schedule", &spec.schedule) };
            return Err(ScheduleError::new(field, texts.join("`, `"), format!("it has no tick after {now:.0}")));
        };
        if self.jitter_ms == 0 {
            return Ok(());
        }
        let mut work = Work::up_to(PARSE_STEPS);
        for _ in 1..SAMPLE {
            let Ok(Some(tick)) = self.plan.search(last, Timestamp::MAX, &mut work) else { break };
            let gap = tick.duration_since(last);
            if gap <= self.jitter() {
                let reason =
                    format!("it must be shorter than the time between two ticks, which is {gap:#} after {last}");
                return Err(ScheduleError::new("jitter", format!("{:#}", self.jitter()), reason));
            }
            last = tick;
        }
        Ok(())
    }

    /// The first tick strictly after `now`, a whole second. None where there is none within 400 years.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.next_until(now, Timestamp::MAX)
    }

    /// The first tick strictly after `now`, if it is not after `until`. The nearer that is, the less there is to do.
    pub fn next_until(&self, now: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let mut work = Work::up_to(SEARCH_STEPS);
        // That the steps are enough was seen to when it was parsed.
        self.plan.search(now, until, &mut work).unwrap_or(None)
    }

    /// When the run of a tick begins: not before the tick, and before the next one.
    pub fn begins(&self, tick: Timestamp) -> Timestamp {
        if self.jitter_ms == 0 {
            return tick;
        }
        let latest = tick.checked_add(self.jitter()).unwrap_or(Timestamp::MAX);
        let next = self.next_until(tick, latest).unwrap_or(latest);
        let span = u64::try_from(next.as_millisecond() - tick.as_millisecond()).unwrap_or(0).min(self.jitter_ms);
        let delay = (span * self.share) >> 32;
        tick.checked_add(SignedDuration::from_millis(i64::try_from(delay).unwrap_or(0))).unwrap_or(tick)
    }

    /// The cursor of a job that is made or changed at `change`: the ticks that begin later are still to come, also one whose
    /// nominal time lies before and whose jitter is under way (temporal#4866).
    pub fn cursor_at(&self, change: Timestamp) -> Timestamp {
        let mut cursor = change.checked_sub(self.jitter()).unwrap_or(Timestamp::MIN);
        for _ in 0..SAMPLE {
            match self.next_until(cursor, change) {
                Some(tick) if self.begins(tick) <= change => cursor = tick,
                Some(_) => return cursor,
                None => return change,
            }
        }
        change
    }

    fn jitter(&self) -> SignedDuration {
        SignedDuration::from_millis(i64::try_from(self.jitter_ms).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests;

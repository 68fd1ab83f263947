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

mod cron;
mod days;
mod error;
mod exclusion;
mod field;
mod forecast;
mod interval;
mod local;
mod once;
mod spread;
mod written;

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

pub use error::ScheduleError;
pub use forecast::Forecast;
pub use written::{Fold, Gap, ScheduleSpec};

use super::JobId;
use cron::Cron;
use exclusion::Exclusions;
use interval::Interval;
use local::{Rules, SECOND};
use spread::Spread;

/// The zones that the program was built with: hosts whose machines know different rules would compute different ticks.
static TZDB: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
/// A schedule that has no tick from here on has none at all.
const LONG_AGO: Timestamp = Timestamp::UNIX_EPOCH;
/// How many schedules, single times and exclusions a job may have.
const MAX_TEXTS: usize = 64;
/// A day: what begins later than that is another day's.
const MAX_JITTER_MS: u64 = 24 * 60 * 60 * 1000;
/// How many ticks are looked at for the shortest time between two.
const SAMPLE: usize = 512;
/// How many ticks in a row may be left out one by one; days and ranges that are left out whole are one step. Each step is an
/// hour or more, so it is more than a year of them.
const MAX_LEFT_OUT: usize = 10_000;

/// A valid schedule in its zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    entries: Vec<Entry>,
    exclusions: Exclusions,
    zone: TimeZone,
    jitter_ms: u64,
    /// Which share of the jitter is the job's, in 2^-32.
    share: u64,
}

/// One of a job's schedules.
#[derive(Clone, Debug)]
enum Entry {
    /// Boxed: it is larger than the others.
    Cron {
        cron: Box<Cron>,
        rules: Rules,
    },
    Interval(Interval),
    /// In order.
    Once(Vec<Timestamp>),
}

impl Schedule {
    /// The schedule of a job. Without a job's name there is no `H` and no jitter, which are a job's own.
    ///
    /// # Errors
    /// The first field that is wrong; also for a schedule that never ticks, like 31 February, and for one whose ticks are all
    /// left out.
    pub fn parse(spec: &ScheduleSpec, job: Option<&JobId>) -> Result<Self, ScheduleError> {
        let zone = TZDB.get(&spec.time_zone).map_err(|_| {
            let reason = "no such time zone; it must be an IANA name like `Europe/Berlin` or `UTC`";
            ScheduleError::new("time_zone", &spec.time_zone, reason)
        })?;
        for (field, texts) in [("schedule", &spec.schedule), ("at", &spec.at), ("except", &spec.except)] {
            if texts.len() > MAX_TEXTS {
                return Err(ScheduleError::new(
                    field,
                    format!("{} entries", texts.len()),
                    format!("the limit is {MAX_TEXTS}"),
                ));
            }
        }
        let spread = job.map(Spread::of);
        let exclusions = Exclusions::parse(&spec.except, spread.as_ref())
            .map_err(|(text, reason)| ScheduleError::new("except", text, reason))?;
        let share = spread.as_ref().map_or(0, |spread| spread.below("jitter", 1 << 32));
        let mut schedule = Schedule { entries: Vec::new(), exclusions, zone, jitter_ms: spec.jitter_ms, share };
        schedule.add_entries(spec, spread.as_ref())?;
        schedule.check_rules(spec)?;
        schedule.check_jitter(job)?;
        Ok(schedule)
    }

    /// What must hold of a schedule that is applied at `now`.
    ///
    /// # Errors
    /// There is no tick to come, or the jitter is no shorter than the time between two that are.
    pub fn check_at(&self, spec: &ScheduleSpec, now: Timestamp) -> Result<(), ScheduleError> {
        let mut ticks = std::iter::successors(self.next_after(now), |tick| self.next_after(*tick)).take(SAMPLE);
        let Some(mut last) = ticks.next() else {
            let (field, texts) = if spec.schedule.is_empty() { ("at", &spec.at) } else { ("schedule", &spec.schedule) };
            return Err(ScheduleError::new(field, texts.join("`, `"), format!("it has no tick after {now:.0}")));
        };
        for tick in ticks.take_while(|_| self.jitter_ms > 0) {
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
        let from = Timestamp::from_second(now.as_second()).ok()?;
        let from = if from > now { from } else { from.checked_add(SECOND).ok()? };
        self.entries.iter().filter_map(|entry| self.next_of(entry, from)).min()
    }

    /// When the run of a tick begins: not before the tick, and before the next one.
    pub fn begins(&self, tick: Timestamp) -> Timestamp {
        if self.jitter_ms == 0 {
            return tick;
        }
        let gap = self.next_after(tick).map_or(i64::MAX, |next| next.as_millisecond() - tick.as_millisecond());
        let span = u64::try_from(gap).unwrap_or(0).min(self.jitter_ms);
        let delay = (span * self.share) >> 32;
        tick.checked_add(SignedDuration::from_millis(i64::try_from(delay).unwrap_or(0))).unwrap_or(tick)
    }

    /// The cursor of a job that is made or changed at `change`: the ticks that begin later are still to come, also one whose
    /// nominal time lies before and whose jitter is under way (temporal#4866).
    pub fn cursor_at(&self, change: Timestamp) -> Timestamp {
        let mut cursor = change.checked_sub(self.jitter()).unwrap_or(Timestamp::MIN);
        for _ in 0..SAMPLE {
            match self.next_after(cursor) {
                Some(tick) if self.begins(tick) <= change => cursor = tick,
                Some(tick) if tick <= change => return cursor,
                Some(_) | None => return change,
            }
        }
        change
    }

    fn next_of(&self, entry: &Entry, mut from: Timestamp) -> Option<Timestamp> {
        for _ in 0..MAX_LEFT_OUT {
            let tick = entry.next_from(&self.zone, from)?;
            if self.exclusions.is_empty() {
                return Some(tick);
            }
            let local = self.zone.to_datetime(tick);
            match self.exclusions.next_left_in(local)? {
                left_in if left_in == local => return Some(tick),
                later => from = local::reached(later, &self.zone)?.max(tick.checked_add(SECOND).ok()?),
            }
        }
        None
    }

    // ---- parsing ----

    fn add_entries(&mut self, spec: &ScheduleSpec, spread: Option<&Spread>) -> Result<(), ScheduleError> {
        let rules = Rules { gap: spec.gap, fold: spec.fold };
        if spec.schedule.is_empty() && spec.at.is_empty() {
            return Err(ScheduleError::new("schedule", "", "there is none, and no `at`"));
        }
        for text in &spec.schedule {
            let entry = Entry::parse(text.trim(), rules, spread);
            self.add("schedule", text, entry)?;
        }
        for text in &spec.at {
            let entry = once::parse(text, &self.zone, &spec.time_zone, rules).map(Entry::Once);
            self.add("at", text, entry)?;
        }
        Ok(())
    }

    fn add(&mut self, field: &'static str, text: &str, entry: Result<Entry, String>) -> Result<(), ScheduleError> {
        let entry = entry.map_err(|reason| ScheduleError::new(field, text, reason))?;
        if entry.next_from(&self.zone, LONG_AGO).is_none() {
            return Err(ScheduleError::new(field, text, "it never ticks"));
        }
        if self.next_of(&entry, LONG_AGO).is_none() {
            return Err(ScheduleError::new(field, text, "`except` leaves out all of its ticks"));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Rules that apply to nothing are a mistake.
    fn check_rules(&self, spec: &ScheduleSpec) -> Result<(), ScheduleError> {
        let fixed = |entry: &Entry| match entry {
            Entry::Cron { cron, .. } => !cron.any_hour,
            Entry::Interval(_) => false,
            Entry::Once(_) => true,
        };
        let reason = "all of the job's schedules follow real time; it is for fixed hours";
        match (spec.gap, spec.fold) {
            _ if self.entries.iter().any(fixed) => Ok(()),
            (Gap::Skip, _) => Err(ScheduleError::new("gap", "skip", reason)),
            (Gap::Shift, Fold::Last) => Err(ScheduleError::new("fold", "last", reason)),
            (Gap::Shift, Fold::Both) => Err(ScheduleError::new("fold", "both", reason)),
            (Gap::Shift, Fold::First) => Ok(()),
        }
    }

    fn check_jitter(&self, job: Option<&JobId>) -> Result<(), ScheduleError> {
        let refuse = |reason: &str| Err(ScheduleError::new("jitter", format!("{:#}", self.jitter()), reason));
        match self.jitter_ms {
            0 => Ok(()),
            1..=MAX_JITTER_MS if job.is_some() => Ok(()),
            1..=MAX_JITTER_MS => refuse("each job has its own, and no job is named"),
            _ => refuse("it must be from 0s to 24h"),
        }
    }

    fn jitter(&self) -> SignedDuration {
        SignedDuration::from_millis(i64::try_from(self.jitter_ms).unwrap_or(i64::MAX))
    }
}

impl Entry {
    fn parse(text: &str, rules: Rules, spread: Option<&Spread>) -> Result<Self, String> {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let text = match (word, rest) {
            ("@every", interval) => return Interval::parse(interval).map(Entry::Interval),
            ("@yearly" | "@annually", "") => "0 0 1 1 *",
            ("@monthly", "") => "0 0 1 * *",
            ("@weekly", "") => "0 0 * * 0",
            ("@daily" | "@midnight", "") => "0 0 * * *",
            ("@hourly", "") => "0 * * * *",
            (name, _) if name.starts_with('@') => {
                return Err("of the words with `@` only `@every DURATION`, `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, \
                            `@yearly` and `@annually` are known"
                    .to_owned());
            }
            _ => text,
        };
        let cron = Box::new(Cron::parse(text, spread)?);
        let rules = if cron.any_hour { Rules::REAL_TIME } else { rules };
        Ok(Entry::Cron { cron, rules })
    }

    /// The first tick not before `from`, which is a whole second.
    fn next_from(&self, zone: &TimeZone, from: Timestamp) -> Option<Timestamp> {
        match self {
            Entry::Cron { cron, rules } => local::next_from(cron, zone, *rules, from),
            Entry::Interval(interval) => interval.next_from(from),
            Entry::Once(instants) => instants.iter().copied().find(|instant| *instant >= from),
        }
    }
}

#[cfg(test)]
mod tests;

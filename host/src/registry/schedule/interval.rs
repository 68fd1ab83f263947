//! `@every 90s`: ticks so many seconds of real time apart, in any zone.

use jiff::Timestamp;

use super::exclusion::LeftIn;
use super::local::{self, FAR, SECOND, Search, Skips};
use super::work::{CHANGE_STEPS, CONVERSION_STEPS, TooMuch, few};
use crate::registry::duration::{self, DurationError};

/// Ten years.
const MAX_SECONDS: i64 = 87_600 * 60 * 60;

/// Ticks at the multiples of an interval since 1970, later by the phase; or from an instant on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub seconds: i64,
    /// A tick, or where there was one if it had ticked then.
    pub anchor: i64,
    /// There are no ticks before; the least of all timestamps if they go back for ever.
    pub first: Timestamp,
}

impl Interval {
    /// What follows `@every`: `10s`, `1h phase 5m`, `36h from 2026-12-01T09:00:00Z`.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (interval, anchor, first) = match words.as_slice() {
            [] => return Err("`@every` wants a duration, like `@every 10s`".to_owned()),
            [interval] => (interval, 0, Timestamp::MIN),
            [interval, "phase", phase] => (interval, seconds(phase)?, Timestamp::MIN),
            [interval, "from", from] => {
                let from = instant(from)?;
                (interval, from.as_second(), from)
            }
            [_, ..] => {
                return Err("behind its duration, which is one word like `1h30m`, `@every` takes `phase 5m` or `from \
                            2026-12-01T09:00:00Z`"
                    .to_owned());
            }
        };
        let seconds = seconds(interval)?;
        if seconds < 1 {
            return Err(format!("`{interval}` is less than 1s, the shortest interval"));
        }
        if seconds > MAX_SECONDS {
            return Err(format!("`{interval}` is more than {}h, the longest interval", MAX_SECONDS / 3600));
        }
        if first == Timestamp::MIN && !(0..seconds).contains(&anchor) {
            return Err(format!("the phase `{}` is not less than `{interval}`", words[2]));
        }
        Ok(Interval { seconds, anchor, first })
    }

    /// Returns whether it ticks from an instant on, which is a whole second.
    pub(super) fn ticks_from(&self, from: Timestamp) -> bool {
        self.next_from(from).is_some()
    }

    /// The first tick not before `from`, which is a whole second.
    fn next_from(&self, from: Timestamp) -> Option<Timestamp> {
        let since = from.max(self.first).as_second().checked_sub(self.anchor)?;
        let ahead = (-since).rem_euclid(self.seconds);
        Timestamp::from_second(self.anchor.checked_add(since)?.checked_add(ahead)?).ok()
    }
}

impl Search<'_> {
    /// Returns the first tick of any of these intervals in `from..=until` that is not left out. `from` is a whole second.
    pub(super) fn in_intervals(
        &mut self,
        intervals: &[Interval],
        mut from: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, TooMuch> {
        let mut left_in = LeftIn::of(self.exclusions);
        let mut change = Timestamp::MIN;
        // Every hour that is left in has a tick of a short interval that has begun when the first of all does, unless a change of
        // the clock skips the hour.
        let begin = intervals.iter().map(|interval| interval.first).min().unwrap_or(from).max(from);
        let is_short = intervals.iter().any(|interval| interval.seconds <= 3600 && interval.first <= begin);
        let mut skips = Skips::new(self.zone, 0, from);
        for look in 0.. {
            self.work.spend(few(intervals.len()))?;
            let next = intervals.iter().filter_map(|interval| interval.next_from(from)).min();
            let Some(tick) = next.filter(|tick| *tick <= until) else { return Ok(None) };
            if self.exclusions.is_empty() {
                return Ok(Some(tick));
            }
            self.work.spend(CONVERSION_STEPS)?;
            let local = self.zone.to_datetime(tick);
            let found = left_in.next_from(local, local::last_day(until), self.work)?;
            if found == Some(local) {
                return Ok(Some(tick));
            }
            if is_short && look > 0 && skips.are_for_ever(local.date(), self.exclusions) {
                return Ok(None);
            }
            if change <= tick {
                self.work.spend(CHANGE_STEPS)?;
                change = self.zone.following(tick).next().map_or(Timestamp::MAX, |change| change.timestamp());
            }
            self.work.spend(CONVERSION_STEPS)?;
            let reached = found.and_then(|found| local::reached(found, self.zone));
            // A change of the clock may show other local times again before.
            let near = Some(change).filter(|change| change.duration_since(tick) < FAR);
            let Some(later) = [reached, near].into_iter().flatten().min() else { return Ok(None) };
            let Ok(next) = tick.checked_add(SECOND) else { return Ok(None) };
            from = later.max(next);
        }
        Ok(None)
    }
}

fn seconds(text: &str) -> Result<i64, String> {
    let duration = duration::parse(text).map_err(|error| match error {
        DurationError::Form => format!("`{text}` is not a duration like `10s`, `5m`, `1h30m` or `1d`"),
        DurationError::Calendar => {
            format!("`{text}` has months or years, which differ in length: write cron, like `0 0 1 * *`")
        }
    })?;
    if duration.subsec_nanos() != 0 {
        return Err(format!("`{text}` is not a whole number of seconds"));
    }
    if duration.is_negative() {
        return Err(format!("`{text}` is less than nothing"));
    }
    Ok(duration.as_secs())
}

fn instant(text: &str) -> Result<Timestamp, String> {
    match text.parse::<Timestamp>() {
        Ok(instant) if instant.subsec_nanosecond() == 0 => Ok(instant),
        Ok(_) => Err(format!("`{text}` is not a whole second")),
        Err(_) => Err(format!("`{text}` is not a time like `2026-12-01T09:00:00Z` or `2026-12-01T09:00:00+01:00`")),
    }
}

//! `@every 90s`: ticks so many seconds of real time apart, in any zone.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

/// Ten years.
const MAX_SECONDS: i64 = 87_600 * 60 * 60;

/// Ticks at the multiples of an interval since 1970, later by the phase; or from an instant on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    seconds: i64,
    /// A tick, or where there was one if it had ticked then.
    anchor: i64,
    first: Timestamp,
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
            [interval, "phase", phase] => (interval, duration(phase)?, Timestamp::MIN),
            [interval, "from", from] => {
                let from = instant(from)?;
                (interval, from.as_second(), from)
            }
            [_, ..] => {
                return Err("behind its duration `@every` takes `phase 5m` or `from 2026-12-01T09:00:00Z`".to_owned());
            }
        };
        let seconds = duration(interval)?;
        if seconds < 1 {
            return Err(format!("`{interval}` is less than 1s"));
        }
        if seconds > MAX_SECONDS {
            return Err(format!("`{interval}` is more than {}h", MAX_SECONDS / 3600));
        }
        if first == Timestamp::MIN && !(0..seconds).contains(&anchor) {
            return Err(format!("the phase `{}` is not less than `{interval}`", words[2]));
        }
        Ok(Interval { seconds, anchor, first })
    }

    /// The first tick not before `from`, which is a whole second.
    pub(super) fn next_from(&self, from: Timestamp) -> Option<Timestamp> {
        let since = from.max(self.first).as_second().checked_sub(self.anchor)?;
        let ahead = (-since).rem_euclid(self.seconds);
        Timestamp::from_second(self.anchor.checked_add(since)?.checked_add(ahead)?).ok()
    }
}

fn duration(text: &str) -> Result<i64, String> {
    let duration = SignedDuration::from_str(text)
        .map_err(|_| format!("`{text}` is not a duration like `10s`, `5m` or `1h30m`"))?;
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

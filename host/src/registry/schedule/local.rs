//! From times on the wall to instants, where a zone's clock is changed. It doesn't know what names the times.
//!
//! A zone's time is a row of stretches of one offset each. Within a stretch every local time is one instant. Where one ends,
//! the clock goes forward over a gap of local times that never come, or back, so that a span of them comes twice. What
//! becomes of a schedule there is decided by stretch: which local times count in it, and which of the gap before it are made
//! up for.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;
use super::written::{Fold, Gap};

/// Local time is never further from UTC than this.
const MAX_OFFSET: SignedDuration = SignedDuration::from_hours(26);
/// Local times of two instants so far apart are in the order of the instants, whatever the zone does between them.
const FAR: SignedDuration = SignedDuration::from_hours(72);
/// How far ahead a tick is looked for: a cycle of the calendar, 400 years.
const HORIZON: SignedDuration = SignedDuration::from_hours(146_097 * 24);
/// The resolution of schedules.
pub(super) const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What becomes of times that a change of the clock skips or repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub gap: Gap,
    pub fold: Fold,
}

impl Rules {
    /// Whenever the clock on the wall shows it.
    pub(super) const REAL_TIME: Rules = Rules { gap: Gap::Skip, fold: Fold::Both };
}

/// The first instant from `from` on, a whole second, that `cron` names in `zone`.
///
/// Bounded: a stretch is looked at only near a time that `cron` names, and none after the horizon.
pub(super) fn next_from(cron: &Cron, zone: &TimeZone, rules: Rules, mut from: Timestamp) -> Option<Timestamp> {
    let horizon = from.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
    while from <= horizon {
        let stretch = Stretch::at(zone, from);
        let (start, end) = stretch.counting(from, rules.fold);
        let named = cron.next_from(stretch.offset.to_datetime(start));
        let usual = named.and_then(|named| stretch.offset.to_timestamp(named).ok()).filter(|tick| *tick < end);
        let shifted = match rules.gap {
            Gap::Shift => stretch.shifted(cron, from),
            Gap::Skip => None,
        };
        if let Some(tick) = [usual, shifted].into_iter().flatten().min() {
            return Some(tick);
        }
        let next = stretch.end?;
        from = match named {
            _ if next.duration_since(start) < FAR => next,
            // Nothing is named before it, by any offset.
            Some(named) => next.max(Offset::UTC.to_timestamp(named).ok()?.checked_sub(MAX_OFFSET).ok()?),
            None => return None,
        };
    }
    None
}

/// The instants that a local time stands for.
pub(super) fn instants_of(local: DateTime, zone: &TimeZone, rules: Rules) -> Vec<Timestamp> {
    let offsets = match (zone.to_ambiguous_timestamp(local).offset(), rules.gap, rules.fold) {
        (AmbiguousOffset::Unambiguous { offset }, _, _) => vec![offset],
        // By the clock as it went before the gap (RFC 5545, 3.3.5), so it comes as much later as the gap is long.
        (AmbiguousOffset::Gap { before, .. }, Gap::Shift, _) => vec![before],
        (AmbiguousOffset::Gap { .. }, Gap::Skip, _) => vec![],
        (AmbiguousOffset::Fold { before, .. }, _, Fold::First) => vec![before],
        (AmbiguousOffset::Fold { after, .. }, _, Fold::Last) => vec![after],
        (AmbiguousOffset::Fold { before, after }, _, Fold::Both) => vec![before, after],
    };
    offsets.into_iter().filter_map(|offset| offset.to_timestamp(local).ok()).collect()
}

/// The first instant at which the clock on the wall shows `local`, or is behind a gap that has it.
pub(super) fn reached(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            zone.following(after.to_timestamp(local).ok()?).next().map(|change| change.timestamp())
        }
    }
}

/// A time between two changes of a zone's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    begin: Option<Timestamp>,
    end: Option<Timestamp>,
    /// Before it, in it, after it.
    before: Offset,
    pub offset: Offset,
    after: Offset,
}

impl Stretch {
    /// The one that a whole second is in.
    pub(super) fn at(zone: &TimeZone, instant: Timestamp) -> Self {
        let behind = instant.checked_add(SECOND).unwrap_or(Timestamp::MAX);
        let begin = zone.preceding(behind).next().map(|change| change.timestamp());
        let end = zone.following(instant).next().map(|change| change.timestamp());
        let offset = zone.to_offset(instant);
        let before = begin.and_then(|begin| begin.checked_sub(SECOND).ok()).map_or(offset, |last| zone.to_offset(last));
        Stretch { begin, end, before, offset, after: end.map_or(offset, |end| zone.to_offset(end)) }
    }

    /// From where to where its local times count, looked at from `from` on.
    fn counting(&self, from: Timestamp, fold: Fold) -> (Timestamp, Timestamp) {
        let start = match (self.begin, fold) {
            (Some(begin), Fold::First) => from.max(later(begin, self.repeated())),
            (Some(_), Fold::Last | Fold::Both) | (None, _) => from,
        };
        let end = match (self.end, fold) {
            (Some(end), Fold::Last) => later(end, -span(self.after, self.offset)),
            (Some(end), Fold::First | Fold::Both) => end,
            (None, _) => Timestamp::MAX,
        };
        (start, end)
    }

    /// The first tick from `from` on that stands for a time in the gap before this stretch.
    fn shifted(&self, cron: &Cron, from: Timestamp) -> Option<Timestamp> {
        let begin = self.begin?;
        let behind = later(begin, self.skipped()).min(self.end.unwrap_or(Timestamp::MAX));
        if from >= behind {
            return None;
        }
        let named = cron.next_from(self.before.to_datetime(from.max(begin)))?;
        self.before.to_timestamp(named).ok().filter(|tick| *tick < behind)
    }

    /// How much local time was skipped where it begins.
    fn skipped(&self) -> SignedDuration {
        span(self.before, self.offset)
    }

    /// How much local time is repeated from where it begins.
    fn repeated(&self) -> SignedDuration {
        span(self.offset, self.before)
    }

    /// The local time in the gap before it that an instant of it would be, and by how much the clock was put forward there.
    pub(super) fn in_gap(&self, instant: Timestamp) -> Option<(DateTime, SignedDuration)> {
        let inside = instant < later(self.begin?, self.skipped());
        inside.then(|| (self.before.to_datetime(instant), self.skipped()))
    }

    /// The gap before it: the first local time that is skipped, and the first that isn't.
    pub(super) fn gap(&self) -> Option<(DateTime, DateTime)> {
        let begin = self.begin.filter(|_| self.skipped().is_positive())?;
        Some((self.before.to_datetime(begin), self.offset.to_datetime(begin)))
    }
}

/// How far the clock is put forward from one offset to the other, at least nothing.
fn span(from: Offset, to: Offset) -> SignedDuration {
    SignedDuration::from_secs(i64::from(to.seconds() - from.seconds()).max(0))
}

fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(Timestamp::MAX)
}

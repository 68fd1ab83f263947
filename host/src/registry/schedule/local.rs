//! From times on the wall to instants, where a zone's clock is changed. It doesn't know what names the times.
//!
//! A zone's time is a row of stretches of one offset each. Within a stretch every local time is one instant. Where one ends,
//! the clock goes forward over a gap of local times that never come, or back, so that a span of them comes twice. What
//! becomes of a schedule there is decided by stretch: which local times count in it, and which of the gap before it are made
//! up for.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::calendar::Calendar;
use super::exclusion::Exclusions;
use super::month::{Classes, Month};
use super::work::{CHANGE_STEPS, CONVERSION_STEPS, TooMuch, Work};
use super::written::{Fold, Gap};

/// Local time is never further from UTC than this.
const MAX_OFFSET: SignedDuration = SignedDuration::from_hours(26);
/// Local times of two instants so far apart are in the order of the instants, whatever the zone does between them.
pub(super) const FAR: SignedDuration = SignedDuration::from_hours(72);
/// A search ends after a change of the clock skipped so many times in a row: more than the years that a schedule may name.
const MAX_SKIPPED: u32 = 240;
/// From this year on a zone's clock is changed by rule: in two years with the same calendar, at the same times.
const RULES_FROM: i16 = 2038;
/// Zones whose clocks are changed for Ramadan, and the year from which on that is no longer known in advance.
const BY_THE_MOON: [&str; 4] = ["Africa/Casablanca", "Africa/El_Aaiun", "Asia/Gaza", "Asia/Hebron"];
const RULES_FROM_BY_THE_MOON: i16 = 2090;
/// Every calendar of a year comes at least once in so many years.
const ALL_CALENDARS: i16 = 41;
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

/// A search for a tick: where it looks, and how much more it may do.
pub(super) struct Search<'a> {
    pub zone: &'a TimeZone,
    pub exclusions: &'a Exclusions,
    pub work: &'a mut Work,
}

impl Search<'_> {
    /// Returns the first instant in `from..=until`, a whole second, that the calendar names and that is not left out.
    pub(super) fn in_calendar(
        &mut self,
        calendar: &Calendar,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, TooMuch> {
        let usual = self.usual(calendar, from, until)?;
        let shifted = match calendar.rules.gap {
            Gap::Shift => self.shifted(calendar, from, usual.unwrap_or(until))?,
            Gap::Skip => None,
        };
        Ok(shifted.or(usual))
    }

    /// Returns the first tick at a time that exists, in `from..=until`.
    fn usual(
        &mut self,
        calendar: &Calendar,
        mut from: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, TooMuch> {
        let last_day = last_day(until);
        let mut skips = Skips::new(self.zone, calendar.last_year(), from);
        // Where the last look at the calendar began, and what it found.
        let mut look: Option<(DateTime, Option<DateTime>)> = None;
        while from <= until {
            self.work.spend(3 * CHANGE_STEPS)?;
            let stretch = Stretch::at(self.zone, from);
            let (start, end) = stretch.counting(from, calendar.rules.fold);
            let local = stretch.offset.to_datetime(start);
            let named = match look {
                Some((began, found)) if began <= local && found.is_none_or(|found| local <= found) => found,
                Some(_) | None => calendar.next_left_in(local, last_day, skips.dead, self.exclusions, self.work)?,
            };
            let tick = named.and_then(|named| stretch.offset.to_timestamp(named).ok()).filter(|tick| *tick < end);
            if tick.is_some() {
                return Ok(tick.filter(|tick| *tick <= until));
            }
            let Some(next) = stretch.end else { return Ok(None) };
            look = Some((local, named));
            if next.duration_since(start) < FAR {
                from = next;
                continue;
            }
            let Some(named) = named else { return Ok(None) };
            match self.far(calendar, (local, named), last_day, &mut skips)? {
                Far::Tick(tick) => return Ok(tick.filter(|tick| *tick <= until)),
                Far::Near(instant, later) => (from, look) = (next.max(instant), later.or(look)),
            }
        }
        Ok(None)
    }

    /// Finds the instant of a time that the calendar has, if it has nothing else for days before it, from `began` on. As long as a
    /// change of the clock skips such a time and the next one is as far away, it goes on with that.
    fn far(
        &mut self,
        calendar: &Calendar,
        (mut began, mut named): (DateTime, DateTime),
        last_day: Date,
        skips: &mut Skips,
    ) -> Result<Far, TooMuch> {
        let mut look = None;
        loop {
            self.work.spend(CONVERSION_STEPS)?;
            let after = match self.zone.to_ambiguous_timestamp(named).offset() {
                AmbiguousOffset::Unambiguous { offset } => return Ok(Far::Tick(offset.to_timestamp(named).ok())),
                AmbiguousOffset::Fold { .. } => {
                    return Ok(earliest(named).map_or(Far::Tick(None), |at| Far::Near(at, look)));
                }
                AmbiguousOffset::Gap { after, .. } => after,
            };
            if skips.are_for_ever(named.date(), self.exclusions) {
                return Ok(Far::Tick(None));
            }
            self.work.spend(2 * CHANGE_STEPS)?;
            let Ok(before) = after.to_timestamp(named) else { return Ok(Far::Tick(None)) };
            let mut changes = self.zone.following(before).map(|change| change.timestamp());
            let Some(change) = changes.next() else { return Ok(Far::Tick(None)) };
            let local = after.to_datetime(change);
            let found = calendar.next_left_in(local, last_day, skips.dead, self.exclusions, self.work)?;
            look = Some((local, found));
            let month = Month::of(named.date());
            if began < month.begin() && found.is_none_or(|found| Month::of(found.date()) != month) {
                skips.add(month, self.exclusions);
            }
            let is_quiet = changes.next().is_none_or(|next| next.duration_since(change) >= FAR);
            match found {
                Some(next) if is_quiet && next.duration_since(local) >= FAR => (began, named) = (local, next),
                Some(_) | None => return Ok(Far::Near(change, look)),
            }
        }
    }

    /// Returns the first tick that stands for a time that a change of the clock skips, in `from..=until`.
    fn shifted(
        &mut self,
        calendar: &Calendar,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, TooMuch> {
        self.work.spend(3 * CHANGE_STEPS)?;
        let stretch = Stretch::at(self.zone, from);
        let mut skips = Skips::new(self.zone, calendar.last_year(), from);
        if let Some(gap) = Gone::before(&stretch)
            && let Some(tick) = self.shifted_in(&gap, calendar, from, skips.dead)?
        {
            return Ok(Some(tick).filter(|tick| *tick <= until));
        }
        let mut offset = stretch.offset;
        let mut changes = self.zone.following(from).peekable();
        while let Some(change) = changes.next() {
            let begin = change.timestamp();
            if begin > until {
                break;
            }
            self.work.spend(CHANGE_STEPS)?;
            let after = change.offset();
            let end = changes.peek().map(|next| next.timestamp());
            if let Some(gap) = Gone::between(offset, after, begin, end) {
                if let Some(tick) = self.shifted_in(&gap, calendar, from, skips.dead)? {
                    return Ok(Some(tick).filter(|tick| *tick <= until));
                }
                let (first, shown) = (offset.to_datetime(begin).date(), after.to_datetime(gap.behind).date());
                if skips.are_for_ever(first, self.exclusions) {
                    break;
                }
                if Month::of(first) == Month::of(shown) {
                    skips.add(Month::of(first), self.exclusions);
                }
            }
            offset = after;
        }
        Ok(None)
    }

    /// Returns the first tick from `from` on that stands for a time in a gap. The clock shows a later time at the tick, which must
    /// not be excluded.
    fn shifted_in(
        &mut self,
        gap: &Gone,
        calendar: &Calendar,
        from: Timestamp,
        dead: Classes,
    ) -> Result<Option<Timestamp>, TooMuch> {
        let mut from = from.max(gap.begin);
        while from < gap.behind {
            let (first, behind) = (gap.before.to_datetime(from), gap.before.to_datetime(gap.behind));
            let Some(named) = calendar.named_in(first, behind, dead, self.work)? else { return Ok(None) };
            let Ok(tick) = gap.before.to_timestamp(named) else { return Ok(None) };
            let shown = gap.after.to_datetime(tick);
            if !self.exclusions.have(shown, self.work)? {
                return Ok(Some(tick));
            }
            // The rest of the hour is left out too.
            let hour = i64::from(shown.minute()) * 60 + i64::from(shown.second());
            from = later(tick, SignedDuration::from_secs(3600 - hour));
        }
        Ok(None)
    }
}

/// What a search finds behind a span in which the calendar has nothing.
enum Far {
    /// The tick, or None if there is none any more.
    Tick(Option<Timestamp>),
    /// A change of the clock is near: the search has to go on stretch by stretch from this instant. With the last look at the
    /// calendar.
    Near(Timestamp, Option<(DateTime, Option<DateTime>)>),
}

/// The times that one search found and that a change of the clock skips.
pub(super) struct Skips {
    count: u32,
    /// The classes of months in which every time is skipped, except those of schedules that name years.
    dead: Classes,
    /// The last year of the schedules that name years.
    last_year: i16,
    /// From this year on, years with the same calendar are alike.
    since: i16,
}

impl Skips {
    pub(super) fn new(zone: &TimeZone, last_year: i16, from: Timestamp) -> Self {
        let since = zone.to_datetime(from).year().max(rules_from(zone));
        Skips { count: 0, dead: Classes::NONE, last_year, since }
    }

    /// Counts a skipped time, and returns whether all times that follow will be skipped too. They will if those of every kind of
    /// year were, with no excluded date among them.
    pub(super) fn are_for_ever(&mut self, date: Date, exclusions: &Exclusions) -> bool {
        self.count += 1;
        let excluded = exclusions.last_date_before(date).map_or(self.since, |last| last.year());
        let alike = date.year() - self.since.max(excluded) > ALL_CALENDARS;
        self.count > MAX_SKIPPED || (alike && date.year() > self.last_year)
    }

    /// Remembers a month in which every time is skipped.
    fn add(&mut self, month: Month, exclusions: &Exclusions) {
        if month.year >= self.since && exclusions.dates_in(month) == 0 {
            self.dead.add(month);
        }
    }
}

/// Returns the year from which on a zone's clock is changed by rule.
pub(super) fn rules_from(zone: &TimeZone) -> i16 {
    let is_by_the_moon = |name: &str| BY_THE_MOON.iter().any(|known| known.eq_ignore_ascii_case(name));
    if zone.iana_name().is_some_and(is_by_the_moon) { RULES_FROM_BY_THE_MOON } else { RULES_FROM }
}

/// Returns the instants that a local time stands for.
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

/// Returns the first instant at which the clock on the wall shows `local`, or is behind a gap that has it.
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
    offset: Offset,
    after: Offset,
}

impl Stretch {
    /// Returns the one that a whole second is in.
    pub(super) fn at(zone: &TimeZone, instant: Timestamp) -> Self {
        let behind = instant.checked_add(SECOND).unwrap_or(Timestamp::MAX);
        let begin = zone.preceding(behind).next().map(|change| change.timestamp());
        let end = zone.following(instant).next();
        let offset = zone.to_offset(instant);
        let before = begin.and_then(|begin| begin.checked_sub(SECOND).ok()).map_or(offset, |last| zone.to_offset(last));
        let (end, after) = (end.as_ref().map(|end| end.timestamp()), end.map_or(offset, |end| end.offset()));
        Stretch { begin, end, before, offset, after }
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

/// A gap in local time.
struct Gone {
    before: Offset,
    after: Offset,
    /// When the clock is put forward.
    begin: Timestamp,
    /// From when on no instant stands for a time in the gap.
    behind: Timestamp,
}

impl Gone {
    fn before(stretch: &Stretch) -> Option<Self> {
        Gone::between(stretch.before, stretch.offset, stretch.begin?, stretch.end)
    }

    fn between(before: Offset, after: Offset, begin: Timestamp, end: Option<Timestamp>) -> Option<Self> {
        let skipped = span(before, after);
        let behind = later(begin, skipped).min(end.unwrap_or(Timestamp::MAX));
        skipped.is_positive().then_some(Gone { before, after, begin, behind })
    }
}

/// The earliest instant that a local time is by any offset.
fn earliest(local: DateTime) -> Option<Timestamp> {
    Offset::UTC.to_timestamp(local).ok()?.checked_sub(MAX_OFFSET).ok()
}

/// A day behind which no local time is that comes by an instant.
pub(super) fn last_day(instant: Timestamp) -> Date {
    Offset::UTC.to_datetime(later(instant, MAX_OFFSET)).date()
}

/// How far the clock is put forward from one offset to the other, at least nothing.
fn span(from: Offset, to: Offset) -> SignedDuration {
    SignedDuration::from_secs(i64::from(to.seconds() - from.seconds()).max(0))
}

fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(Timestamp::MAX)
}

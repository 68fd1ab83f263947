//! The coming ticks, for people: with the local time, the delay, and what a change of the clock does to them.

use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use jiff::{Timestamp, Zoned};

use super::local::{SECOND, Stretch};
use super::month::Classes;
use super::work::{SEARCH_STEPS, Work};
use super::{Gap, Schedule};

/// How many changes of the clock between two ticks are looked at for times that were skipped.
const MAX_CHANGES: usize = 64;

/// A tick to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Its nominal time, which names its run.
    pub tick: Timestamp,
    /// The same by the clock of the job's zone.
    pub local: Zoned,
    /// When its run begins: later than the tick where the job has jitter.
    pub begins: Timestamp,
    /// What a change of the clock does to it, or did to one before it.
    pub remark: Option<String>,
}

impl Schedule {
    /// The first `count` ticks after `now`.
    pub fn forecast(&self, now: Timestamp, count: usize) -> Vec<Forecast> {
        let mut before = now;
        let mut coming = Vec::new();
        while coming.len() < count
            && let Some(tick) = self.next_after(before)
        {
            let remark = self.remark(before, tick);
            coming.push(Forecast {
                tick,
                local: tick.to_zoned(self.plan.zone.clone()),
                begins: self.begins(tick),
                remark,
            });
            before = tick;
        }
        coming
    }

    fn remark(&self, before: Timestamp, tick: Timestamp) -> Option<String> {
        let remarks: Vec<String> =
            [self.skipped(before, tick), self.shifted(tick), self.doubled(tick)].into_iter().flatten().collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }

    /// The tick stands for a time that doesn't exist.
    fn shifted(&self, tick: Timestamp) -> Option<String> {
        let (wanted, by) = Stretch::at(&self.plan.zone, tick).in_gap(tick)?;
        let named = self.named_in_gap(Gap::Shift, wanted, wanted + SECOND);
        named.map(|_| format!("shifted by {by:#}: the clock skips {}", wanted.time()))
    }

    /// The tick's time comes twice that day.
    fn doubled(&self, tick: Timestamp) -> Option<String> {
        let local = self.plan.zone.to_datetime(tick);
        match self.plan.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { before, .. } => {
                let which = if self.plan.zone.to_offset(tick) == before { "first" } else { "second" };
                Some(format!("the {which} of two: the clock shows {} twice", local.time()))
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => None,
        }
    }

    /// A time between two ticks that doesn't exist, and has none.
    fn skipped(&self, before: Timestamp, tick: Timestamp) -> Option<String> {
        let changes =
            self.plan.zone.following(before).take_while(|change| change.timestamp() <= tick).take(MAX_CHANGES);
        let gaps = changes.filter_map(|change| Stretch::at(&self.plan.zone, change.timestamp()).gap());
        let mut lost = gaps.filter_map(|(first, behind)| self.named_in_gap(Gap::Skip, first, behind));
        lost.next().map(|lost| format!("before it {} {} is skipped: the clock skips it", lost.date(), lost.time()))
    }

    /// Returns the first local time of a gap, in `first..behind`, that schedules at fixed hours name, if they treat gaps so. Of
    /// those that follow real time none is missed.
    fn named_in_gap(&self, gap: Gap, first: DateTime, behind: DateTime) -> Option<DateTime> {
        let fixed = self.plan.calendars.iter().find(|calendar| !calendar.real_time && calendar.rules.gap == gap)?;
        fixed.named_in(first, behind, Classes::NONE, &mut Work::up_to(SEARCH_STEPS)).unwrap_or(None)
    }
}

//! The coming ticks, for people: with the local time, the delay, and what a change of the clock does to them.

use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use jiff::{Timestamp, Zoned};

use super::local::{SECOND, Stretch};
use super::{Entry, Gap, Schedule};

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
            coming.push(Forecast { tick, local: tick.to_zoned(self.zone.clone()), begins: self.begins(tick), remark });
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
        let (wanted, by) = Stretch::at(&self.zone, tick).in_gap(tick)?;
        let named = self.entries.iter().any(|entry| entry.names(wanted, Gap::Shift));
        named.then(|| format!("shifted by {by:#}: the clock skips {}", wanted.time()))
    }

    /// The tick's time comes twice that day.
    fn doubled(&self, tick: Timestamp) -> Option<String> {
        let local = self.zone.to_datetime(tick);
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { before, .. } => {
                let which = if self.zone.to_offset(tick) == before { "first" } else { "second" };
                Some(format!("the {which} of two: the clock shows {} twice", local.time()))
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => None,
        }
    }

    /// A time between two ticks that doesn't exist, and has none.
    fn skipped(&self, before: Timestamp, tick: Timestamp) -> Option<String> {
        let changes = self.zone.following(before).take_while(|change| change.timestamp() <= tick).take(MAX_CHANGES);
        let gaps = changes.filter_map(|change| Stretch::at(&self.zone, change.timestamp()).gap());
        let mut lost =
            gaps.filter_map(|(first, behind)| self.entries.iter().find_map(|entry| entry.loses(first, behind)));
        lost.next().map(|lost| format!("before it {} {} is skipped: the clock skips it", lost.date(), lost.time()))
    }
}

impl Entry {
    /// Whether it names this local time, and treats one that doesn't exist so.
    fn names(&self, local: DateTime, gap: Gap) -> bool {
        self.loses_by(gap, local, local + SECOND) == Some(local)
    }

    /// The first time of a gap that it names and that has no tick; of the schedules that follow real time none is missed.
    fn loses(&self, first: DateTime, behind: DateTime) -> Option<DateTime> {
        self.loses_by(Gap::Skip, first, behind)
    }

    fn loses_by(&self, gap: Gap, first: DateTime, behind: DateTime) -> Option<DateTime> {
        match self {
            Entry::Cron { cron, rules } if rules.gap == gap && !cron.any_hour => {
                cron.next_from(first).filter(|named| *named < behind)
            }
            Entry::Cron { .. } | Entry::Interval(_) | Entry::Once(_) => None,
        }
    }
}

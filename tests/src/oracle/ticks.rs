//! Every tick ran, or was skipped for a reason that holds.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use silverback::registry::{CatchUp, Overlap};
use silverback::scheduler::plan::Reason;

use super::{Finding, Promise, Report, Seen, millis};

/// How many ticks that ran are looked at before one that was skipped.
const REACH: usize = 64;

/// Why a tick was skipped, and when that was decided.
type Skip = (Reason, Timestamp);

pub(super) fn judge(promise: &Promise<'_>, seen: &[Seen], report: &mut Report) {
    let next = |tick: &Timestamp| promise.schedule.next_after(*tick);
    let mut ticks: BTreeSet<Timestamp> = std::iter::successors(next(&promise.from), next)
        .take_while(|tick| promise.schedule.begins(*tick) <= promise.until)
        .collect();
    report.ticks = ticks.len();
    let owed = ticks.clone();
    let ran: BTreeSet<Timestamp> = seen.iter().filter_map(Seen::as_ran).map(|ran| ran.tick).collect();
    // What was decided after the last tick that is owed may be on record too.
    let last = seen.iter().map(latest_of).max().unwrap_or(promise.until).max(promise.until);
    let from = owed.last().copied().unwrap_or(promise.from);
    ticks.extend(std::iter::successors(next(&from), next).take_while(|tick| *tick <= last));

    let skipped = skips(&ticks, seen, report);
    let strangers = ran.iter().chain(skipped.keys()).filter(|tick| !ticks.contains(tick));
    report.findings.extend(strangers.map(|tick| Finding::NoTick(*tick)));
    report
        .findings
        .extend(ran.iter().filter(|tick| skipped.contains_key(tick)).map(|tick| Finding::DecidedTwice(*tick)));
    let lost = owed.iter().filter(|tick| !ran.contains(tick) && !skipped.contains_key(tick));
    report.findings.extend(lost.map(|tick| Finding::Missed(*tick)));
    report.ran = owed.intersection(&ran).count();
    report.skipped = owed.iter().filter(|tick| skipped.contains_key(tick)).count();
    let ends = under_way(promise, seen);
    for (tick, (reason, at)) in &skipped {
        if ticks.contains(tick) && !holds(promise, &ticks, &ends, *tick, *reason, *at) {
            report.findings.push(Finding::WronglySkipped(*tick, *reason));
        }
    }
}

/// The latest time that is spoken of.
fn latest_of(seen: &Seen) -> Timestamp {
    match seen {
        Seen::Ran(ran) => ran.tick.max(ran.began),
        Seen::GaveUp { tick, at, .. } => *tick.max(at),
        Seen::Skipped { first, before, at, .. } => before.unwrap_or(*first).max(*at),
    }
}

fn skips(ticks: &BTreeSet<Timestamp>, seen: &[Seen], report: &mut Report) -> BTreeMap<Timestamp, Skip> {
    let mut skipped = BTreeMap::new();
    for seen in seen {
        let Seen::Skipped { first, before, reason, at } = seen else { continue };
        let these: Vec<Timestamp> = match before {
            Some(before) => ticks.range(*first..*before).copied().collect(),
            None => vec![*first],
        };
        for tick in these {
            if skipped.insert(tick, (*reason, *at)).is_some() {
                report.findings.push(Finding::DecidedTwice(tick));
            }
        }
    }
    skipped
}

/// Until when each tick that ran was under way, with all of its attempts and the time between them.
fn under_way(promise: &Promise<'_>, seen: &[Seen]) -> BTreeMap<Timestamp, Timestamp> {
    let mut ends: BTreeMap<Timestamp, Timestamp> = BTreeMap::new();
    for seen in seen {
        let (tick, end) = match seen {
            Seen::Ran(ran) => (ran.tick, ran.ended.map_or(Timestamp::MAX, |(at, _)| at)),
            Seen::GaveUp { tick, at, .. } => (*tick, *at),
            Seen::Skipped { .. } => continue,
        };
        let end = end.checked_add(promise.skew).unwrap_or(end);
        let latest = ends.entry(tick).or_insert(end);
        *latest = end.max(*latest);
    }
    ends
}

/// Whether a reason is one that the policies know, and was so.
fn holds(
    promise: &Promise<'_>,
    ticks: &BTreeSet<Timestamp>,
    ends: &BTreeMap<Timestamp, Timestamp>,
    tick: Timestamp,
    reason: Reason,
    at: Timestamp,
) -> bool {
    let (policies, begins) = (promise.policies, promise.schedule.begins(tick));
    let come = |later: &Timestamp| promise.schedule.begins(*later) <= at;
    let later_ticks = |count: u32| {
        ticks.range(tick..).skip(1).take(count as usize).filter(|later| come(later)).count() == count as usize
    };
    // An earlier tick that ends later was under way or waited for its turn.
    let was_busy = || ends.range(..tick).rev().take(REACH).any(|(_, end)| *end >= begins);
    match (reason, policies.catch_up, policies.overlap) {
        (Reason::Leaderless, CatchUp::None, _) => true,
        // Only the latest is caught up with.
        (Reason::Leaderless | Reason::HeldUp, CatchUp::Latest | CatchUp::None, _) => later_ticks(1),
        (Reason::Leaderless | Reason::HeldUp, CatchUp::All { .. }, _) => false,
        (Reason::OutOfWindow, CatchUp::All { window_ms, .. }, _) => {
            at.duration_since(begins) > millis(window_ms) - promise.skew
        }
        (Reason::TooManyMissed, CatchUp::All { max, .. }, _) => later_ticks(max),
        (Reason::Overlapped, _, Overlap::Skip) => was_busy(),
        (Reason::TooManyRunning, _, Overlap::Allow { .. }) => was_busy(),
        (Reason::Superseded, _, Overlap::QueueOne | Overlap::CancelRunning) => later_ticks(1),
        (Reason::QueueFull, _, Overlap::QueueAll { max }) => later_ticks(max),
        (Reason::TooLate, _, _) => {
            promise.start_deadline().is_some_and(|deadline| at.duration_since(begins) > deadline - promise.skew)
        }
        (Reason::Changed, _, _) => true,
        (Reason::Paused, _, _) => policies.pause_after_failures.is_some(),
        (Reason::Unavailable | Reason::TooManyWaiting, _, _) => true,
        (Reason::OutOfWindow | Reason::TooManyMissed, CatchUp::Latest | CatchUp::None, _) => false,
        (
            Reason::Overlapped | Reason::TooManyRunning | Reason::Superseded | Reason::QueueFull,
            _,
            Overlap::Skip
            | Overlap::QueueOne
            | Overlap::QueueAll { .. }
            | Overlap::CancelRunning
            | Overlap::Allow { .. },
        ) => false,
        // It is said of attempts, never of a tick.
        (Reason::TooManyAttempts, _, _) => false,
    }
}

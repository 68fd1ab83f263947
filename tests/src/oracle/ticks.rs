//! Every tick ran, or was skipped for a reason that holds.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use silverback::registry::{CatchUp, Overlap};
use silverback::scheduler::plan::Reason;

use super::{Finding, Promise, Ran, Report, Seen, attempts, millis};

/// How many ticks that ran are looked at before one that was skipped: a tick that is tried again and again, by hosts that die,
/// may be under way while hundreds of others come and go.
const REACH: usize = 4096;

/// Why a tick was skipped, where that is told, and when that was decided.
type Skip = (Option<Reason>, Timestamp);

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
    for (tick, (reason, at)) in skipped.iter().filter(|(tick, _)| ticks.contains(tick)) {
        let holds = |reason: Reason| holds(promise, &ticks, &ends, *tick, reason, *at);
        match reason {
            Some(reason) if !holds(*reason) => report.findings.push(Finding::WronglySkipped(*tick, *reason)),
            None if !Reason::ALL.into_iter().any(|reason| shows(reason) && holds(reason)) => {
                report.findings.push(Finding::Unexplained(*tick));
            }
            Some(_) | None => {}
        }
    }
}

/// Whether it can be seen from the records that the reason was so.
fn shows(reason: Reason) -> bool {
    match reason {
        Reason::Changed | Reason::Paused | Reason::Unavailable | Reason::OutOfReach | Reason::TooManyWaiting => false,
        Reason::Leaderless
        | Reason::HeldUp
        | Reason::OutOfWindow
        | Reason::TooManyMissed
        | Reason::Overlapped
        | Reason::NoTurn
        | Reason::TooManyRunning
        | Reason::Superseded
        | Reason::QueueFull
        | Reason::TooLate
        | Reason::Restored
        | Reason::TooManyAttempts => true,
    }
}

/// The latest time that is spoken of.
fn latest_of(seen: &Seen) -> Timestamp {
    match seen {
        Seen::Ran(ran) => ran.tick.max(ran.began),
        Seen::GaveUp { tick, at, .. } | Seen::Untold { tick, at, .. } => *tick.max(at),
        Seen::Skipped { first, before, at, .. } => before.unwrap_or(*first).max(*at),
    }
}

fn skips(ticks: &BTreeSet<Timestamp>, seen: &[Seen], report: &mut Report) -> BTreeMap<Timestamp, Skip> {
    let mut skipped = BTreeMap::new();
    for seen in seen {
        let (these, reason, at): (Vec<Timestamp>, _, _) = match seen {
            Seen::Skipped { first, before: Some(before), reason, at } => {
                (ticks.range(*first..*before).copied().collect(), Some(*reason), *at)
            }
            Seen::Skipped { first, before: None, reason, at } => (vec![*first], Some(*reason), *at),
            Seen::Untold { tick, attempt: 1, at } => (vec![*tick], None, *at),
            Seen::Untold { .. } | Seen::GaveUp { .. } | Seen::Ran(_) => continue,
        };
        for tick in these {
            if skipped.insert(tick, (reason, at)).is_some() {
                report.findings.push(Finding::DecidedTwice(tick));
            }
        }
    }
    skipped
}

/// Until when each tick was under way, with all of its attempts and the time between them, or waited for its turn in vain.
fn under_way(promise: &Promise<'_>, seen: &[Seen]) -> BTreeMap<Timestamp, Timestamp> {
    let mut ends: BTreeMap<Timestamp, Timestamp> = BTreeMap::new();
    for seen in seen {
        let (tick, end) = match seen {
            Seen::Ran(ran) => (ran.tick, end_on_record(promise, ran).unwrap_or(Timestamp::MAX)),
            Seen::GaveUp { tick, at, .. } | Seen::Untold { tick, at, .. } => (*tick, *at),
            Seen::Skipped { first, before: None, reason, at } if may_have_waited(*reason) => (*first, *at),
            Seen::Skipped { .. } => continue,
        };
        let end = end.checked_add(promise.skew).unwrap_or(end);
        let latest = ends.entry(tick).or_insert(end);
        *latest = end.max(*latest);
    }
    ends
}

/// When an attempt ended; None where it didn't, or where the next may still have waited for its time when the records end.
fn end_on_record(promise: &Promise<'_>, ran: &Ran) -> Option<Timestamp> {
    let (at, _) = ran.ended?;
    let begun_by = at.checked_add(attempts::longest_wait(promise) + promise.end_within).unwrap_or(Timestamp::MAX);
    if attempts::may_follow(promise, ran) && begun_by >= promise.until { None } else { Some(at) }
}

fn may_have_waited(reason: Reason) -> bool {
    match reason {
        Reason::Superseded | Reason::QueueFull | Reason::TooLate => true,
        Reason::Leaderless
        | Reason::HeldUp
        | Reason::OutOfWindow
        | Reason::TooManyMissed
        | Reason::Overlapped
        | Reason::NoTurn
        | Reason::TooManyRunning
        | Reason::Changed
        | Reason::Restored
        | Reason::Paused
        | Reason::TooManyAttempts
        | Reason::Unavailable
        | Reason::OutOfReach
        | Reason::TooManyWaiting => false,
    }
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
    let were_busy = |count: usize| {
        ends.range(..tick).rev().take(REACH).filter(|(_, end)| **end >= begins).take(count).count() == count
    };
    match (reason, policies.catch_up, policies.overlap) {
        (Reason::Leaderless, CatchUp::None, _) => true,
        // Only the latest is caught up with.
        (Reason::Leaderless | Reason::HeldUp, CatchUp::Latest | CatchUp::None, _) => later_ticks(1),
        (Reason::Leaderless | Reason::HeldUp, CatchUp::All { .. }, _) => false,
        (Reason::OutOfWindow, CatchUp::All { window_ms, .. }, _) => {
            at.duration_since(begins) > millis(window_ms) - promise.skew
        }
        (Reason::TooManyMissed, CatchUp::All { max, .. }, _) => later_ticks(max),
        (Reason::Overlapped | Reason::NoTurn, _, Overlap::Skip) => were_busy(1),
        (Reason::TooManyRunning | Reason::NoTurn, _, Overlap::Allow { max }) => were_busy(max as usize),
        (Reason::Superseded, _, Overlap::QueueOne | Overlap::CancelRunning) => later_ticks(1),
        (Reason::QueueFull, _, Overlap::QueueAll { max }) => later_ticks(max),
        (Reason::TooLate, _, _) => {
            promise.start_deadline().is_some_and(|deadline| at.duration_since(begins) > deadline - promise.skew)
        }
        (Reason::Changed, _, _) => tick <= promise.changed,
        // No ensemble is restored here.
        (Reason::Restored, _, _) => false,
        (Reason::Paused, _, _) => policies.pause_after_failures.is_some(),
        // Who is held to a promise has its component, and no more jobs than its tenant may have wait.
        (Reason::Unavailable | Reason::OutOfReach | Reason::TooManyWaiting, _, _) => false,
        (Reason::OutOfWindow | Reason::TooManyMissed, CatchUp::Latest | CatchUp::None, _) => false,
        (
            Reason::Overlapped | Reason::NoTurn | Reason::TooManyRunning | Reason::Superseded | Reason::QueueFull,
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

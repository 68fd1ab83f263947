//! Every attempt had to be, began in its time and has its end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use silverback::history::Outcome;
use silverback::registry::{Delivery, Overlap, RetryOn};
use silverback::scheduler::plan::Reason;

use super::{Finding, Promise, Ran, Report, Seen, millis};

pub(super) fn judge(promise: &Promise<'_>, seen: &[Seen], report: &mut Report) {
    let runs: Vec<&Ran> = seen.iter().filter_map(Seen::as_ran).collect();
    let mut by_tick: BTreeMap<Timestamp, Vec<&Ran>> = BTreeMap::new();
    for run in &runs {
        by_tick.entry(run.tick).or_default().push(run);
        times(promise, run, report);
    }
    let given_up: BTreeSet<(Timestamp, u32)> = seen.iter().filter_map(|seen| given_up(promise, seen)).collect();
    for (tick, attempts) in &by_tick {
        chain(promise, *tick, attempts, &given_up, report);
    }
    order(&runs, report);
    crowd(promise, &runs, report);
}

/// It began in its time, and has its end.
fn times(promise: &Promise<'_>, run: &Ran, report: &mut Report) {
    let late = run.began.duration_since(promise.schedule.begins(run.tick));
    // A first attempt begins by the clock of the host that found it due; another may be begun by a host whose clock is behind.
    let early_by = if run.attempt == 1 { SignedDuration::ZERO } else { promise.skew };
    if late + early_by < SignedDuration::ZERO {
        report.findings.push(Finding::Early(run.tick, run.attempt));
    }
    if let Some(deadline) = promise.start_deadline()
        && late > deadline
    {
        report.findings.push(Finding::Late(run.tick, run.attempt, late - deadline));
    }
    if run.attempt == 1 {
        report.lateness.push(late);
    }
    let limit = SignedDuration::try_from(promise.run_time).unwrap_or(SignedDuration::MAX);
    let by = run.began.checked_add(limit + promise.end_within).unwrap_or(Timestamp::MAX);
    let ended = run.ended.map_or(promise.until, |(at, _)| at);
    if ended > by {
        report.findings.push(Finding::NoEnd(run.tick, run.attempt));
    }
}

/// Each attempt is one more than the one before, which left something to try again.
fn chain(
    promise: &Promise<'_>,
    tick: Timestamp,
    attempts: &[&Ran],
    given_up: &BTreeSet<(Timestamp, u32)>,
    report: &mut Report,
) {
    let mut before: Option<&Ran> = None;
    for run in attempts {
        let wanted = before.map_or(1, |before| before.attempt + 1);
        if run.attempt != wanted || before.is_some_and(|before| !may_follow(promise, before)) {
            report.findings.push(Finding::Extra(tick, run.attempt));
        }
        before = Some(run);
    }
    if let Some(last) = before
        && must_follow(promise, last)
        && !given_up.contains(&(tick, last.attempt + 1))
    {
        report.findings.push(Finding::NotTriedAgain(tick, last.attempt + 1));
    }
}

/// Whether another attempt may follow one that ended so.
fn may_follow(promise: &Promise<'_>, run: &Ran) -> bool {
    let retry = promise.policies.retry;
    let Some((_, outcome)) = run.ended else { return false };
    match outcome {
        Outcome::Succeeded | Outcome::Skipped => false,
        Outcome::Failed => retry.is_some_and(|retry| run.attempt <= retry.count),
        Outcome::TimedOut => retry.is_some_and(|retry| run.attempt <= retry.count && retry.on == RetryOn::All),
        Outcome::Unknown | Outcome::LostLeadership => promise.policies.delivery == Delivery::AtLeastOnce,
    }
}

/// Whether another attempt must follow, or be given up for a reason: after a run that was lost, at least once; after a
/// failure, where all failures are tried again and nothing but a failure looks like one.
fn must_follow(promise: &Promise<'_>, run: &Ran) -> bool {
    let policies = promise.policies;
    let Some((at, outcome)) = run.ended else { return false };
    let wait_ms = match (outcome, policies.retry, policies.overlap) {
        (Outcome::Unknown | Outcome::LostLeadership, ..) if policies.delivery == Delivery::AtLeastOnce => 0,
        (Outcome::Failed | Outcome::TimedOut, _, Overlap::CancelRunning) => return false,
        (Outcome::Failed | Outcome::TimedOut, Some(retry), _)
            if retry.on == RetryOn::All && run.attempt <= retry.count =>
        {
            retry.max_ms + retry.jitter_ms
        }
        _ => return false,
    };
    at.checked_add(millis(wait_ms)).is_ok_and(|begins| begins < promise.until)
}

/// An attempt that was given up for a reason that holds.
fn given_up(promise: &Promise<'_>, seen: &Seen) -> Option<(Timestamp, u32)> {
    let Seen::GaveUp { tick, attempt, reason, at } = seen else { return None };
    let holds = match reason {
        // It could not have begun in time: the next try is as far off as the longest wait.
        Reason::TooLate => promise.start_deadline().is_some_and(|deadline| {
            let longest = promise.policies.retry.map_or(0, |retry| retry.max_ms + retry.jitter_ms);
            at.duration_since(promise.schedule.begins(*tick)) + millis(longest) + promise.skew > deadline
        }),
        Reason::Superseded => promise.policies.overlap == Overlap::CancelRunning,
        Reason::TooManyAttempts => *attempt > 100,
        Reason::Changed | Reason::Paused | Reason::Unavailable | Reason::TooManyWaiting => true,
        Reason::Leaderless
        | Reason::HeldUp
        | Reason::OutOfWindow
        | Reason::TooManyMissed
        | Reason::Overlapped
        | Reason::TooManyRunning
        | Reason::QueueFull => false,
    };
    holds.then_some((*tick, *attempt))
}

/// Ticks are begun in their order.
fn order(runs: &[&Ran], report: &mut Report) {
    let mut latest = Timestamp::MIN;
    for run in runs.iter().filter(|run| run.attempt == 1) {
        if run.tick <= latest {
            report.findings.push(Finding::OutOfOrder(run.tick));
        }
        latest = latest.max(run.tick);
    }
}

/// No more runs are under way at once than the policies allow.
fn crowd(promise: &Promise<'_>, runs: &[&Ran], report: &mut Report) {
    let slots = promise.policies.slots();
    let mut under_way: Vec<Timestamp> = Vec::new();
    for run in runs {
        under_way.retain(|end| end.duration_since(run.began) > promise.skew);
        under_way.push(run.ended.map_or(Timestamp::MAX, |(at, _)| at));
        if under_way.len() > slots {
            report.findings.push(Finding::TooMany(run.tick, run.attempt));
        }
    }
}

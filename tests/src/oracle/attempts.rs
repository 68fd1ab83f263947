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
    crowd(promise, &by_tick, seen, report);
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
        if before.is_some_and(|before| comes_too_soon(promise, before, run)) {
            report.findings.push(Finding::Early(tick, run.attempt));
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

/// It was begun before the attempt before it had ended, or before the shortest wait after that was over.
fn comes_too_soon(promise: &Promise<'_>, before: &Ran, run: &Ran) -> bool {
    let Some((ended, outcome)) = before.ended else { return false };
    let wait_ms = match (outcome, promise.policies.retry) {
        (Outcome::Failed | Outcome::TimedOut, Some(retry)) => {
            let growth = u64::from(retry.factor).saturating_pow(before.attempt.saturating_sub(1));
            retry.first_ms.saturating_mul(growth).min(retry.max_ms)
        }
        (
            Outcome::Failed
            | Outcome::TimedOut
            | Outcome::Succeeded
            | Outcome::Skipped
            | Outcome::LostLeadership
            | Outcome::Unknown,
            _,
        ) => 0,
    };
    run.began.duration_since(ended) + promise.skew < millis(wait_ms)
}

/// From the end of an attempt until the next begins, at the most, where no host dies.
pub(super) fn longest_wait(promise: &Promise<'_>) -> SignedDuration {
    millis(promise.policies.retry.map_or(0, |retry| retry.max_ms + retry.jitter_ms))
}

/// Whether another attempt may follow one that ended so.
pub(super) fn may_follow(promise: &Promise<'_>, run: &Ran) -> bool {
    let retry = promise.policies.retry;
    let Some((_, outcome)) = run.ended else { return false };
    match outcome {
        Outcome::Succeeded | Outcome::Skipped => false,
        Outcome::Failed => retry.is_some_and(|retry| {
            run.attempt <= retry.count && (retry.on == RetryOn::All || run.retryable != Some(false))
        }),
        Outcome::TimedOut => retry.is_some_and(|retry| run.attempt <= retry.count && retry.on == RetryOn::All),
        Outcome::Unknown | Outcome::LostLeadership => promise.policies.delivery == Delivery::AtLeastOnce,
    }
}

/// Whether another attempt must follow, or be given up for a reason: after a run that was lost, at least once; after a
/// failure that said that another try may pass; after any, where all failures are tried again and nothing but a failure
/// looks like one.
fn must_follow(promise: &Promise<'_>, run: &Ran) -> bool {
    let policies = promise.policies;
    let Some((at, outcome)) = run.ended else { return false };
    let wait_ms = match (outcome, policies.retry, policies.overlap) {
        (Outcome::Unknown | Outcome::LostLeadership, ..) if policies.delivery == Delivery::AtLeastOnce => 0,
        (Outcome::Failed, Some(retry), _) if run.retryable == Some(true) && run.attempt <= retry.count => {
            retry.max_ms + retry.jitter_ms
        }
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
    let (tick, attempt, reason, at) = match seen {
        Seen::GaveUp { tick, attempt, reason, at } => (tick, attempt, Some(*reason), at),
        Seen::Untold { tick, attempt, at } => (tick, attempt, None, at),
        Seen::Ran(_) | Seen::Skipped { .. } => return None,
    };
    let holds = |reason: Reason| match reason {
        // It could not have begun in time: the next try is as far off as the longest wait.
        Reason::TooLate => promise.start_deadline().is_some_and(|deadline| {
            at.duration_since(promise.schedule.begins(*tick)) + longest_wait(promise) + promise.skew > deadline
        }),
        Reason::Superseded => promise.policies.overlap == Overlap::CancelRunning,
        Reason::TooManyAttempts => *attempt > 100,
        Reason::Changed => *tick <= promise.changed,
        // No ensemble is restored here.
        Reason::Restored => false,
        Reason::Paused => promise.policies.pause_after_failures.is_some(),
        Reason::Leaderless
        | Reason::HeldUp
        | Reason::OutOfWindow
        | Reason::TooManyMissed
        | Reason::Overlapped
        | Reason::NoTurn
        | Reason::Unavailable
        | Reason::OutOfReach
        | Reason::TooManyWaiting
        | Reason::TooManyRunning
        | Reason::QueueFull => false,
    };
    // What can be seen to have been so.
    let any = || [Reason::TooLate, Reason::Superseded, Reason::TooManyAttempts].into_iter().any(holds);
    reason.map_or_else(any, holds).then_some((*tick, *attempt))
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

/// No more ticks are under way at once than the policies allow, each with all of its attempts and the time between them.
fn crowd(promise: &Promise<'_>, by_tick: &BTreeMap<Timestamp, Vec<&Ran>>, seen: &[Seen], report: &mut Report) {
    let given_up: BTreeMap<Timestamp, Timestamp> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::GaveUp { tick, at, .. } | Seen::Untold { tick, at, .. } => Some((*tick, *at)),
            Seen::Skipped { .. } | Seen::Ran(_) => None,
        })
        .collect();
    let mut spans: Vec<(Timestamp, Timestamp, Timestamp)> = Vec::new();
    for (tick, attempts) in by_tick {
        let Some(begin) = attempts.iter().map(|run| run.began).min() else { continue };
        let ends = attempts.iter().map(|run| run.ended.map_or(Timestamp::MAX, |(at, _)| at));
        spans.push((begin, ends.chain(given_up.get(tick).copied()).max().unwrap_or(Timestamp::MAX), *tick));
    }
    spans.sort_unstable();
    let mut under_way: Vec<Timestamp> = Vec::new();
    for (begin, end, tick) in spans {
        under_way.retain(|end| end.duration_since(begin) > promise.skew);
        under_way.push(end);
        // By clocks that differ, one so short may have been over before another began.
        let is_sure = promise.skew.is_zero() || end.duration_since(begin) > promise.skew;
        if is_sure && under_way.len() > promise.policies.slots() {
            report.findings.push(Finding::TooMany(tick, 1));
        }
    }
}

//! Forged records of jobs with retries and with runs beside each other: each rule is broken once.

use silverback::registry::{OverlapRule, PolicySpec, RetryOn, RetrySpec, ScheduleSpec};

use super::*;

const RETRY: RetrySpec = RetrySpec {
    count: 2,
    backoff_ms: Some(5000),
    max_backoff_ms: Some(20_000),
    factor: Some(2),
    jitter_ms: Some(0),
    on: RetryOn::Retryable,
};

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// An attempt at the tick of a minute, by the seconds in which it began and ended.
fn ran(minute: i64, attempt: u32, (began, ended): (i64, i64), outcome: Outcome, retryable: Option<bool>) -> Seen {
    let (tick, began, ended) = (second(60 * minute), second(began), Some((second(ended), outcome)));
    Seen::Ran(Ran { tick, attempt, began, ended, retryable })
}

/// It failed in a way that may pass.
fn failed(minute: i64, attempt: u32, span: (i64, i64)) -> Seen {
    ran(minute, attempt, span, Outcome::Failed, Some(true))
}

fn succeeded(minute: i64, attempt: u32, span: (i64, i64)) -> Seen {
    ran(minute, attempt, span, Outcome::Succeeded, None)
}

fn skipped(minute: i64, reason: Reason) -> Seen {
    Seen::Skipped { first: second(60 * minute), before: None, reason, at: second(60 * minute) }
}

/// A job that ticks each minute, for two minutes.
fn findings(policies: PolicySpec, seen: &[Seen]) -> Vec<Finding> {
    let schedule = Schedule::parse(&ScheduleSpec::new("@every 1m"), None).unwrap();
    let policies = Policies::parse(&policies, "forged").unwrap();
    let promise = Promise {
        schedule: &schedule,
        policies: &policies,
        run_time: Duration::from_secs(300),
        from: second(0),
        changed: second(0),
        until: second(120),
        end_within: SignedDuration::from_secs(60),
        skew: SignedDuration::ZERO,
    };
    judge(&promise, seen).findings
}

fn retrying() -> PolicySpec {
    PolicySpec { retry: Some(RETRY), ..PolicySpec::default() }
}

#[test]
fn a_retry_comes_after_its_backoff_and_not_sooner() {
    let tries = |second_at, third_at| {
        let third = succeeded(1, 3, (third_at, third_at + 1));
        let seen =
            [failed(1, 1, (60, 61)), failed(1, 2, (second_at, second_at + 1)), third, succeeded(2, 1, (120, 121))];
        findings(retrying(), &seen)
    };
    assert_eq!(tries(66, 77), []);
    assert_eq!(tries(65, 77), [Finding::Early(second(60), 2)]);
    assert_eq!(tries(66, 76), [Finding::Early(second(60), 3)]);
}

#[test]
fn only_what_says_that_it_may_pass_is_tried_again_and_that_always_is() {
    let next = succeeded(2, 1, (120, 121));
    let for_good = ran(1, 1, (60, 61), Outcome::Failed, Some(false));
    assert_eq!(findings(retrying(), &[for_good.clone(), next.clone()]), []);
    let again = [for_good, succeeded(1, 2, (66, 67)), next.clone()];
    assert_eq!(findings(retrying(), &again), [Finding::Extra(second(60), 2)]);
    let not_again = [failed(1, 1, (60, 61)), next];
    assert_eq!(findings(retrying(), &not_again), [Finding::NotTriedAgain(second(60), 2)]);
}

#[test]
fn a_job_is_under_way_between_two_tries_too() {
    let seen = [failed(1, 1, (60, 118)), succeeded(2, 1, (120, 121)), succeeded(1, 2, (123, 124))];
    assert_eq!(findings(retrying(), &seen), [Finding::TooMany(second(120), 1)]);
    let skips = [failed(1, 1, (60, 118)), skipped(2, Reason::Overlapped), succeeded(1, 2, (123, 124))];
    assert_eq!(findings(retrying(), &skips), []);
}

#[test]
fn a_tick_is_skipped_beside_others_only_where_all_places_are_taken() {
    let allowing = PolicySpec { overlap: OverlapRule::Allow, max_running: Some(2), ..PolicySpec::default() };
    let seen = [succeeded(1, 1, (60, 130)), skipped(2, Reason::TooManyRunning)];
    assert_eq!(findings(allowing, &seen), [Finding::WronglySkipped(second(120), Reason::TooManyRunning)]);
}

#[test]
fn what_is_skipped_without_a_word_has_to_have_had_a_reason() {
    let untold = |at| Seen::Untold { tick: second(60), attempt: 1, at: second(at) };
    let next = succeeded(2, 1, (120, 121));
    assert_eq!(findings(PolicySpec::default(), &[untold(60), next.clone()]), [Finding::Unexplained(second(60))]);
    assert_eq!(findings(PolicySpec::default(), &[untold(120), next]), [], "a later tick had come");
}

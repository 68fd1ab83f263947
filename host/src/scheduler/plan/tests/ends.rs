//! How runs end, what is tried again, and when a job pauses itself.

use super::*;

const FAILED: End = End::Failed { retryable: true };

fn retries(count: u32) -> PolicySpec {
    let retry = RetrySpec { count, backoff_ms: Some(2000), max_backoff_ms: Some(5000), ..RetrySpec::default() };
    PolicySpec { retry: Some(retry), ..PolicySpec::default() }
}

#[test]
fn a_failure_is_tried_again_later_each_time_up_to_the_longest_wait() {
    let mut desk = Desk::new("@every 1h", retries(3));
    desk.begins("01:00:00", &["01:00:00"]);
    desk.ends("01:00:10", FAILED);
    for (begins, ends) in [("01:00:12", "01:00:20"), ("01:00:24", "01:00:30"), ("01:00:35", "01:00:40")] {
        assert_eq!(desk.at("01:00:11").0, []);
        assert!(matches!(desk.at(begins).0.as_slice(), [(of, 2..=4)] if *of == tick("01:00:00")), "{begins}");
        desk.ends(ends, FAILED);
    }
    assert_eq!((desk.state.active.len(), desk.state.failures), (0, 1));
    let told: Vec<u32> = desk.state.outcomes.iter().map(|kept| kept.attempt).collect();
    assert_eq!(told, [4, 3, 2, 1]);
}

#[test]
fn what_is_permanent_is_tried_again_only_where_all_is() {
    for (end, on, again) in [
        (End::Failed { retryable: false }, RetryOn::Retryable, false),
        (End::TimedOut, RetryOn::Retryable, false),
        (FAILED, RetryOn::Retryable, true),
        (End::Failed { retryable: false }, RetryOn::All, true),
        (End::TimedOut, RetryOn::All, true),
        (End::Cancelled, RetryOn::All, false),
        (End::LostLeadership, RetryOn::All, false),
        (End::Succeeded, RetryOn::All, false),
    ] {
        let mut policies = retries(1);
        policies.retry = policies.retry.map(|retry| RetrySpec { on, ..retry });
        let mut desk = Desk::new("@every 1h", policies);
        desk.begins("01:00:00", &["01:00:00"]);
        desk.ends("01:00:10", end);
        assert_eq!(!desk.state.active.is_empty(), again, "{end:?} {on:?}");
    }
}

/// dkron kept it in the leader's memory.
#[test]
fn a_retry_is_on_time_though_its_host_dies_in_mid_backoff() {
    let mut desk = Desk::new("@every 1h", retries(1));
    desk.begins("01:00:00", &["01:00:00"]);
    desk.ends("01:00:10", FAILED);
    assert_eq!(desk.fails_over("01:00:11"), []);
    let (begun, step) = desk.at("01:00:11");
    assert_eq!((begun, step), (vec![], Step::Wait(Some(at("01:00:12")))));
    assert_eq!(desk.at("01:00:12").0, [(tick("01:00:00"), 2)]);
}

#[test]
fn no_attempt_begins_after_the_start_deadline() {
    let mut desk = Desk::new("@every 1h", PolicySpec { start_deadline_ms: Some(10_000), ..retries(5) });
    desk.begins("01:00:00", &["01:00:00"]);
    desk.ends("01:00:08", FAILED);
    assert_eq!(desk.at("01:00:10").0, [(tick("01:00:00"), 2)]);
    desk.ends("01:00:11", FAILED);
    assert_eq!(desk.state.active, []);
    desk.has_skipped(&[("01:00:00 #3", Reason::TooLate)]);
}

#[test]
fn jitter_spreads_retries_and_is_the_same_for_the_same_attempt() {
    let policies = PolicySpec {
        retry: Some(RetrySpec { jitter_ms: Some(60_000), count: 3, ..RetrySpec::default() }),
        ..PolicySpec::default()
    };
    let retry = Policies::parse(&policies, "nightly").unwrap().retry.unwrap();
    let waits: Vec<u64> = (0..50)
        .map(|hour| end::wait_ms(&retry, &Occasion::Tick(Timestamp::from_second(hour * 3600).unwrap()), 1))
        .collect();
    assert!(waits.iter().all(|wait| (10_000..=70_000).contains(wait)));
    assert!(waits.iter().max().unwrap() - waits.iter().min().unwrap() > 30_000);
    assert_eq!(end::wait_ms(&retry, &tick("01:00:00"), 2), end::wait_ms(&retry, &tick("01:00:00"), 2));
}

#[test]
fn after_so_many_failures_a_job_pauses_itself_until_it_is_resumed() {
    let mut desk = Desk::new("@every 10s", PolicySpec { pause_after_failures: Some(2), ..PolicySpec::default() });
    for (begins, ends, end) in [
        ("00:00:10", "00:00:11", FAILED),
        ("00:00:20", "00:00:21", End::Succeeded),
        ("00:00:30", "00:00:31", FAILED),
        ("00:00:40", "00:00:41", End::TimedOut),
    ] {
        desk.begins(begins, &[begins]);
        desk.ends(ends, end);
    }
    assert_eq!(desk.state.paused.as_ref().map(|paused| paused.why.as_str()), Some("2 runs in a row failed"));
    assert_eq!(desk.at("00:01:00"), (vec![], Step::Wait(None)));
    // Another host finds the job as it was before the pause.
    assert_eq!(changed(&desk.state, &desk.rules(), &desk.term, changed_at("00:00:00"), at("00:01:00")), None);
    desk.fails_over("00:01:00");
    desk.begins("00:01:00", &[]);
    let resumed = changed(&desk.state, &desk.rules(), &desk.term, changed_at("00:01:05"), at("00:01:06")).unwrap();
    desk.write(resumed);
    desk.has_skipped(&[("00:00:50..00:01:10", Reason::Paused)]);
    desk.begins("00:01:10", &["00:01:10"]);
    assert_eq!(desk.state.failures, 0);
}

#[test]
fn w7_a_job_that_had_paused_itself_stays_so_when_the_ensemble_was_restored() {
    let mut desk = Desk::new("@every 10s", PolicySpec { pause_after_failures: Some(1), ..PolicySpec::default() });
    desk.begins("00:00:10", &["00:00:10"]);
    desk.ends("00:00:11", FAILED);
    let restored = |changed| Changed { at: at(changed), ticks_from: at("00:01:00"), restored: true };
    let decision = changed(&desk.state, &desk.rules(), &desk.term, restored("00:00:00"), at("00:01:01")).unwrap();
    let stays = desk.clone();
    desk.write(decision);
    assert_eq!((desk.state.paused.is_some(), desk.state.failures), (true, 1));
    desk.has_skipped(&[("00:00:20..00:01:10", Reason::Restored)]);
    // Unless it was resumed before that, and nobody has seen to it.
    let mut desk = stays;
    let decision = changed(&desk.state, &desk.rules(), &desk.term, restored("00:00:30"), at("00:01:01")).unwrap();
    desk.write(decision);
    assert_eq!((desk.state.paused.clone(), desk.state.failures), (None, 0));
    desk.begins("00:01:10", &["00:01:10"]);
}

/// dkron#1296: runs that stayed "running" for ever.
#[test]
fn a_run_that_goes_on_past_its_deadline_is_stopped() {
    let mut desk = Desk::new("@every 1h", PolicySpec::default());
    desk.begins("01:00:00", &["01:00:00"]);
    assert_eq!(desk.at("01:00:01").1, Step::Wait(Some(at("01:01:30"))));
    let (_, step) = desk.at("01:01:30");
    let Step::Stop { nonce, why: StopReason::Overdue } = step else { panic!("{step:?}") };
    desk.term.stopping.push(nonce);
    assert_eq!(desk.at("01:01:30").1, Step::Wait(Some(at("02:00:00"))));
    desk.ends("01:01:31", End::TimedOut);
    assert_eq!(desk.state.active, []);
}

#[test]
fn the_end_of_a_run_that_was_settled_already_changes_nothing() {
    let mut desk = Desk::new("@every 1h", PolicySpec::default());
    desk.begins("01:00:00", &["01:00:00"]);
    let nonce = desk.state.active[0].nonce().unwrap();
    desk.fails_over("01:00:30");
    let late = ended(&desk.state, &desk.rules(), &desk.term, nonce, End::Succeeded, "", at("01:00:31"));
    assert_eq!(late, None);
}

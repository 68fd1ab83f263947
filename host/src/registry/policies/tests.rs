use super::*;

fn refusal(spec: PolicySpec) -> String {
    Policies::parse(&spec, "nightly").unwrap_err().to_string()
}

#[test]
fn what_is_not_said_is_as_it_was_before_it_could_be_said() {
    let policies = Policies::parse(&PolicySpec::default(), "nightly").unwrap();
    let today = Policies {
        overlap: Overlap::Skip,
        catch_up: CatchUp::Latest,
        start_deadline_ms: None,
        retry: None,
        delivery: Delivery::AtMostOnce,
        pause_after_failures: None,
        history: 200,
    };
    assert_eq!(policies, today);
    assert_eq!(serde_json::from_str::<PolicySpec>("{}").unwrap(), PolicySpec::default());
}

#[test]
fn the_longest_wait_is_no_shorter_than_the_first() {
    let retry = Some(RetrySpec { count: 1, backoff_ms: Some(3_600_000), ..RetrySpec::default() });
    let policies = Policies::parse(&PolicySpec { retry, ..PolicySpec::default() }, "nightly").unwrap();
    assert_eq!(policies.retry.map(|retry| (retry.first_ms, retry.max_ms)), Some((3_600_000, 3_600_000)));
}

#[test]
fn what_contradicts_itself_is_refused_with_field_and_value() {
    let plain = PolicySpec::default();
    let all = PolicySpec { catch_up: CatchUpRule::All, ..plain };
    let retry = |retry| PolicySpec { retry: Some(retry), start_deadline_ms: Some(60_000), ..plain };
    let once = RetrySpec { count: 1, ..RetrySpec::default() };
    let specs = [
        PolicySpec { max_queued: Some(3), ..plain },
        PolicySpec { overlap: OverlapRule::QueueAll, max_queued: Some(33), ..plain },
        PolicySpec { overlap: OverlapRule::QueueAll, max_queued: Some(0), ..plain },
        PolicySpec { overlap: OverlapRule::QueueAll, max_running: Some(2), ..plain },
        PolicySpec { overlap: OverlapRule::Allow, max_running: Some(1), ..plain },
        PolicySpec { overlap: OverlapRule::Allow, max_running: Some(5), ..plain },
        PolicySpec { catch_up_window_ms: Some(60_000), ..plain },
        PolicySpec { catch_up: CatchUpRule::None, max_catch_up: Some(3), ..plain },
        PolicySpec { catch_up_window_ms: Some(0), ..all },
        PolicySpec { max_catch_up: Some(33), ..all },
        PolicySpec { overlap: OverlapRule::QueueOne, ..all },
        PolicySpec { overlap: OverlapRule::CancelRunning, ..all },
        PolicySpec { start_deadline_ms: Some(0), ..plain },
        PolicySpec { start_deadline_ms: Some(60_000), catch_up_window_ms: Some(61_000), ..all },
        retry(RetrySpec { count: 0, ..once }),
        retry(RetrySpec { count: 21, ..once }),
        retry(RetrySpec { backoff_ms: Some(0), ..once }),
        retry(RetrySpec { backoff_ms: Some(60_000), ..once }),
        retry(RetrySpec { max_backoff_ms: Some(5000), ..once }),
        retry(RetrySpec { factor: Some(0), ..once }),
        retry(RetrySpec { factor: Some(1), max_backoff_ms: Some(20_000), ..once }),
        retry(RetrySpec { jitter_ms: Some(90_000_000), ..once }),
        PolicySpec { pause_after_failures: Some(0), ..plain },
        PolicySpec { history: Some(201), ..plain },
    ];
    insta::assert_snapshot!(specs.map(refusal).join("\n"));
}

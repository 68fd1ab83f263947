//! Times that a clock which was ahead has left behind.

use super::*;

fn retries(backoff_ms: u64) -> PolicySpec {
    let retry = RetrySpec {
        count: 1,
        backoff_ms: Some(backoff_ms),
        max_backoff_ms: Some(backoff_ms),
        factor: Some(1),
        ..RetrySpec::default()
    };
    PolicySpec { retry: Some(retry), ..PolicySpec::default() }
}

/// What an operator makes of it.
fn set_cursor(desk: &mut Desk, change: &str, to: &str, now: &str) {
    let decision = cursor_set(&desk.state, &desk.rules(), &desk.term, changed_at(change), at(to), at(now));
    desk.term.since = desk.term.since.min(at(to));
    desk.write(decision);
}

fn ahead_at(desk: &Desk, now: &str) -> Option<Ahead> {
    ahead(&desk.state, &desk.rules(), at(now))
}

#[test]
fn w9_a_retry_that_waits_for_a_clock_that_was_ahead_is_told_and_made_once_the_cursor_is_set() {
    let mut desk = Desk::new("@every 1h", retries(2000));
    desk.begins("04:00:00", &["04:00:00"]);
    desk.skipped();
    desk.ends("04:00:10", End::Failed { retryable: true });
    let until = at("04:00:12");
    assert_eq!(ahead_at(&desk, "04:00:10"), None, "it waits as long as its job says");
    assert_eq!(ahead_at(&desk, "01:30:00"), Some(Ahead::Cursor(at("04:00:00"))));
    desk.state.cursor = Some(at("01:00:00"));
    assert_eq!(ahead_at(&desk, "01:30:00"), Some(Ahead::Retry(until)));
    set_cursor(&mut desk, "00:00:00", "01:30:00", "01:30:00");
    assert_eq!(ahead_at(&desk, "01:30:00"), None);
    assert_eq!(desk.at("01:30:00").0, [(tick("04:00:00"), 2)]);
    desk.ends("01:30:01", End::Succeeded);
    desk.begins("02:00:00", &["02:00:00"]);
    desk.has_skipped(&[]);
}

#[test]
fn w9_a_job_that_paused_itself_while_a_clock_was_ahead_goes_on_once_the_cursor_is_set() {
    let mut desk = Desk::new("@every 1h", PolicySpec { pause_after_failures: Some(1), ..PolicySpec::default() });
    desk.begins("01:00:00", &["01:00:00"]);
    desk.ends("04:00:00", End::Failed { retryable: false });
    desk.state.cursor = Some(at("01:00:00"));
    assert_eq!(ahead_at(&desk, "01:30:00"), Some(Ahead::Paused(at("04:00:00"))));
    let mut later = desk.clone();
    set_cursor(&mut desk, "00:00:00", "01:30:00", "01:30:00");
    assert_eq!((desk.state.paused.clone(), desk.state.failures), (None, 0));
    desk.begins("02:00:00", &["02:00:00"]);
    // What paused itself by a clock that is right stays so.
    set_cursor(&mut later, "00:00:00", "04:00:00", "04:00:00");
    assert!(later.state.paused.is_some());
}

#[test]
fn w9_a_change_that_is_yet_to_come_lets_the_job_tick_from_now_on_and_is_settled_once() {
    let mut desk = Desk::new("@every 1h", PolicySpec { pause_after_failures: Some(1), ..PolicySpec::default() });
    desk.state.next = Some(at("01:00:00"));
    let settle = |desk: &Desk, now| changed(&desk.state, &desk.rules(), &desk.term, changed_at("04:30:00"), at(now));
    let decision = settle(&desk, "01:30:00").unwrap();
    desk.write(decision);
    assert_eq!(desk.state.cursor, Some(at("01:30:00")));
    desk.has_skipped(&[("01:00:00..02:00:00", Reason::Changed)]);
    // Whoever takes over later passes over nothing that was missed, and ends no pause, before that time and after it.
    assert_eq!(desk.fails_over("02:30:00"), []);
    assert_eq!(settle(&desk, "02:30:00"), None);
    desk.begins("02:30:00", &["02:00:00"]);
    desk.ends("02:31:00", End::Failed { retryable: false });
    assert_eq!((settle(&desk, "03:00:00"), settle(&desk, "05:00:00")), (None, None));
    // Another change is settled by its own time.
    let decision = changed(&desk.state, &desk.rules(), &desk.term, changed_at("05:10:00"), at("05:10:01")).unwrap();
    desk.write(decision);
    assert_eq!((desk.state.cursor, desk.state.paused.clone()), (Some(at("05:10:00")), None));
}

#[test]
fn w9_a_cursor_that_was_set_is_not_undone_by_a_change_from_before() {
    let mut desk = Desk::new("@every 1h", PolicySpec::default());
    let settle = |desk: &Desk, now| changed(&desk.state, &desk.rules(), &desk.term, changed_at("04:30:00"), at(now));
    let decision = settle(&desk, "04:30:01").unwrap();
    desk.write(decision);
    set_cursor(&mut desk, "04:30:00", "01:30:00", "01:30:00");
    for now in ["01:30:00", "01:59:00", "04:40:00"] {
        assert_eq!(settle(&desk, now), None, "{now}");
    }
    assert_eq!(desk.state.cursor, Some(at("01:30:00")));
}

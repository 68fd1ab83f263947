//! Runs that may not begin at once.

use super::*;

#[test]
fn a_tick_that_waits_for_its_turn_is_not_written_until_there_is_more_to_say() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.answer = Answer::Awaited;
    assert_eq!(desk.at("00:00:10"), (vec![], Step::Ask(Some(at("00:00:20")))));
    assert_eq!(desk.state.cursor, Some(at("00:00:00")), "it was written");
    desk.answer = Answer::Given;
    desk.begins("00:00:15", &["00:00:10"]);
    desk.has_skipped(&[]);
}

#[test]
fn what_comes_while_a_tick_waits_for_its_turn_has_none() {
    let comes = |overlap, max_queued| {
        let mut desk = Desk::new("@every 10s", PolicySpec { overlap, max_queued, ..PolicySpec::default() });
        (desk.answer, desk.asked) = (Answer::Awaited, Some("00:00:10"));
        desk.at("00:00:10");
        desk.at("00:00:20");
        assert_eq!(desk.at("00:00:30").1, Step::Ask(Some(at("00:00:40"))));
        desk.answer = Answer::Given;
        let mut begun = Vec::new();
        while let Some((of, _)) = desk.at("00:00:35").0.pop() {
            begun.extend(of.tick().map(|tick| tick.strftime("%T").to_string()));
            desk.ends("00:00:35", End::Succeeded);
        }
        (begun.join(" "), desk.skipped())
    };
    let skipped = |reason| -> Vec<_> { ["00:00:20", "00:00:30"].map(|tick| (tick.to_owned(), reason)).into() };
    assert_eq!(comes(OverlapRule::Skip, None), ("00:00:10".to_owned(), skipped(Reason::NoTurn)));
    assert_eq!(comes(OverlapRule::QueueAll, Some(4)), ("00:00:10 00:00:20 00:00:30".to_owned(), vec![]));
}

#[test]
fn a_host_that_was_held_up_before_it_could_ask_begins_with_the_latest() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.answer = Answer::Awaited;
    assert_eq!(desk.at("00:00:35").1, Step::Ask(Some(at("00:00:40"))));
    (desk.answer, desk.asked) = (Answer::Given, Some("00:00:35"));
    desk.begins("00:00:36", &["00:00:30"]);
    desk.has_skipped(&[("00:00:10", Reason::HeldUp), ("00:00:20", Reason::HeldUp)]);
}

#[test]
fn what_meets_a_tick_that_waits_is_told_eight_at_a_time_until_its_turn_comes() {
    let mut desk = Desk::new("@every 1s", PolicySpec::default());
    (desk.answer, desk.asked) = (Answer::Awaited, Some("00:00:01"));
    let mut told = Vec::new();
    for second in 1..=30 {
        desk.at(&format!("00:00:{second:02}"));
        told.extend(Some(desk.skipped()).filter(|skips| !skips.is_empty()));
    }
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 8]);
    desk.answer = Answer::Given;
    desk.begins("00:00:30", &["00:00:01"]);
    told.push(desk.skipped());
    let skips: Vec<_> = (2..=30).map(|second| (format!("00:00:{second:02}"), Reason::NoTurn)).collect();
    assert_eq!(told.concat(), skips);
}

#[test]
fn a_tick_that_waits_for_its_turn_past_its_start_deadline_is_skipped() {
    let deadline = PolicySpec { start_deadline_ms: Some(4000), ..PolicySpec::default() };
    let mut desk = Desk::new("@every 10s", deadline);
    desk.answer = Answer::Awaited;
    assert_eq!(desk.at("00:00:10").1, Step::Ask("2026-01-01T00:00:14.001Z".parse().ok()));
    assert_eq!(desk.at("00:00:15"), (vec![], Step::Wait(Some(at("00:00:20")))));
    desk.has_skipped(&[("00:00:10", Reason::TooLate)]);
}

#[test]
fn what_may_not_begin_is_skipped_for_the_reason_that_is_given() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.answer = Answer::Refused(Reason::Unavailable);
    assert_eq!(desk.at("00:00:10"), (vec![], Step::Wait(Some(at("00:00:20")))));
    desk.has_skipped(&[("00:00:10", Reason::Unavailable)]);
    assert_eq!(desk.state.cursor, Some(at("00:00:10")));
}

#[test]
fn a_retry_that_may_not_begin_is_given_up_unless_that_passes() {
    let retry = Some(RetrySpec { count: 3, ..RetrySpec::default() });
    let start_deadline_ms = Some(120_000);
    let mut desk = Desk::new("@every 1h", PolicySpec { retry, start_deadline_ms, ..PolicySpec::default() });
    desk.begins("01:00:00", &["01:00:00"]);
    desk.ends("01:00:01", End::Failed { retryable: true });
    for reason in [Reason::TooManyWaiting, Reason::OutOfReach] {
        desk.answer = Answer::Refused(reason);
        assert_eq!(desk.at("01:01:00"), (vec![], Step::Wait(Some(at("01:01:02")))));
        desk.has_skipped(&[]);
    }
    let mut in_time = desk.clone();
    in_time.answer = Answer::Given;
    assert_eq!(in_time.at("01:01:02").0, [(tick("01:00:00"), 2)]);
    let mut unfit = desk.clone();
    unfit.answer = Answer::Refused(Reason::Unavailable);
    unfit.at("01:01:02");
    unfit.has_skipped(&[("01:00:00 #2", Reason::Unavailable)]);
    // It waits no longer than it may begin.
    desk.at("01:02:01");
    desk.has_skipped(&[("01:00:00 #2", Reason::TooLate)]);
    assert_eq!(desk.state.active, []);
}

//! Ticks that come while a run is under way, and ticks that were missed.

use super::*;

#[test]
fn a_tick_runs_when_it_comes_and_only_once() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    assert_eq!(desk.at("00:00:09").1, Step::Wait(Some(at("00:00:10"))));
    desk.begins("00:00:10", &["00:00:10"]);
    desk.ends("00:00:11", End::Succeeded);
    desk.begins("00:00:11", &[]);
    // The clock steps back (quartz#463).
    desk.begins("00:00:05", &[]);
    desk.begins("00:00:10", &[]);
    desk.begins("00:00:20", &["00:00:20"]);
    desk.has_skipped(&[]);
}

#[test]
fn skip_skips_what_comes_during_a_run_even_where_nobody_looked() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.begins("00:00:10", &["00:00:10"]);
    desk.ends("00:00:31", End::Succeeded);
    desk.begins("00:00:31", &[]);
    desk.has_skipped(&[("00:00:20", Reason::Overlapped), ("00:00:30", Reason::Overlapped)]);
    desk.begins("00:00:40", &["00:00:40"]);
}

#[test]
fn queue_one_keeps_the_latest_of_those_that_wait() {
    let mut desk = Desk::new("@every 10s", PolicySpec { overlap: OverlapRule::QueueOne, ..PolicySpec::default() });
    desk.begins("00:00:10", &["00:00:10"]);
    desk.begins("00:00:30", &[]);
    desk.has_skipped(&[("00:00:20", Reason::Superseded)]);
    desk.ends("00:00:31", End::Succeeded);
    desk.begins("00:00:31", &["00:00:30"]);
}

#[test]
fn queue_all_runs_all_that_wait_in_order_up_to_its_bound() {
    let mut desk = Desk::new(
        "@every 10s",
        PolicySpec { overlap: OverlapRule::QueueAll, max_queued: Some(2), ..PolicySpec::default() },
    );
    desk.begins("00:00:10", &["00:00:10"]);
    desk.begins("00:00:40", &[]);
    desk.has_skipped(&[("00:00:20", Reason::QueueFull)]);
    // The queue survives its host.
    let lost = desk.fails_over("00:00:41");
    assert_eq!(lost.len(), 1);
    desk.begins("00:00:41", &["00:00:30"]);
    desk.ends("00:00:42", End::Succeeded);
    desk.begins("00:00:42", &["00:00:40"]);
    desk.ends("00:00:43", End::Succeeded);
    desk.begins("00:00:43", &[]);
}

#[test]
fn cancel_running_stops_the_run_for_the_next_tick_once() {
    let mut desk = Desk::new("@every 10s", PolicySpec { overlap: OverlapRule::CancelRunning, ..PolicySpec::default() });
    desk.begins("00:00:10", &["00:00:10"]);
    let (begun, step) = desk.at("00:00:20");
    assert_eq!(begun, []);
    let Step::Stop { nonce, why: StopReason::Superseded } = step else { panic!("{step:?}") };
    desk.term.stopping.push(nonce);
    assert_eq!(desk.at("00:00:20").1, Step::Wait(Some(at("00:00:30"))));
    desk.ends("00:00:21", End::Cancelled);
    desk.begins("00:00:21", &["00:00:20"]);
    assert_eq!(desk.state.failures, 0);
}

#[test]
fn allow_runs_beside_others_up_to_its_bound() {
    let mut desk = Desk::new(
        "@every 10s",
        PolicySpec { overlap: OverlapRule::Allow, max_running: Some(3), ..PolicySpec::default() },
    );
    for second in ["00:00:10", "00:00:20", "00:00:30"] {
        desk.begins(second, &[second]);
    }
    desk.begins("00:00:40", &[]);
    desk.has_skipped(&[("00:00:40", Reason::TooManyRunning)]);
    desk.ends("00:00:41", End::Succeeded);
    desk.begins("00:00:50", &["00:00:50"]);
}

#[test]
fn of_the_missed_the_latest_runs_or_none_or_all_within_the_window() {
    let missed = |policies| {
        let mut desk = Desk::new("@every 10s", policies);
        desk.fails_over("00:01:05");
        let begun: Vec<String> = std::iter::from_fn(|| {
            let begun = desk.at("00:01:05").0.pop()?.0.tick()?.strftime("%T").to_string();
            desk.ends("00:01:05", End::Succeeded);
            Some(begun)
        })
        .collect();
        (begun.join(" "), desk.skipped())
    };
    let named = |ticks: &[&str], reason| -> Vec<(String, Reason)> {
        ticks.iter().map(|tick| (format!("00:{tick}"), reason)).collect()
    };
    let five = ["00:10", "00:20", "00:30", "00:40", "00:50"];
    assert_eq!(missed(PolicySpec::default()), ("00:01:00".to_owned(), named(&five, Reason::Leaderless)));
    let none = PolicySpec { catch_up: CatchUpRule::None, ..PolicySpec::default() };
    let six = ["00:10", "00:20", "00:30", "00:40", "00:50", "01:00"];
    assert_eq!(missed(none), (String::new(), named(&six, Reason::Leaderless)));
    let all = PolicySpec { catch_up: CatchUpRule::All, catch_up_window_ms: Some(35_000), ..PolicySpec::default() };
    assert_eq!(missed(all), ("00:00:30 00:00:40 00:00:50 00:01:00".to_owned(), named(&five[..2], Reason::OutOfWindow)));
    let bounded = PolicySpec { max_catch_up: Some(1), ..all };
    let (begun, skipped) = missed(bounded);
    assert_eq!(begun, "00:01:00");
    assert_eq!(skipped[2..], named(&five[2..], Reason::TooManyMissed));
    let late = PolicySpec { start_deadline_ms: Some(4000), ..PolicySpec::default() };
    let (begun, skipped) = missed(late);
    assert_eq!((begun.as_str(), &skipped[5]), ("", &("00:01:00".to_owned(), Reason::TooLate)));
}

/// kubernetes#42649: a job that missed a hundred ticks never ran again.
#[test]
fn kubernetes_42649_a_year_of_missed_seconds_is_caught_up_with_in_few_steps() {
    for (policies, runs) in
        [(PolicySpec::default(), 1), (PolicySpec { catch_up: CatchUpRule::All, ..PolicySpec::default() }, 32)]
    {
        let mut desk = Desk::new("@every 1s", policies);
        desk.state.cursor = Some("2020-01-01T00:00:00Z".parse().unwrap());
        let mut begun = 0;
        while let (begins, Step::Wait(_)) = desk.at("00:00:00")
            && !begins.is_empty()
        {
            begun += begins.len();
            desk.ends("00:00:00", End::Succeeded);
        }
        assert_eq!(begun, runs);
        assert_eq!(desk.state.cursor, Some(at("00:00:00")));
        assert!(desk.skipped().len() < 40, "what was missed is told as a span");
        desk.begins("00:00:01", &["00:00:01"]);
    }
}

#[test]
fn an_order_runs_beside_the_schedule_where_there_is_room() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    let begin = ordered(&desk.state, &desk.rules(), &desk.term, "manual-1", at("00:00:05"), 99);
    assert_eq!(desk.write(begin).unwrap().of, Occasion::Order("manual-1".to_owned()));
    assert_eq!(has_room(&desk.state, &desk.rules()), Err(UnderWay));
    desk.begins("00:00:10", &[]);
    desk.has_skipped(&[("00:00:10", Reason::Overlapped)]);
    desk.ends("00:00:11", End::Succeeded);
    desk.begins("00:00:20", &["00:00:20"]);
}

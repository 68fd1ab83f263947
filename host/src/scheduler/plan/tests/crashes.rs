//! The crash table, and jobs that are changed.

use super::*;
use crate::history::Outcome;

fn at_least_once() -> PolicySpec {
    PolicySpec { delivery: Delivery::AtLeastOnce, ..PolicySpec::default() }
}

#[test]
fn a_crash_before_begin_is_a_missed_tick() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    assert_eq!(desk.fails_over("00:00:12"), []);
    desk.begins("00:00:12", &["00:00:10"]);
}

#[test]
fn a_crash_in_a_run_leaves_it_unknown_and_it_is_never_run_again() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.begins("00:00:10", &["00:00:10"]);
    let lost = desk.fails_over("00:00:15");
    assert_eq!((lost[0].of.clone(), lost[0].attempt, lost[0].again), (tick("00:00:10"), 1, false));
    assert_eq!(lost[0].holder.as_ref().map(|holder| holder.token), Some(7));
    assert_eq!(desk.state.outcomes[0].outcome, Outcome::Unknown);
    desk.begins("00:00:15", &[]);
    desk.begins("00:00:20", &["00:00:20"]);
}

#[test]
fn at_least_once_it_is_run_again_as_the_next_attempt_within_the_deadline() {
    let mut desk = Desk::new("@every 1h", PolicySpec { start_deadline_ms: Some(20_000), ..at_least_once() });
    desk.begins("01:00:00", &["01:00:00"]);
    assert!(desk.fails_over("01:00:10")[0].again);
    // The next host dies before it begins, and the one after that just after.
    assert_eq!(desk.fails_over("01:00:15"), []);
    assert_eq!(desk.at("01:00:15").0, [(tick("01:00:00"), 2)]);
    assert!(!desk.fails_over("01:00:21")[0].again);
    desk.has_skipped(&[("01:00:00 #3", Reason::TooLate)]);
    assert_eq!(desk.at("01:00:21").0, []);
}

#[test]
fn a_drained_run_is_run_again_by_the_next_host_only_at_least_once() {
    for (policies, again) in [(PolicySpec::default(), vec![]), (at_least_once(), vec![(tick("01:00:00"), 2)])] {
        let mut desk = Desk::new("@every 1h", policies);
        desk.begins("01:00:00", &["01:00:00"]);
        desk.ends("01:00:05", End::LostLeadership);
        desk.fails_over("01:00:06");
        assert_eq!(desk.at("01:00:06").0, again);
    }
}

#[test]
fn a_run_that_kills_its_hosts_is_not_begun_for_ever() {
    let mut desk = Desk::new("@every 24h", at_least_once());
    desk.state.queue.push_back(at("00:00:00"));
    let mut begun = 0;
    for _ in 0..200 {
        begun += desk.at("12:00:00").0.len();
        desk.fails_over("12:00:00");
    }
    assert_eq!(begun, 100);
    assert!(desk.skipped().iter().any(|(_, reason)| *reason == Reason::TooManyAttempts));
}

#[test]
fn a_run_of_this_driver_is_left_alone() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.begins("00:00:10", &["00:00:10"]);
    let nonce = desk.state.active[0].nonce().unwrap();
    assert_eq!(taken_over(&desk.state, &desk.rules(), &desk.term, &[nonce], at("00:00:11")), None);
    // Its end couldn't be written: it is as one whose host died.
    assert!(taken_over(&desk.state, &desk.rules(), &desk.term, &[], at("00:00:11")).is_some());
}

/// kubernetes#63371, temporal#4866.
#[test]
fn a_changed_job_ticks_from_its_change_on_and_what_waited_is_skipped() {
    let mut desk = Desk::new("@every 10s", PolicySpec { overlap: OverlapRule::QueueAll, ..at_least_once() });
    desk.begins("00:00:10", &["00:00:10"]);
    desk.begins("00:00:20", &[]);
    desk.begins("00:00:30", &[]);
    desk.fails_over("00:00:41");
    let change = |desk: &Desk, now| changed(&desk.state, &desk.rules(), &desk.term, changed_at("00:00:25"), at(now));
    let decision = change(&desk, "00:00:41").unwrap();
    desk.write(decision);
    assert_eq!(change(&desk, "00:00:42"), None, "the same change again is none");
    desk.has_skipped(&[("00:00:20", Reason::Changed), ("00:00:10 #2", Reason::Changed)]);
    desk.begins("00:00:42", &["00:00:30"]);
}

/// What was to come before a change and nobody looked at is told, as far as the schedule is known that the job had then.
#[test]
fn ticks_from_before_a_change_are_skipped_and_told() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.begins("00:00:10", &["00:00:10"]);
    desk.ends("00:00:11", End::Succeeded);
    let leaderless = desk.clone();
    desk.fails_over("00:01:00");
    desk.schedule = Desk::new("@every 7s", PolicySpec::default()).schedule;
    let decision = changed(&desk.state, &desk.rules(), &desk.term, changed_at("00:00:45"), at("00:01:00")).unwrap();
    desk.write(decision);
    desk.has_skipped(&[("00:00:20..00:00:49", Reason::Changed)]);
    // The change came before the tick: nothing was to come.
    let mut desk = leaderless;
    desk.fails_over("00:01:00");
    let decision = changed(&desk.state, &desk.rules(), &desk.term, changed_at("00:00:15"), at("00:01:00")).unwrap();
    desk.write(decision);
    desk.has_skipped(&[]);
    desk.begins("00:01:00", &["00:01:00"]);
}

/// As kubernetes#63371 and temporal#4866 want it only where it is asked for: what a pause passed over was missed.
#[test]
fn ticks_from_before_a_change_are_caught_up_with_where_that_is_asked_for() {
    let resumed = Changed { at: at("00:00:45"), ticks_from: at("00:00:05"), restored: false };
    let all = PolicySpec { catch_up: CatchUpRule::All, overlap: OverlapRule::QueueAll, ..PolicySpec::default() };
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.begins("00:00:10", &["00:00:10"]);
    desk.ends("00:00:11", End::Succeeded);
    desk.fails_over("00:00:46");
    assert_eq!(
        changed(&desk.state, &desk.rules(), &desk.term, resumed, at("00:00:46")),
        None,
        "nothing is passed over"
    );
    let mut latest = desk.clone();
    latest.begins("00:00:46", &["00:00:40"]);
    latest.has_skipped(&[("00:00:20", Reason::Leaderless), ("00:00:30", Reason::Leaderless)]);
    // Another schedule and other policies: what they tick from there on.
    let edited = Desk::new("@every 15s", all);
    (desk.schedule, desk.policies) = (edited.schedule, edited.policies);
    let decision = changed(&desk.state, &desk.rules(), &desk.term, resumed, at("00:00:46")).unwrap();
    desk.write(decision);
    desk.has_skipped(&[]);
    assert_eq!(desk.state.next, Some(at("00:00:15")), "by the new schedule");
    desk.begins("00:00:46", &["00:00:15"]);
    assert_eq!(desk.state.queue, [at("00:00:30"), at("00:00:45")]);
}

#[test]
fn a_new_job_has_no_ticks_from_before_it_was_made() {
    let mut new = Desk::new("@every 10s", PolicySpec::default());
    new.state = JobState::default();
    let made = changed(&new.state, &new.rules(), &new.term, changed_at("00:00:35"), at("00:00:36")).unwrap();
    new.write(made);
    new.has_skipped(&[]);
    new.begins("00:00:36", &[]);
    new.begins("00:00:40", &["00:00:40"]);
}

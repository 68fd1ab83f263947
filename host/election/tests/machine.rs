//! The machine alone, one rule at a time. `sim` has all of them together.

use silverback_election::{Action, Contender, Election, Event, How, OnReturn, Report, State, lock_prefix};

const ME: &str = "a__lock__0000000001";

#[test]
fn a_contender_of_another_session_is_never_led_on() {
    let mut machine = Election::new(7, OnReturn::Requeue);
    machine.step(Event::Stand { prefix: lock_prefix("a") });
    machine.step(Event::Created(ME.to_owned()));
    assert_eq!(machine.step(listed(6)), [Action::Rest { failures: 0 }]);
}

#[test]
fn a_reconnect_closes_nothing_for_good_but_reads_the_contender_first() {
    let mut machine = leading();
    assert_eq!(machine.step(Event::Disconnected), [Action::CloseGate]);
    let name = ME.to_owned();
    assert_eq!(machine.step(Event::Connected), [Action::Verify { name: name.clone() }]);
    assert_eq!(machine.step(Event::Verified(Some((7, 55)))), [Action::OpenGate, Action::Watch { name }]);
    machine.step(Event::Connected);
    assert_eq!(machine.step(Event::Verified(Some((7, 56)))), [Action::StopGuest(How::Now)]);
}

#[test]
fn failures_in_a_row_are_counted_for_the_back_off_and_forgotten_after_a_success() {
    let mut machine = leading();
    for failures in 1..=3 {
        machine.step(Event::GuestStopped(Report::Failed));
        assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures }]);
        lead_again(&mut machine);
    }
    machine.step(Event::GuestStopped(Report::Done));
    assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures: 0 }]);
}

#[test]
fn who_is_never_vouched_for_goes_to_the_end_of_the_queue() {
    let mut machine = Election::new(7, OnReturn::Requeue);
    machine.step(Event::Stand { prefix: lock_prefix("a") });
    machine.step(Event::Created(ME.to_owned()));
    assert_eq!(machine.step(Event::Unvouched), [Action::Delete { name: ME.to_owned() }]);
    assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures: 0 }]);
    let mut machine = leading();
    assert_eq!(machine.step(Event::Unvouched), [], "a leader has its lease's end to go by");
}

#[test]
fn who_may_not_see_the_queue_leaves_it_and_backs_off() {
    let mut machine = Election::new(7, OnReturn::Requeue);
    for failures in 1..=2 {
        machine.step(Event::Stand { prefix: lock_prefix("a") });
        machine.step(Event::Created(ME.to_owned()));
        assert_eq!(machine.step(Event::ListRefused), [Action::Delete { name: ME.to_owned() }]);
        assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures }]);
    }
    let mut machine = leading();
    assert_eq!(machine.step(Event::ListRefused), [], "a leader lists nothing");
}

#[test]
fn on_return_stop_leaves_the_queue_after_the_function_returned() {
    let mut machine = Election::new(7, OnReturn::Stop);
    lead_again(&mut machine);
    let me = Contender::parse(ME).unwrap();
    assert_eq!(machine.state(), &State::Leading { me, token: 55 });
    machine.step(Event::GuestStopped(Report::Done));
    assert_eq!(machine.step(Event::Deleted), [Action::Finish]);
    assert_eq!(machine.step(Event::Stand { prefix: lock_prefix("b") }), []);
}

#[test]
fn a_function_that_its_lease_stopped_did_not_return() {
    let mut machine = Election::new(7, OnReturn::Stop);
    lead_again(&mut machine);
    machine.step(Event::GuestStopped(Report::Stopped));
    assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures: 0 }]);
}

#[test]
fn a_guest_that_is_asked_to_stop_is_stopped_at_once_when_its_contender_goes() {
    let mut machine = leading();
    machine.step(Event::Resign);
    assert_eq!(machine.step(Event::WatchFired), [Action::Verify { name: ME.to_owned() }]);
    assert_eq!(machine.step(Event::Verified(None)), [Action::StopGuest(How::Now)]);
}

#[test]
fn a_guest_that_is_asked_to_stop_keeps_its_gate_by_the_same_rules() {
    let mut machine = leading();
    machine.step(Event::Resign);
    assert_eq!(machine.step(Event::Disconnected), [Action::CloseGate]);
    assert_eq!(machine.step(Event::Connected), [Action::Verify { name: ME.to_owned() }]);
    let name = ME.to_owned();
    assert_eq!(machine.step(Event::Verified(Some((7, 55)))), [Action::OpenGate, Action::Watch { name }]);
    assert_eq!(machine.step(Event::Verified(None)), [Action::StopGuest(How::Now)]);
    assert_eq!(machine.step(Event::GuestStopped(Report::Stopped)), [Action::Rest { failures: 0 }]);
}

// ---- pitfalls of others ----

#[test]
fn curator_367_a_reconnect_that_is_told_before_the_loss_of_the_session_opens_nothing() {
    let mut machine = leading();
    machine.step(Event::Disconnected);
    assert_eq!(machine.step(Event::Connected), [Action::Verify { name: ME.to_owned() }]);
    assert_eq!(machine.step(Event::SessionLost), [Action::StopGuest(How::Now)]);
    assert_eq!(machine.step(Event::Verified(Some((7, 55)))), []);
    assert_eq!(machine.step(Event::GuestStopped(Report::Stopped)), [Action::Finish]);
    assert_eq!(machine.step(Event::Connected), []);
}

#[test]
fn kazoo_170_what_was_waited_for_is_read_again_after_a_reconnect() {
    let mut machine = waiting();
    assert_eq!(machine.step(Event::Disconnected), []);
    assert_eq!(machine.step(Event::Connected), [Action::List { name: ME.to_owned() }]);
}

#[test]
fn curator_678_a_release_that_hits_a_connection_loss_is_repeated_until_the_contender_is_gone() {
    let mut machine = leading();
    let delete = [Action::Delete { name: ME.to_owned() }];
    assert_eq!(machine.step(Event::GuestStopped(Report::Done)), delete);
    for _ in 0..50 {
        assert_eq!(machine.step(Event::Disconnected), []);
        assert_eq!(machine.step(Event::Connected), []);
        assert_eq!(machine.step(Event::DeleteUnknown), delete);
    }
    assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures: 0 }]);
}

#[test]
fn a_create_that_succeeded_though_its_reply_was_lost_is_found_by_its_prefix() {
    let mut machine = Election::new(7, OnReturn::Requeue);
    machine.step(Event::Stand { prefix: lock_prefix("a") });
    assert_eq!(machine.step(Event::CreateUnknown), [Action::Look]);
    let children = vec!["b__lock__0000000000".to_owned(), ME.to_owned()];
    assert_eq!(machine.step(Event::Looked(children)), [Action::List { name: ME.to_owned() }]);
}

#[test]
fn a_candidate_that_has_outlived_its_contender_in_the_queue_does_not_lead() {
    let mut machine = waiting();
    assert_eq!(machine.step(Event::WatchFired), [Action::List { name: ME.to_owned() }]);
    let gone = Event::Listed { children: vec!["b__lock__0000000002".to_owned()], own: None };
    assert_eq!(machine.step(gone), [Action::Rest { failures: 0 }]);
}

#[test]
fn kuberhealthy_1533_an_election_that_flaps_fifty_times_is_stood_in_again() {
    let mut machine = leading();
    for _ in 0..50 {
        machine.step(Event::LeaseOver);
        machine.step(Event::GuestStopped(Report::Stopped));
        assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures: 0 }]);
        lead_again(&mut machine);
        assert!(matches!(machine.state(), State::Leading { .. }));
    }
}

#[test]
fn client_go_728_a_guest_that_ignores_the_request_to_stop_keeps_its_contender() {
    let mut machine = leading();
    assert_eq!(machine.step(Event::Leave), [Action::StopGuest(How::Ask)]);
    assert_eq!(machine.step(Event::LeaseOver), [Action::StopGuest(How::Now)]);
    let stopped = machine.step(Event::GuestStopped(Report::Stopped));
    assert_eq!(stopped, [Action::Delete { name: ME.to_owned() }]);
}

// ---- steps ----

fn waiting() -> Election {
    let mut machine = Election::new(7, OnReturn::Requeue);
    machine.step(Event::Stand { prefix: lock_prefix("a") });
    machine.step(Event::Created(ME.to_owned()));
    let children = vec!["b__lock__0000000000".to_owned(), ME.to_owned()];
    machine.step(Event::Listed { children, own: Some((7, 55)) });
    assert!(matches!(machine.state(), State::Waiting { .. }));
    machine
}

fn leading() -> Election {
    let mut machine = Election::new(7, OnReturn::Requeue);
    lead_again(&mut machine);
    machine
}

fn lead_again(machine: &mut Election) {
    machine.step(Event::Stand { prefix: lock_prefix("a") });
    machine.step(Event::Created(ME.to_owned()));
    machine.step(listed(7));
}

/// The queue with nobody but us in it, in a contender that this session owns.
fn listed(owner: i64) -> Event {
    Event::Listed { children: vec![ME.to_owned()], own: Some((owner, 55)) }
}

//! Every invariant can fail: each mutation is caught, by the invariant that is there for it.

use crate::mutations::Mutation;
use crate::world::run;

/// In so many seeds. Most are caught in the first hundred.
const SEEDS: u64 = 20_000;

fn caught(mutation: Mutation, by: &str) {
    let catches = |seed: &u64| run(*seed, Some(mutation), false).is_err_and(|broken| broken.invariant == by);
    let seed = (0..SEEDS).find(catches);
    println!("{mutation:?} breaks {by} first in seed {seed:?}");
    assert!(seed.is_some(), "{mutation:?} does not break {by} in {SEEDS} seeds");
}

// ---- the lease ----

#[test]
fn a_lease_from_the_acknowledgement_outlives_the_session() {
    caught(Mutation::LeaseFromAcknowledgement, "stopped_before_another_can_lead");
}

#[test]
fn a_lease_from_the_newest_heartbeat_outlives_the_session_if_its_follower_is_cut_off() {
    caught(Mutation::NewestHeartbeatVouches, "stopped_before_another_can_lead");
}

#[test]
fn a_lease_vouched_by_send_times_outlives_the_session_if_the_vouching_heartbeat_was_slow() {
    caught(Mutation::VouchedBySendTimes, "stopped_before_another_can_lead");
}

#[test]
fn a_lease_that_trusts_the_clock_outlives_the_session() {
    caught(Mutation::DriftIgnored, "stopped_before_another_can_lead");
}

#[test]
fn a_lease_without_time_to_stop_in_outlives_the_session() {
    caught(Mutation::StopBudgetIgnored, "stopped_before_another_can_lead");
}

#[test]
fn a_lease_from_pings_outlives_the_session_at_a_follower_that_is_cut_off() {
    caught(Mutation::PingsProve, "stopped_before_another_can_lead");
}

#[test]
fn curator_460_a_stop_timer_counted_from_disconnect_is_late() {
    caught(Mutation::LeaseFromDisconnect, "stopped_before_another_can_lead");
}

#[test]
fn a_guest_whose_lease_nobody_ends_executes_on() {
    caught(Mutation::LeaseOverIgnored, "stopped_before_another_can_lead");
}

// ---- the gate and the fence ----

#[test]
fn a_gate_left_open_while_disconnected_lets_unproven_writes_pass() {
    caught(Mutation::GateLeftOpen, "what_passes_the_gate_is_proven");
}

#[test]
fn a_gate_opened_before_the_contender_was_read_lets_unproven_writes_pass() {
    caught(Mutation::GateOpenedUnseen, "what_passes_the_gate_is_proven");
}

#[test]
fn a_write_without_the_check_is_accepted_after_another_leads() {
    caught(Mutation::WriteUnchecked, "no_accepted_write_is_old");
}

#[test]
fn a_number_is_no_token_since_it_falls_at_the_wrap_around() {
    caught(Mutation::TokenFromNumber, "tokens_rise");
}

// ---- the machine ----

#[test]
fn client_go_728_a_contender_deleted_while_its_guest_runs_is_noticed() {
    caught(Mutation::DeleteBeforeStop, "stopped_before_its_contender_is_deleted");
}

#[test]
fn curator_696_a_contender_of_the_previous_session_goes_while_its_guest_runs() {
    caught(Mutation::OwnerNotChecked, "stopped_before_another_can_lead");
}

#[test]
fn kazoo_730_digits_compared_as_text_make_two_leaders_at_the_wrap_around() {
    caught(Mutation::OrderedAsText, "one_live_gate");
    caught(Mutation::OrderedAsText, "a_live_gate_is_first_in_the_queue");
}

#[test]
fn a_create_that_succeeded_and_is_repeated_blindly_leaves_an_orphan() {
    caught(Mutation::BlindRecreate, "no_orphan");
}

#[test]
fn a_create_that_is_looked_for_without_catching_up_leaves_an_orphan() {
    caught(Mutation::LookWithoutSync, "no_orphan");
}

#[test]
fn kazoo_732_and_curator_678_a_delete_that_is_not_repeated_leaves_an_orphan() {
    caught(Mutation::DeleteNotRepeated, "no_orphan");
}

#[test]
fn a_delete_that_is_repeated_before_its_answer_is_a_second_write() {
    caught(Mutation::DeleteRepeatedEarly, "one_write_at_a_time");
}

#[test]
fn kazoo_170_a_waiting_candidate_that_ignores_a_reconnect_is_wedged() {
    caught(Mutation::ReconnectNotReevaluated, "someone_leads");
}

#[test]
fn curator_367_a_candidate_that_ignores_the_loss_of_its_session_after_a_reconnect_is_wedged() {
    caught(Mutation::SessionLossIgnored, "someone_leads");
}

#[test]
fn a_guest_that_was_asked_to_stop_executes_on_if_nobody_watches_its_contender() {
    caught(Mutation::StoppingUnwatched, "an_evicted_guest_is_stopped");
}

#[test]
fn a_machine_that_ends_with_its_session_leaves_its_guest_behind() {
    caught(Mutation::EndsBeforeItsGuest, "the_end_comes_after_the_guests");
}

#[test]
fn a_machine_that_goes_on_after_its_end_is_noticed() {
    caught(Mutation::GoesOnAfterTheEnd, "nothing_follows_the_end");
}

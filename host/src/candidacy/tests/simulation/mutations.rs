//! Deliberate faults, each of which an invariant must catch: in what the host stands on, in what it runs, and in the numbers
//! that it leases by.

use silverback_election::LeaseRule;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// The newest acknowledged heartbeat vouches, though its touch may still wait at the follower, and nothing is left for
    /// stopping.
    NewestHeartbeatVouches,
    /// The clock that the lease is read on stands still.
    ClockStandsStill,
    /// A duty returns while its guest executes on, unknown to the gate.
    GuestLeftBehind,
    /// Writes lose their checks on the way.
    WritesUnchecked,
    /// A create whose reply was lost looks as if it had been refused.
    LostCreatesSeemRefused,
    /// A watch never fires.
    EventsLost,
    /// Later contenders have smaller tokens.
    TokensFall,
}

impl Mutation {
    /// All of them, and what catches each.
    pub(super) const CAUGHT: [(Mutation, &'static str); 7] = [
        (Mutation::NewestHeartbeatVouches, "at_most_one_is_live"),
        (Mutation::ClockStandsStill, "at_most_one_is_live"),
        (Mutation::GuestLeftBehind, "stopped_before_its_contender_is_deleted"),
        (Mutation::WritesUnchecked, "no_old_write_is_accepted"),
        (Mutation::LostCreatesSeemRefused, "no_contender_is_nobodys"),
        (Mutation::EventsLost, "someone_leads"),
        (Mutation::TokensFall, "tokens_rise"),
    ];
}

/// The rule as the host has it.
pub(super) fn rule_of_a_host(right: LeaseRule, mutation: Option<Mutation>) -> LeaseRule {
    let none = std::time::Duration::ZERO;
    match mutation {
        Some(Mutation::NewestHeartbeatVouches) => {
            LeaseRule { tick: none, drift_per_mille: 0, stop_budget: none, margin: none, ..right }
        }
        _ => right,
    }
}

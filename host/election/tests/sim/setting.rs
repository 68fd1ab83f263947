//! What a seed decides once, for a whole run.

use std::time::Duration;

use silverback_election::LeaseRule;

use crate::dice::Dice;
use crate::mutations::Mutation;

/// Microseconds of the ensemble's clock since the run began.
pub(crate) type Time = u64;

pub(crate) const MS: Time = 1000;
pub(crate) const SECOND: Time = 1000 * MS;

/// What kind of faults a run has most of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// All kinds.
    Any,
    /// Those that a lease is there for: a host is cut off when a heartbeat has just been answered.
    Lease,
    /// Operators and contenders come and go, over connections that hold.
    People,
}

/// The numbers of a run.
pub(crate) struct Setting {
    /// The rule by which a right host leases.
    pub(crate) rule: LeaseRule,
    pub(crate) theme: Theme,
    pub(crate) hosts: usize,
    /// The longest time between two turns of a guest.
    pub(crate) guest_gap: Time,
    /// Where the counter of the election's path stands.
    pub(crate) counter: i32,
    /// How many messages in a thousand are slow.
    pub(crate) slow_per_mille: u64,
    /// The mean time between two faults.
    pub(crate) fault_gap: Time,
    /// When faults are over.
    pub(crate) calm_at: Time,
    pub(crate) mutation: Option<Mutation>,
}

impl Setting {
    pub(crate) fn roll(dice: &mut Dice, mutation: Option<Mutation>) -> Self {
        let rule = valid_rule(dice);
        let timeout = rule.timeout.as_micros() as Time;
        Setting {
            rule,
            theme: dice.pick(&[Theme::Any, Theme::Any, Theme::Any, Theme::Lease, Theme::Lease, Theme::People]),
            guest_gap: timeout / dice.pick(&[1, 4]),
            hosts: dice.between(2, 4) as usize,
            counter: if dice.chance(400) { i32::MAX - dice.between(0, 6) as i32 } else { dice.between(0, 9999) as i32 },
            slow_per_mille: dice.pick(&[0, 20, 100, 300]),
            fault_gap: timeout / dice.pick(&[1, 2, 4]),
            calm_at: timeout * dice.between(4, 9),
            mutation,
        }
    }

    /// T.
    pub(crate) fn timeout(&self) -> Time {
        self.rule.timeout.as_micros() as Time
    }

    /// The ensemble's tickTime.
    pub(crate) fn tick(&self) -> Time {
        self.rule.tick.as_micros() as Time
    }

    pub(crate) fn stop_budget(&self) -> Time {
        self.rule.stop_budget.as_micros() as Time
    }

    /// What is left to late timers.
    pub(crate) fn margin(&self) -> Time {
        self.rule.margin.as_micros() as Time
    }

    /// The longest that one message takes between a host and a server, or lies at the host before it is looked at.
    pub(crate) fn slowest(&self) -> Time {
        self.timeout() / 4
    }

    /// How long after the last fault somebody must lead: a session is given up by its client after 7/5 of T, by the
    /// ensemble after T and a tick; a leader steps down within its grace; then a host rests, stands and reads.
    pub(crate) fn patience(&self) -> Time {
        6 * self.timeout() + 12 * SECOND
    }

    /// The rule as the host has it.
    pub(crate) fn rule_of_a_host(&self) -> LeaseRule {
        let none = Duration::ZERO;
        match self.mutation {
            Some(Mutation::DriftIgnored) => LeaseRule { drift_per_mille: 0, ..self.rule },
            Some(Mutation::StopBudgetIgnored) => LeaseRule { stop_budget: none, margin: none, ..self.rule },
            Some(Mutation::LeaseFromAcknowledgement | Mutation::NewestHeartbeatVouches) => {
                LeaseRule { tick: none, ..self.rule }
            }
            _ => self.rule,
        }
    }

    pub(crate) fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}

fn valid_rule(dice: &mut Dice) -> LeaseRule {
    loop {
        let rule = LeaseRule {
            timeout: Duration::from_secs(dice.pick(&[4, 6, 10])),
            tick: Duration::from_millis(dice.pick(&[500, 1000, 2000])),
            drift_per_mille: dice.pick(&[10, 50, 100]),
            stop_budget: Duration::from_millis(dice.pick(&[50, 100, 400])),
            margin: Duration::from_millis(dice.pick(&[20, 100])),
        };
        if rule.check().is_ok() {
            return rule;
        }
    }
}

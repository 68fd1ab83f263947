//! How long a host may act on a term without hearing from the ensemble.
//!
//! The ensemble's leader expires a session T after the last touch that it saw, rounded up to a tick. A host must have
//! stopped by then, so it counts from the moment just *before* it handed a heartbeat to the client, and only heartbeats
//! whose quorum write was acknowledged count. A follower keeps the touch of a request to itself until it next answers
//! the leader's own ping, every half tick; so the touch that vouches is not that of the newest acknowledged heartbeat, but
//! of the newest that had been answered at least one tick before that one was sent. When it was sent says nothing about
//! when it reached the follower: on a slow connection that may be a moment before its successor does.
//!
//! All times are durations on one clock that counts suspend and never jumps.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// The numbers that a lease is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRule {
    /// T: the session's negotiated timeout.
    pub timeout: Duration,
    /// The ensemble's tickTime.
    pub tick: Duration,
    /// How much this machine's clock may run slow against the servers', in parts per thousand.
    pub drift_per_mille: u32,
    /// How long closing the gate and trapping the guest may take.
    pub stop_budget: Duration,
    /// What is left for what the other numbers leave out: scheduling of threads and timers.
    pub margin: Duration,
}

/// Why a rule leaves no lease to work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// T is below two ticks; the server would not grant it.
    TimeoutBelowTwoTicks {
        /// T, in milliseconds.
        timeout_ms: u128,
        /// The tick, in milliseconds.
        tick_ms: u128,
    },
    /// Clocks that bad can't be leased on.
    DriftTooLarge {
        /// In parts per thousand.
        drift_per_mille: u32,
    },
    /// What is left is shorter than three heartbeats, so a single late one would end a term.
    NothingLeft {
        /// The numbers.
        rule: LeaseRule,
        /// What is left, in milliseconds; 0 where nothing is.
        left_ms: u128,
        /// What is needed, in milliseconds.
        needed_ms: u128,
    },
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleError::TimeoutBelowTwoTicks { timeout_ms, tick_ms } => {
                write!(f, "session timeout of {timeout_ms} ms is below two ticks of {tick_ms} ms")
            }
            RuleError::DriftTooLarge { drift_per_mille } => {
                write!(f, "clock drift of {drift_per_mille} per mille is over 100 per mille")
            }
            RuleError::NothingLeft { rule, left_ms, needed_ms } => write!(
                f,
                "session timeout of {} ms less tick of {} ms, drift of {} per mille, stop budget of {} ms and margin of {} ms \
                 leaves {left_ms} ms of lease after a heartbeat, {needed_ms} ms are needed",
                rule.timeout.as_millis(),
                rule.tick.as_millis(),
                rule.drift_per_mille,
                rule.stop_budget.as_millis(),
                rule.margin.as_millis(),
            ),
        }
    }
}

impl std::error::Error for RuleError {}

impl LeaseRule {
    /// A quartz is a hundred times better; a virtual machine's clock may not be.
    pub const DRIFT_PER_MILLE: u32 = 10;
    /// A guest is trapped within two turns of an epoch of 5 ms; the rest is for a machine that is busy.
    pub const STOP_BUDGET: Duration = Duration::from_millis(100);
    /// What a thread or a timer may be late.
    pub const MARGIN: Duration = Duration::from_millis(100);

    /// With the defaults for what a host seldom sets.
    ///
    /// # Errors
    /// Where the numbers leave no lease.
    pub fn new(timeout: Duration, tick: Duration) -> Result<Self, RuleError> {
        let rule = LeaseRule {
            timeout,
            tick,
            drift_per_mille: Self::DRIFT_PER_MILLE,
            stop_budget: Self::STOP_BUDGET,
            margin: Self::MARGIN,
        };
        rule.check().map(|()| rule)
    }

    /// How often a heartbeat is sent: six in a timeout.
    pub fn interval(&self) -> Duration {
        self.timeout / 6
    }

    /// True to the numbers, or why not.
    ///
    /// # Errors
    /// Where the numbers leave no lease.
    pub fn check(&self) -> Result<(), RuleError> {
        if self.timeout < self.tick.saturating_mul(2) {
            let (timeout_ms, tick_ms) = (self.timeout.as_millis(), self.tick.as_millis());
            return Err(RuleError::TimeoutBelowTwoTicks { timeout_ms, tick_ms });
        }
        if self.drift_per_mille > 100 {
            return Err(RuleError::DriftTooLarge { drift_per_mille: self.drift_per_mille });
        }
        // The heartbeat that vouches was answered up to a tick and an interval before the newest acknowledged one was sent.
        let left = self.length().saturating_sub(self.tick.saturating_add(self.interval()));
        let needed = self.interval() * 3 / 2;
        if left < needed {
            return Err(RuleError::NothingLeft {
                rule: *self,
                left_ms: left.as_millis(),
                needed_ms: needed.as_millis(),
            });
        }
        Ok(())
    }

    /// How long after the vouching heartbeat was sent the guest must be told to stop: T (1 - drift) - stop budget - margin.
    pub fn length(&self) -> Duration {
        let slow = self.timeout.saturating_mul(self.drift_per_mille) / 1000;
        self.timeout.saturating_sub(slow.saturating_add(self.stop_budget).saturating_add(self.margin))
    }
}

/// A heartbeat that a quorum has written.
#[derive(Clone, Copy, Debug)]
struct Proven {
    sent: Duration,
    answered: Duration,
}

/// The heartbeats of one session, and what they prove.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    rule: LeaseRule,
    /// The newest send time whose touch the ensemble's leader is known to have seen.
    vouching: Duration,
    /// Acknowledged heartbeats in the order of their answers; those that can no longer matter are dropped.
    proven: VecDeque<Proven>,
    /// When the newest acknowledged one was sent.
    newest: Duration,
}

impl Heartbeats {
    /// None sent yet. The session was opened by a request handed to the client at `opening`: creating a session is a
    /// quorum write that starts its time-out at the ensemble's leader itself, so it vouches at once.
    pub fn new(rule: LeaseRule, opening: Duration) -> Self {
        Heartbeats { rule, vouching: opening, proven: VecDeque::new(), newest: opening }
    }

    /// A heartbeat that was sent at `sent` has been acknowledged by the quorum, which was noticed at `answered`.
    pub fn acknowledged(&mut self, sent: Duration, answered: Duration) {
        self.newest = self.newest.max(sent);
        self.proven.push_back(Proven { sent, answered });
        while let Some(oldest) = self.proven.front().filter(|oldest| oldest.answered + self.rule.tick <= self.newest) {
            self.vouching = self.vouching.max(oldest.sent);
            self.proven.pop_front();
        }
    }

    /// When the guest must be told to stop, on the clock of the send times. Never moves back.
    pub fn stop_at(&self) -> Duration {
        self.vouching + self.rule.length()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn rule() -> LeaseRule {
        LeaseRule::new(ms(6000), ms(2000)).unwrap()
    }

    /// The send time of the heartbeat that vouches, given when heartbeats were sent and answered.
    fn vouching(acknowledged: &[(u64, u64)]) -> Duration {
        let mut beats = Heartbeats::new(rule(), ms(9_000));
        for (sent, answered) in acknowledged {
            beats.acknowledged(ms(*sent), ms(*answered));
        }
        beats.stop_at() - rule().length()
    }

    #[test]
    fn a_heartbeat_proves_nothing_for_a_tick_since_its_touch_may_wait_at_the_follower() {
        assert_eq!(vouching(&[]), ms(9_000));
        assert_eq!(vouching(&[(10_000, 10_010), (11_000, 11_010)]), ms(9_000));
        assert_eq!(vouching(&[(10_000, 10_010), (11_000, 11_010), (12_010, 12_020)]), ms(10_000));
    }

    #[test]
    fn the_lease_counts_from_the_newest_heartbeat_that_was_answered_a_tick_before_the_newest_was_sent() {
        let sent = [10_000, 11_000, 12_000, 13_000, 13_500, 14_100];
        assert_eq!(vouching(&sent.map(|sent| (sent, sent + 10))), ms(12_000));
    }

    #[test]
    fn a_heartbeat_that_was_long_on_its_way_vouches_a_tick_after_its_answer_not_after_it_was_sent() {
        assert_eq!(vouching(&[(10_000, 12_900), (13_000, 13_010)]), ms(9_000));
        assert_eq!(vouching(&[(10_000, 12_900), (13_000, 13_010), (14_900, 14_910)]), ms(10_000));
    }

    #[test]
    fn an_acknowledgement_out_of_order_never_moves_the_lease_back() {
        assert_eq!(vouching(&[(10_000, 10_010), (13_000, 13_010), (11_000, 13_020)]), ms(10_000));
    }

    #[test]
    fn the_lease_ends_before_the_server_can_expire_the_session_whatever_the_clock_does() {
        let rule = rule();
        // A clock that is slow by the bound takes longer in server time to get to the end.
        let in_server_time = rule.length() * 1000 / (1000 - rule.drift_per_mille);
        assert!(in_server_time + rule.stop_budget < rule.timeout);
    }

    #[test]
    fn numbers_that_leave_no_lease_are_refused_by_name() {
        let refused = |timeout, tick| LeaseRule::new(ms(timeout), ms(tick)).unwrap_err().to_string();
        assert_eq!(refused(3000, 2000), "session timeout of 3000 ms is below two ticks of 2000 ms");
        let slow_to_stop = LeaseRule { timeout: ms(4000), stop_budget: ms(300), ..rule() };
        assert_eq!(
            slow_to_stop.check().unwrap_err().to_string(),
            "session timeout of 4000 ms less tick of 2000 ms, drift of 10 per mille, stop budget of 300 ms and margin of 100 ms \
             leaves 893 ms of lease after a heartbeat, 999 ms are needed"
        );
        assert!(LeaseRule::new(ms(4000), ms(500)).is_ok());
        let drifting = LeaseRule { drift_per_mille: 101, ..rule() };
        assert_eq!(drifting.check().unwrap_err().to_string(), "clock drift of 101 per mille is over 100 per mille");
        let endless = LeaseRule { timeout: Duration::MAX, tick: Duration::MAX, margin: Duration::MAX, ..rule() };
        assert!(endless.check().is_err());
    }

    proptest::proptest! {
        #[test]
        fn the_vouching_heartbeat_was_answered_a_tick_before_the_newest_was_sent(
            beats in proptest::collection::vec((1..3000u64, 1..3000u64), 1..60),
        ) {
            let rule = rule();
            let opening = ms(99_000);
            let mut heartbeats = Heartbeats::new(rule, opening);
            let (mut now, mut before) = (ms(100_000), Vec::new());
            for (gap, trip) in beats {
                let sent = now + ms(gap);
                now = sent + ms(trip);
                heartbeats.acknowledged(sent, now);
                let old = before.iter().rev().find(|(_, answered)| *answered + rule.tick <= sent);
                proptest::prop_assert_eq!(heartbeats.stop_at(), old.map_or(opening, |(sent, _)| *sent) + rule.length());
                before.push((sent, now));
            }
        }
    }
}

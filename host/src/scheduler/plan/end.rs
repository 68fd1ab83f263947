//! How a run ends, and whether it is tried again.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::admit::Draft;
use super::skip::Reason;
use super::state::{Active, JobState, Kept, Occasion, Phase, span_ms};
use super::{Decision, Rules, Term, later, millis};
use crate::history::Outcome;
use crate::registry::{Delivery, Retry, RetryOn};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The function returned a result.
    Succeeded,
    /// It failed.
    Failed {
        /// The component says that another try may pass.
        retryable: bool,
    },
    /// It ran longer than its limit.
    TimedOut,
    /// It was stopped: a later tick took its place, or the job was deleted.
    Cancelled,
    /// It was stopped with its term.
    LostLeadership,
}

impl End {
    /// As it is recorded.
    pub fn outcome(self) -> Outcome {
        match self {
            End::Succeeded => Outcome::Succeeded,
            End::Failed { .. } | End::Cancelled => Outcome::Failed,
            End::TimedOut => Outcome::TimedOut,
            End::LostLeadership => Outcome::LostLeadership,
        }
    }

    /// Whether another attempt follows where failures are tried again `on` these.
    fn is_tried_again(self, on: RetryOn) -> bool {
        match (self, on) {
            (End::Failed { retryable: true }, RetryOn::Retryable | RetryOn::All) => true,
            (End::Failed { retryable: false } | End::TimedOut, on) => on == RetryOn::All,
            (End::Succeeded | End::Cancelled | End::LostLeadership, RetryOn::Retryable | RetryOn::All) => false,
        }
    }
}

/// The run that `nonce` began ended at `now`. What came while it was under way is decided first, so nothing depends on how
/// often the driver looked meanwhile. None where no such run is under way: it was settled already.
pub fn ended(
    state: &JobState,
    rules: &Rules<'_>,
    term: &Term,
    nonce: u32,
    end: End,
    detail: &str,
    now: Timestamp,
) -> Option<Decision> {
    state.begun(nonce)?;
    let mut draft = Draft::of(state, rules, term, now);
    if state.paused.is_none() {
        draft.admit(now);
    }
    let at = draft.state.active.iter().position(|active| active.nonce() == Some(nonce))?;
    let run = draft.state.active.remove(at);
    draft.tell(over(&run, end.outcome(), now, detail.to_owned()));
    draft.follow(&run, at, end);
    Some(draft.decide(None))
}

/// An attempt that was under way is over.
pub(super) fn over(run: &Active, outcome: Outcome, ended: Timestamp, detail: String) -> Kept {
    let took_ms = match run.phase {
        Phase::Begun { at, .. } => span_ms(at, ended),
        Phase::Waiting { .. } => 0,
    };
    Kept { of: run.of.clone(), attempt: run.attempt, outcome, ended, took_ms, detail }
}

impl Draft<'_> {
    /// What follows the end of a run that stood at this place among those under way.
    fn follow(&mut self, run: &Active, at: usize, end: End) {
        let again = match (end, self.rules.policies.retry, self.rules.policies.delivery) {
            (End::LostLeadership, _, Delivery::AtLeastOnce) => Some(self.now),
            (_, Some(retry), _) if run.attempt <= retry.count && end.is_tried_again(retry.on) => {
                Some(later(self.now, millis(wait_ms(&retry, &run.of, run.attempt))))
            }
            (_, _, Delivery::AtMostOnce | Delivery::AtLeastOnce) => None,
        };
        let attempt = run.attempt.saturating_add(1);
        match again {
            Some(until) if !self.rules.is_too_late(&run.of, until) => {
                let next = Active { of: run.of.clone(), attempt, phase: Phase::Waiting { until } };
                self.state.active.insert(at, next);
            }
            Some(_) => {
                self.give_up(run.of.clone(), attempt, Reason::TooLate);
                self.count(end);
            }
            None => self.count(end),
        }
    }

    /// A run is over for good.
    fn count(&mut self, end: End) {
        match end {
            End::Succeeded => self.state.failures = 0,
            End::Failed { .. } | End::TimedOut => self.state.failures = self.state.failures.saturating_add(1),
            // Not the component's doing.
            End::Cancelled | End::LostLeadership => return,
        }
        let failures = self.state.failures;
        if self.rules.policies.pause_after_failures.is_some_and(|most| failures >= most) && self.state.paused.is_none()
        {
            self.state.pause(self.now, format!("{failures} runs in a row failed"));
        }
    }
}

/// How long after a failed attempt the next begins, in milliseconds: the same for the same attempt, whoever computes it.
pub(super) fn wait_ms(retry: &Retry, of: &Occasion, attempt: u32) -> u64 {
    let growth = u64::from(retry.factor).saturating_pow(attempt.saturating_sub(1));
    let wait = retry.first_ms.saturating_mul(growth).min(retry.max_ms);
    wait + share(of, attempt) % (retry.jitter_ms + 1)
}

fn share(of: &Occasion, attempt: u32) -> u64 {
    let name = match of {
        Occasion::Tick(tick) | Occasion::Backfill(tick) => tick.as_second().to_string(),
        Occasion::Order(name) => name.clone(),
    };
    let hash = Sha256::digest(format!("{name}/{attempt}"));
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

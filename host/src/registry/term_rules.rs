//! What a leader job says of its terms: when one may begin after another, how long one lasts, how it is asked to end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::validate::SpecError;

/// The longest lock delay: ten times what a request to another system usually takes to be given up.
const MAX_LOCK_DELAY_MS: u64 = 10 * 60 * 1000;
/// The shortest term that a leader may be held to: twice the shortest time between two terms of a host.
const MIN_MAX_TERM_MS: u64 = 2000;
/// Thirty days.
const MAX_MAX_TERM_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// An hour; the host's own drain grace bounds it further.
const MAX_GRACE_MS: u64 = 60 * 60 * 1000;

/// The reasons of the refusals, for whoever reads the text of a duration.
pub(super) const LOCK_DELAY_BOUNDS: &str = "it must be from 0s to 10m";
pub(super) const MAX_TERM_BOUNDS: &str = "it must be from 2s to 720h";
pub(super) const GRACE_BOUNDS: &str = "it must be from 0s to 1h";

/// Rules of a leader job's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermRules {
    /// How long a leader waits before it starts the guest where the term before it had no clean end, in milliseconds (the
    /// lock-delay of Chubby and Consul): time for what the guest before had under way elsewhere to arrive or fail.
    #[serde(default)]
    pub lock_delay_ms: u64,
    /// How long a term lasts before its leader steps down, in milliseconds. None: as long as it can.
    #[serde(default)]
    pub max_term_ms: Option<u64>,
    /// How long the guest has to return after it was asked to stop, in milliseconds. None: what the host gives, which is also
    /// the most.
    #[serde(default)]
    pub grace_ms: Option<u64>,
}

impl TermRules {
    /// How long a leader waits after an unclean end; zero where it doesn't.
    pub fn lock_delay(&self) -> Duration {
        Duration::from_millis(self.lock_delay_ms)
    }

    /// How long a term lasts at the most.
    pub fn max_term(&self) -> Option<Duration> {
        self.max_term_ms.map(Duration::from_millis)
    }

    /// How long the guest has to return, on a host that gives `host` at the most.
    pub fn grace(&self, host: Duration) -> Duration {
        self.grace_ms.map_or(host, |grace| Duration::from_millis(grace).min(host))
    }

    /// Whether the numbers can be, for the job of this name.
    pub(super) fn validate(&self, job: &str) -> Result<(), SpecError> {
        let refuse = |field, ms: u64, why: &str| Err(SpecError::invalid(job, field, &format!("{ms} ms"), why));
        if self.lock_delay_ms > MAX_LOCK_DELAY_MS {
            return refuse("lock_delay", self.lock_delay_ms, LOCK_DELAY_BOUNDS);
        }
        if let Some(grace) = self.grace_ms.filter(|grace| *grace > MAX_GRACE_MS) {
            return refuse("grace", grace, GRACE_BOUNDS);
        }
        match self.max_term_ms {
            Some(max_term) if !(MIN_MAX_TERM_MS..=MAX_MAX_TERM_MS).contains(&max_term) => {
                refuse("max_term", max_term, MAX_TERM_BOUNDS)
            }
            // Nobody would ever get as far as starting the guest.
            Some(max_term) if self.lock_delay_ms >= max_term => {
                let why = format!("it must be shorter than max_term, which is {max_term} ms");
                refuse("lock_delay", self.lock_delay_ms, &why)
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_grace_is_bounded_by_the_hosts() {
        let grace = |grace_ms| TermRules { grace_ms, ..TermRules::default() }.grace(Duration::from_secs(5));
        assert_eq!(grace(None), Duration::from_secs(5));
        assert_eq!(grace(Some(0)), Duration::ZERO);
        assert_eq!(grace(Some(1000)), Duration::from_secs(1));
        assert_eq!(grace(Some(60_000)), Duration::from_secs(5));
    }
}

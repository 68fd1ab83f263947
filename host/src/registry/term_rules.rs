//! What a leader job says of its terms: when one may begin after another, how long one lasts, how it is asked to end, and
//! which hosts should lead.

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
/// The most hosts that a job prefers.
const MAX_PREFERRED: usize = 16;
/// A host that has just come back may go again, and one that died stands in the queue until its session ends: half a minute
/// outlasts both as a rule, and nobody waits for a preference.
const PREFER_AFTER_MS: u64 = 30_000;
/// As long as the shortest time between two terms of a host.
const MIN_PREFER_AFTER_MS: u64 = 1000;
/// A day.
const MAX_PREFER_AFTER_MS: u64 = 24 * 60 * 60 * 1000;

/// The reasons of the refusals, for whoever reads the text of a duration.
pub(super) const LOCK_DELAY_BOUNDS: &str = "it must be from 0s to 10m";
pub(super) const MAX_TERM_BOUNDS: &str = "it must be from 2s to 720h";
pub(super) const GRACE_BOUNDS: &str = "it must be from 0s to 1h";
pub(super) const PREFER_AFTER_BOUNDS: &str = "it must be from 1s to 24h";

/// Rules of a leader job's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The hosts that should lead, the most preferred first; a host that is not named is preferred least. The queue's order
    /// stays as it is: a leader makes way for a more preferred host that stands behind it. A name that no host has is no
    /// error, a host may come.
    #[serde(default)]
    pub prefer: Vec<String>,
    /// How long a more preferred host has to stand behind a leader before that makes way, in milliseconds. None: half a
    /// minute.
    #[serde(default)]
    pub prefer_after_ms: Option<u64>,
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

    /// The hosts that are preferred to `host`, the most preferred first.
    pub fn preferred_to(&self, host: &str) -> &[String] {
        let rank = self.prefer.iter().position(|name| name == host);
        &self.prefer[..rank.unwrap_or(self.prefer.len())]
    }

    /// How long one of them has to stand behind a leader before that makes way.
    pub fn prefer_after(&self) -> Duration {
        Duration::from_millis(self.prefer_after_ms.unwrap_or(PREFER_AFTER_MS))
    }

    /// Whether they can be, for the job of this name.
    pub(super) fn validate(&self, job: &str) -> Result<(), SpecError> {
        self.validate_times(job)?;
        self.validate_preference(job)
    }

    fn validate_times(&self, job: &str) -> Result<(), SpecError> {
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

    fn validate_preference(&self, job: &str) -> Result<(), SpecError> {
        let refuse = |field, value: &str, why: &str| Err(SpecError::invalid(job, field, value, why));
        if self.prefer.len() > MAX_PREFERRED {
            let value = format!("{} hosts", self.prefer.len());
            return refuse("prefer", &value, &format!("the limit is {MAX_PREFERRED}"));
        }
        for (at, host) in self.prefer.iter().enumerate() {
            if let Err(why) = crate::config::check_name(host) {
                return refuse("prefer", host, why);
            }
            if self.prefer[..at].contains(host) {
                return refuse("prefer", host, "it is named twice");
            }
        }
        let Some(after) = self.prefer_after_ms else { return Ok(()) };
        let value = format!("{after} ms");
        if !(MIN_PREFER_AFTER_MS..=MAX_PREFER_AFTER_MS).contains(&after) {
            return refuse("prefer_after", &value, PREFER_AFTER_BOUNDS);
        }
        if self.prefer.is_empty() { refuse("prefer_after", &value, "it means nothing without prefer") } else { Ok(()) }
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

    #[test]
    fn whoever_is_named_before_a_host_is_preferred_to_it_and_all_that_are_named_to_one_that_is_not() {
        let rules = TermRules { prefer: ["b", "a"].map(str::to_owned).to_vec(), ..TermRules::default() };
        assert_eq!(rules.preferred_to("b"), [""; 0]);
        assert_eq!(rules.preferred_to("a"), ["b"]);
        assert_eq!(rules.preferred_to("c"), ["b", "a"]);
        assert_eq!(TermRules::default().preferred_to("c"), [""; 0]);
        assert_eq!(rules.prefer_after(), Duration::from_secs(30));
    }
}

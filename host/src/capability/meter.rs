//! What one run has used of what it may use: where a capability gives something that is limited, it says so here.
//!
//! What goes over a limit is remembered, and ends the run whether or not the guest hears of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::registry::{Limit, OverLimit, RunLimits};

/// One run's.
#[derive(Debug)]
pub struct Meter {
    limits: RunLimits,
    calls: AtomicU64,
    transferred: AtomicU64,
    random: AtomicU64,
    over: OnceLock<OverLimit>,
}

impl Meter {
    /// Of a run that may use so much.
    pub fn new(limits: RunLimits) -> Arc<Self> {
        let [calls, transferred, random] = Default::default();
        Arc::new(Meter { limits, calls, transferred, random, over: OnceLock::new() })
    }

    /// What the run may use.
    pub fn limits(&self) -> &RunLimits {
        &self.limits
    }

    /// The guest called the host.
    pub fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it did.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The host takes so many bytes from the guest.
    ///
    /// # Errors
    /// Where they are too many over the run.
    pub fn take(&self, bytes: usize) -> Result<(), OverLimit> {
        self.count(&self.transferred, Limit::TransferBytes, bytes)
    }

    /// The host gives the guest so many random bytes.
    ///
    /// # Errors
    /// Where they are too many over the run.
    pub fn give_random(&self, bytes: usize) -> Result<(), OverLimit> {
        self.count(&self.random, Limit::RandomBytes, bytes)
    }

    /// Whether a number of things is within a limit.
    ///
    /// # Errors
    /// Where it isn't.
    pub fn hold(&self, limit: Limit, used: u64) -> Result<(), OverLimit> {
        match self.limits.get(limit) {
            Some(most) if used > most => {
                let over = OverLimit { limit, used: Some(used), most };
                Err(*self.over.get_or_init(|| over))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The first limit that was passed.
    pub fn over(&self) -> Option<OverLimit> {
        self.over.get().copied()
    }

    fn count(&self, counter: &AtomicU64, limit: Limit, bytes: usize) -> Result<(), OverLimit> {
        let used = counter.fetch_add(bytes as u64, Ordering::Relaxed).saturating_add(bytes as u64);
        self.hold(limit, used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Ceilings, Limits};

    #[test]
    fn the_first_limit_that_is_passed_is_remembered() {
        let limits = Limits::LEADER.with(Limit::TransferBytes, 1024).with(Limit::RandomBytes, 2048);
        let meter = Meter::new(limits.of_run(false, &Ceilings::NONE));
        assert_eq!((meter.take(1000), meter.take(24)), (Ok(()), Ok(())));
        assert_eq!(meter.over(), None);
        let over = OverLimit { limit: Limit::TransferBytes, used: Some(1025), most: 1024 };
        assert_eq!(meter.take(1), Err(over));
        assert_eq!(meter.give_random(4096), Err(over), "the first one is told");
        assert_eq!(meter.over(), Some(over));
        assert_eq!(meter.hold(Limit::Fuel, u64::MAX), Ok(()), "no limit");
    }
}

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

    /// The host takes so many bytes from the guest, or gives it so many.
    ///
    /// # Errors
    /// Where they are too many over the run.
    pub fn transfer(&self, bytes: usize) -> Result<(), OverLimit> {
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
    use std::collections::BTreeMap;

    use wasmtime::component::Resource;

    use super::*;
    use crate::capability::bindings::silverback::leader::leadership;
    use crate::capability::bindings::wasi::config::store as config;
    use crate::capability::bindings::wasi::keyvalue::{batch, store};
    use crate::capability::fakes::grants;
    use crate::capability::host::Host;
    use crate::capability::state::StateMode;
    use crate::registry::{Ceilings, Limits};

    #[test]
    fn the_first_limit_that_is_passed_is_remembered() {
        let limits = Limits::LEADER.with(Limit::TransferBytes, 1024).with(Limit::RandomBytes, 2048);
        let meter = Meter::new(limits.of_run(false, &Ceilings::NONE));
        assert_eq!((meter.transfer(1000), meter.transfer(24)), (Ok(()), Ok(())));
        assert_eq!(meter.over(), None);
        let over = OverLimit { limit: Limit::TransferBytes, used: Some(1025), most: 1024 };
        assert_eq!(meter.transfer(1), Err(over));
        assert_eq!(meter.give_random(4096), Err(over), "the first one is told");
        assert_eq!(meter.over(), Some(over));
        assert_eq!(meter.hold(Limit::Fuel, u64::MAX), Ok(()), "no limit");
    }

    /// What a guest asks for is the host's to hold until the guest has it.
    #[tokio::test]
    async fn what_a_run_is_given_counts_as_what_is_taken_from_it() {
        const ALL: [&str; 7] =
            ["a value of the config", "the config", "a key", "keys", "the names of keys", "a change", "the queue"];
        let of_600 = || "x".repeat(600);
        for what in ALL {
            let (mut grants, session) = grants(StateMode::Immediate);
            grants.config = BTreeMap::from([("k".to_owned(), of_600())]);
            grants.contenders = Arc::new(move || Box::pin(async move { Ok(vec![(of_600(), true)]) }));
            grants.meter = Meter::new(Limits::LEADER.with(Limit::TransferBytes, 1024).of_run(false, &Ceilings::NONE));
            for name in ["k", &"x".repeat(200), &"y".repeat(200), &"z".repeat(200)] {
                session.put(&format!("{}/{name}", grants.state_path), of_600().as_bytes());
            }
            let mut host = Host::new(grants);
            let (bucket, key) = (|| Resource::new_own(0), || "k".to_owned());
            let mut ask = async || match what {
                "a value of the config" => config::Host::get(&mut host, key()).await.map(drop),
                "the config" => config::Host::get_all(&mut host).await.map(drop),
                "a key" => store::HostBucket::get(&mut host, bucket(), key()).await.map(drop),
                "keys" => batch::Host::get_many(&mut host, bucket(), vec![key()]).await.map(drop),
                "the names of keys" => store::HostBucket::list_keys(&mut host, bucket(), None).await.map(drop),
                "a change" => leadership::Host::wait_for_change(&mut host, key(), None, 60_000).await.map(drop),
                _ => leadership::Host::contenders(&mut host).await.map(drop),
            };
            assert!(ask().await.is_ok(), "{what}");
            let over = ask().await.expect_err(what);
            assert_eq!(over.downcast_ref::<OverLimit>().unwrap().limit, Limit::TransferBytes, "{what}");
        }
    }
}

//! The life of a group of scheduled jobs above the coordinator trait: the host's own scheduler, from terms and keepers down to
//! the multis, on a coordinator in memory and with guests that only pretend. Time is virtual, so years pass in seconds; hosts
//! die before and after any request, replies are lost, and every commit is held against the oracle.

mod guest;
mod host;
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use silverback::clock::Clock;
use silverback::config::Layout;
use silverback::coordinator::{Coordinator, Embedded, Session, Sessions, ensure_path};
use silverback::registry::{Digest, JobFile, Jobs, Registry};
use tokio::sync::watch;
use tokio::time::Instant;

use self::host::Host;
use self::wire::{Faults, Log, Wire};
use crate::chance::Chance;
use crate::ledger::{Ledger, Verdict};

const ROOT: &str = "/silverback";
/// When the first day begins.
const START: &str = "2026-01-01T00:00:00Z";
/// Longer than any life: sessions end when the world says so.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
const PATIENCE: Duration = Duration::from_secs(10);

/// Everybody's clock. (What clocks that differ make of it is seen in the simulation of the scheduler's core.)
#[derive(Clone, Copy)]
struct VirtualClock {
    began: Instant,
    at: Timestamp,
}

impl VirtualClock {
    /// Begins so many days after the first.
    fn after(days: usize) -> Self {
        let start: Timestamp = START.parse().unwrap();
        VirtualClock { began: Instant::now(), at: start + Duration::from_secs(24 * 3600 * days as u64) }
    }
}

impl Clock for VirtualClock {
    fn boot(&self) -> Duration {
        Duration::from_secs(1000) + self.began.elapsed()
    }

    fn wall(&self) -> Timestamp {
        self.at + self.began.elapsed()
    }
}

/// A cluster of one group.
struct World {
    clock: VirtualClock,
    embedded: Arc<Embedded>,
    onlooker: Arc<dyn Session>,
    layout: Layout,
    jobs: watch::Receiver<Jobs>,
    log: Log,
    chance: Chance,
    hosts: u32,
    /// How often a host died.
    deaths: u32,
}

impl World {
    /// With these jobs (keys of job.toml), so many days after the first.
    async fn new(jobs: &[&str], chance: Chance, days: usize) -> Self {
        let clock = VirtualClock::after(days);
        let embedded = Arc::new(Embedded::in_memory(Arc::new(clock), FOR_EVER));
        let coordinator: Arc<dyn Coordinator> = embedded.clone();
        let sessions = Sessions::open(coordinator, PATIENCE).await.unwrap();
        let (layout, log) = (Layout::new(ROOT), Log::default());
        let registry = Registry::new(sessions, layout.clone());
        for (number, keys) in jobs.iter().enumerate() {
            let text = format!(
                "tenant = \"acme\"\nname = \"job-{number}\"\ncomponent = \"c.wasm\"\ntrigger = \"schedule\"\n{keys}\n"
            );
            let spec = JobFile::parse(&text, std::path::Path::new("")).unwrap().into_spec(Digest::of(b"pretended"));
            registry.apply(&spec).await.unwrap();
            log.stored(&layout, &spec, clock.wall());
        }
        let jobs = registry.follow().await;
        let onlooker = embedded.connect(PATIENCE).await.unwrap();
        ensure_path(onlooker.as_ref(), &layout.group(0)).await.unwrap();
        World { clock, embedded, onlooker, layout, jobs, log, chance, hosts: 0, deaths: 0 }
    }

    /// One host leads the group for `lasts`, or until it dies of these faults. True where it lived.
    async fn term(&mut self, lasts: Duration, faults: Faults) -> bool {
        self.hosts += 1;
        let name = format!("h{}", self.hosts);
        let session = self.embedded.connect(PATIENCE).await.unwrap();
        let wire = Wire::new(session, self.log.clone(), self.clock, faults);
        let host = Host::lead(&name, wire.clone(), self).await;
        let lives = tokio::time::timeout(lasts, wire.died()).await.is_err();
        if lives {
            host.drain().await;
        } else {
            self.deaths += 1;
            host.end().await;
        }
        lives
    }

    /// Nobody leads, at most for so many seconds.
    async fn outage(&mut self, seconds: usize) {
        let pause = self.chance.below(seconds * 1000) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// What all that was committed by now comes to. Everything that began to be looked for did so `before` now.
    fn verdict(&self, before: Duration) -> Verdict {
        let until = self.clock.wall() - jiff::SignedDuration::try_from(before).unwrap();
        Ledger::read(ROOT, &self.log.transactions()).verdict(until)
    }
}

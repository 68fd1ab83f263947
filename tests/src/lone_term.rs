//! A term that nobody else wants, to run guests under in this process.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use silverback::capability::{Gate, Lease};
use silverback::clock;
use silverback::coordinator::{Coordinator as _, CreateMode, Embedded, Session};
use silverback::history::LogSink;
use silverback::registry::{Ceilings, JobId, Limits};
use silverback::runtime::{Interrupt, RunRequest, StateMode};

/// Longer than any test or bench.
const LASTS: Duration = Duration::from_secs(24 * 3600);

/// The term.
pub struct LoneTerm(Arc<Gate>);

impl LoneTerm {
    /// A new one, on a coordinator in memory.
    ///
    /// # Errors
    /// Where there is no session.
    pub async fn new() -> Result<Self> {
        Self::on(Embedded::in_memory(clock::system(), LASTS).connect(LASTS).await?).await
    }

    /// A new one on a session that nobody else has used.
    ///
    /// # Errors
    /// Where the session refuses.
    pub async fn on(session: Arc<dyn Session>) -> Result<Self> {
        let clock = clock::system();
        let lease = Lease::new(clock.clone());
        lease.extend(clock.boot() + LASTS);
        session.create("/election", b"", CreateMode::Persistent).await?;
        let contender = session.create("/election/c", b"lone", CreateMode::Ephemeral).await?;
        Ok(LoneTerm(Gate::new(session, contender, 1, "lone".to_owned(), lease)))
    }

    /// A run of the scheduled job `acme/NAME`, with all of a host's limits.
    pub fn request(&self, name: &str) -> RunRequest {
        RunRequest {
            job: JobId { tenant: "acme".to_owned(), name: name.to_owned() },
            run: format!("acme/{name}/1"),
            attempt: 1,
            tick_ms: Some(0),
            gate: self.0.clone(),
            state_path: format!("/silverback/state/acme/{name}"),
            state_mode: StateMode::Buffered,
            config: BTreeMap::default(),
            secrets: None,
            http: Default::default(),
            private: Default::default(),
            max_requests: None,
            contenders: Arc::new(|| Box::pin(ready(Ok(Vec::new())))),
            limits: Limits::SCHEDULED.of_run(true, &Ceilings::NONE),
            log: Arc::new(|_| {}),
            interrupt: Interrupt::default(),
        }
    }

    /// A run of the leader job `acme/NAME`, which lasts as long as the term.
    pub fn lead(&self, name: &str, config: BTreeMap<String, String>, log: LogSink) -> RunRequest {
        let limits = Limits::LEADER.of_run(false, &Ceilings::NONE);
        RunRequest { tick_ms: None, state_mode: StateMode::Immediate, limits, config, log, ..self.request(name) }
    }
}

//! `silverback:leader/leadership`: what a guest may know of its term, and the two ways to wait.
//!
//! It reads the gate; it doesn't know how a term is won, nor who decides that a run has to stop.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use wasmtime::Result;

use super::bindings::silverback::leader::leadership::{self, Change, Contender, Wake};
use super::gate::{Gate, GateState};
use super::host::Host;
use super::interrupt::Interrupt;
use super::state::{Entry, Key, StateError};

/// Asks for an election's queue, the leader first: each contender's identifier, and whether it leads. The error is a
/// sentence for the guest.
pub type Contenders =
    Arc<dyn Fn() -> BoxFuture<'static, std::result::Result<Vec<(String, bool)>, String>> + Send + Sync>;

/// One run's view of its term.
pub struct Leadership {
    gate: Arc<Gate>,
    stop: StopSign,
    contenders: Contenders,
}

impl Leadership {
    /// The view of a run under `gate` that `interrupt` can stop.
    pub fn new(gate: Arc<Gate>, interrupt: &Interrupt, contenders: Contenders) -> Self {
        let stop = StopSign::new(&gate, interrupt);
        Leadership { gate, stop, contenders }
    }
}

/// Whether the function should return, in the three ways it can be told.
#[derive(Clone)]
struct StopSign {
    gate: Arc<Gate>,
    drain: watch::Receiver<bool>,
    run: watch::Receiver<bool>,
    state: watch::Receiver<GateState>,
}

impl StopSign {
    fn new(gate: &Arc<Gate>, interrupt: &Interrupt) -> Self {
        StopSign { gate: gate.clone(), drain: gate.stop_asked(), run: interrupt.asked(), state: gate.state() }
    }

    fn is_up(&self) -> bool {
        *self.drain.borrow() || *self.run.borrow() || self.gate.is_over()
    }

    /// Waits until it is up. A lease that runs out shows here only after the fact: then the run itself is stopped.
    async fn up(mut self) {
        let drain = self.drain.wait_for(|asked| *asked);
        let run = self.run.wait_for(|asked| *asked);
        let over = self.state.wait_for(|state| *state == GateState::Over);
        tokio::select! {
            _ = drain => {}
            _ = run => {}
            _ = over => {}
        }
    }
}

impl leadership::Host for Host {
    async fn is_leader(&mut self) -> Result<bool> {
        Ok(self.leadership.gate.leads())
    }

    async fn token(&mut self) -> Result<u64> {
        Ok(self.leadership.gate.token().unsigned_abs())
    }

    async fn remaining_ms(&mut self) -> Result<u64> {
        Ok(millis(self.leadership.gate.remaining()))
    }

    async fn should_stop(&mut self) -> Result<bool> {
        Ok(self.leadership.stop.is_up())
    }

    async fn contenders(&mut self) -> Result<std::result::Result<Vec<Contender>, String>> {
        let asked = (self.leadership.contenders)().await;
        let contender = |(identifier, leader)| Contender { identifier, leader };
        Ok(asked.map(|queue| queue.into_iter().map(contender).collect()))
    }

    async fn sleep(&mut self, timeout_ms: u64) -> Result<Wake> {
        let stop = self.leadership.stop.clone();
        if stop.is_up() {
            return Ok(Wake::Stop);
        }
        tokio::select! {
            biased;
            () = stop.up() => Ok(Wake::Stop),
            () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => Ok(Wake::Elapsed),
        }
    }

    async fn wait_for_change(
        &mut self,
        key: String,
        seen: Option<u64>,
        timeout_ms: u64,
    ) -> Result<std::result::Result<Change, String>> {
        let stop = self.leadership.stop.clone();
        if stop.is_up() {
            return Ok(Ok(Change::Stop));
        }
        let changed = async {
            let watch = self.state.watch(&Key::new(key)?);
            watch.changed(seen).await
        };
        Ok(tokio::select! {
            biased;
            () = stop.up() => Ok(Change::Stop),
            entry = changed => entry.map(Change::from).map_err(|error: StateError| error.to_string()),
            () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => Ok(Change::Elapsed),
        })
    }
}

impl From<Entry> for Change {
    fn from(entry: Entry) -> Self {
        Change::Changed(leadership::Entry { revision: entry.revision, value: entry.value })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

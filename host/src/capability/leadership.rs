//! `silverback:leader/leadership`: what a guest may know of its term, and the two ways to wait.
//!
//! It reads the gate; it doesn't know how a term is won, nor who decides that a run has to stop.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use wasmtime::Result;

use super::bindings::silverback::leader::leadership::{self, Change, Contender, Wake};
use super::gate::{Gate, GateState};
use super::host::Host;
use super::state::{Entry, Key, StateError, within_patience};
use crate::coordinator::Error;

/// Asks for an election's queue, the leader first: each contender's identifier, and whether it leads.
pub type Contenders =
    Arc<dyn Fn() -> BoxFuture<'static, std::result::Result<Vec<(String, bool)>, Error>> + Send + Sync>;

/// One run's view of its term.
pub struct Leadership {
    gate: Arc<Gate>,
    contenders: Contenders,
}

impl Leadership {
    /// The view of a run under `gate`.
    pub fn new(gate: Arc<Gate>, contenders: Contenders) -> Self {
        Leadership { gate, contenders }
    }

    fn stop(&self) -> StopSign {
        StopSign(self.gate.clone())
    }

    /// A guest that stood still past the end of its term learns nothing of it: it ends where it next asks.
    pub(super) fn lasts(&self) -> Result<()> {
        if self.gate.is_over() { Err(wasmtime::Error::msg("its term is over")) } else { Ok(()) }
    }
}

/// Whether the function should return, in the two ways it can be told.
struct StopSign(Arc<Gate>);

impl StopSign {
    fn is_up(&self) -> bool {
        *self.0.stop_asked().borrow() || self.0.is_over()
    }

    /// Waits until it is up. A lease that runs out shows here only after the fact: then the run itself is stopped.
    async fn up(self) {
        let (mut drain, mut state) = (self.0.stop_asked(), self.0.state());
        tokio::select! {
            _ = drain.wait_for(|asked| *asked) => {}
            _ = state.wait_for(|state| *state == GateState::Over) => {}
        }
    }
}

impl leadership::Host for Host {
    async fn is_leader(&mut self) -> Result<bool> {
        self.leadership.lasts()?;
        Ok(self.leadership.gate.leads())
    }

    async fn token(&mut self) -> Result<u64> {
        self.leadership.lasts()?;
        Ok(self.leadership.gate.token().unsigned_abs())
    }

    async fn remaining_ms(&mut self) -> Result<u64> {
        self.leadership.lasts()?;
        Ok(millis(self.leadership.gate.remaining()))
    }

    async fn should_stop(&mut self) -> Result<bool> {
        self.leadership.lasts()?;
        Ok(self.leadership.stop().is_up())
    }

    async fn contenders(&mut self) -> Result<std::result::Result<Vec<Contender>, String>> {
        self.leadership.lasts()?;
        let asked = self.state.stack().wait(|| async {
            let _turn = self.state.asking().turn().await;
            within_patience((self.leadership.contenders)()).await
        });
        let asked = asked.await;
        self.meter.transfer(asked.iter().flatten().map(|(identifier, _)| identifier.len()).sum())?;
        let contender = |(identifier, leader)| Contender { identifier, leader };
        Ok(asked.map(|queue| queue.into_iter().map(contender).collect()).map_err(|error| error.to_string()))
    }

    async fn sleep(&mut self, timeout_ms: u64) -> Result<Wake> {
        self.leadership.lasts()?;
        let stop = self.leadership.stop();
        if stop.is_up() {
            return Ok(Wake::Stop);
        }
        let waits = self.state.stack().wait(|| async {
            tokio::select! {
                biased;
                () = stop.up() => Wake::Stop,
                () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => Wake::Elapsed,
            }
        });
        Ok(waits.await)
    }

    async fn wait_for_change(
        &mut self,
        key: String,
        seen: Option<u64>,
        timeout_ms: u64,
    ) -> Result<std::result::Result<Change, String>> {
        self.leadership.lasts()?;
        self.meter.transfer(key.len())?;
        let stop = self.leadership.stop();
        if stop.is_up() {
            return Ok(Ok(Change::Stop));
        }
        let changed = async {
            let watch = self.state.watch(&Key::new(key)?);
            watch.changed(seen).await
        };
        let waits = self.state.stack().wait(|| async {
            tokio::select! {
                biased;
                () = stop.up() => Ok(Change::Stop),
                entry = changed => entry.map(Change::from).map_err(|error: StateError| error.to_string()),
                () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => Ok(Change::Elapsed),
            }
        });
        let waited = waits.await;
        if let Ok(Change::Changed(entry)) = &waited {
            self.meter.transfer(entry.value.as_ref().map_or(0, Vec::len))?;
        }
        Ok(waited)
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

#[cfg(test)]
mod tests {
    use super::super::fakes::{CONTENDER, TOKEN, host};
    use super::super::state::StateMode;
    use super::leadership::Host as _;
    use super::*;

    /// Longer than any test takes.
    const LONG_MS: u64 = 3_600_000;

    #[tokio::test]
    async fn a_term_is_told_as_the_gate_has_it() {
        let (mut host, gate, _) = host(StateMode::Immediate);
        assert!(host.is_leader().await.unwrap() && !host.should_stop().await.unwrap());
        assert_eq!((host.token().await.unwrap(), host.remaining_ms().await.unwrap()), (TOKEN as u64, 60_000));
        gate.close();
        assert!(!host.is_leader().await.unwrap() && !host.should_stop().await.unwrap());
        gate.ask_stop();
        assert!(host.should_stop().await.unwrap());
        let queue = host.contenders().await.unwrap().unwrap();
        assert_eq!(
            queue.iter().map(|one| (one.identifier.as_str(), one.leader)).collect::<Vec<_>>(),
            [("host-a", true)]
        );
    }

    /// One that stood still meanwhile, say, so that nothing could stop it in time.
    #[tokio::test]
    async fn a_guest_that_is_still_there_when_its_term_is_over_ends_at_its_next_call() {
        let (mut host, gate, _) = host(StateMode::Immediate);
        gate.end();
        let ended = [
            host.is_leader().await.map(drop),
            host.token().await.map(drop),
            host.remaining_ms().await.map(drop),
            host.should_stop().await.map(drop),
            host.contenders().await.map(drop),
            host.sleep(LONG_MS).await.map(drop),
            host.wait_for_change("k".to_owned(), Some(0), LONG_MS).await.map(drop),
        ];
        for call in ended {
            assert_eq!(call.unwrap_err().to_string(), "its term is over");
        }
    }

    #[tokio::test]
    async fn every_way_to_be_told_to_stop_ends_both_waits() {
        let ways: [fn(&Gate); 2] = [|gate| gate.ask_stop(), |gate| gate.end()];
        for tell in ways {
            let (mut host, gate, _) = host(StateMode::Immediate);
            let (woken, ()) = tokio::join!(host.sleep(LONG_MS), async { tell(&gate) });
            assert_eq!(woken.unwrap(), Wake::Stop);
            let again = host.sleep(LONG_MS).await;
            assert!(gate.is_over() || again.unwrap() == Wake::Stop, "and stays so");
        }
        for tell in ways {
            let (mut host, gate, _) = host(StateMode::Immediate);
            let wait = host.wait_for_change("k".to_owned(), Some(0), LONG_MS);
            let (woken, ()) = tokio::join!(wait, async { tell(&gate) });
            assert!(matches!(woken.unwrap(), Ok(Change::Stop)));
        }
    }

    #[tokio::test]
    async fn a_change_ends_the_wait_for_it_and_time_does_too() {
        let (mut host, _, session) = host(StateMode::Immediate);
        let wait = host.wait_for_change("k".to_owned(), Some(0), LONG_MS);
        let (woken, ()) = tokio::join!(wait, async { session.put("/state/acme/job/k", b"v") });
        let Ok(Change::Changed(entry)) = woken.unwrap() else { panic!("the key has changed") };
        assert_eq!(entry.value.as_deref(), Some(&b"v"[..]));
        session.put(CONTENDER, b"somebody else's change");
        let woken = host.wait_for_change("k".to_owned(), Some(entry.revision), 1).await.unwrap();
        assert!(matches!(woken, Ok(Change::Elapsed)));
        assert_eq!(host.sleep(1).await.unwrap(), Wake::Elapsed);
    }
}

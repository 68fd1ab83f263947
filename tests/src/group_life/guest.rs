//! Guests that only pretend: they take their time, end as chance has it, and add one to a count where they succeed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use silverback::capability::GateState;
use silverback::history::Usage;
use silverback::registry::{Build, Limit, Signers};
use silverback::runtime::{ComponentError, End, RunEnd, RunRequest, StateWrite};
use silverback::scheduler::{Runner, Start};

use crate::chance::Chance;

/// Runs them.
pub(super) struct Pretender(pub(super) Arc<Mutex<Chance>>);

impl Runner for Pretender {
    fn at_hand(&self, _: &Build, _: &Signers) -> Option<Start> {
        let chance = self.0.clone();
        Some(Arc::new(move |request| Box::pin(run(chance.clone(), request))))
    }

    fn prepare(&self, _: &str, build: &Build, signers: &Signers) -> BoxFuture<'static, Result<Start, ComponentError>> {
        let start = self.at_hand(build, signers).expect("it always is");
        Box::pin(async move { Ok(start) })
    }
}

async fn run(chance: Arc<Mutex<Chance>>, request: RunRequest) -> RunEnd {
    let inside = request.gate.enter();
    let (takes, end) = fate(&mut chance.lock().unwrap(), request.limits.time(Limit::TimeMs).unwrap());
    let mut state = request.gate.state();
    let end = tokio::select! {
        biased;
        _ = state.wait_for(|state| *state == GateState::Over) => End::LostLeadership,
        () = request.interrupt.killed() => End::Killed,
        () = tokio::time::sleep(takes) => end,
    };
    let mut writes = Vec::new();
    if let End::Returned(_) = end {
        let path = format!("{}/count", request.state_path);
        writes.push(StateWrite { path, value: Some(b"1".to_vec()), added: Some(1) });
    }
    drop(inside);
    RunEnd { end, writes, usage: Usage::default() }
}

/// How long it takes, and how it ends. The words are those that the ledger knows a retryable failure by.
fn fate(chance: &mut Chance, limit: Duration) -> (Duration, End) {
    let quick = Duration::from_millis(chance.below(2000) as u64);
    let slow = Duration::from_millis(chance.below(limit.as_millis() as usize) as u64);
    let failed = |retryable, message: &str| End::Failed { retryable, message: message.to_owned() };
    match chance.below(20) {
        0 => (quick, failed(true, "retryable, as asked")),
        1 => (slow, failed(false, "for good, as asked")),
        2 => (limit, End::TimedOut { limit_ms: limit.as_millis() as u64 }),
        3..=6 => (slow, End::Returned(Vec::new())),
        _ => (quick, End::Returned(Vec::new())),
    }
}

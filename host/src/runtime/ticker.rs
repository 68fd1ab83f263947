//! What makes guests look up: a thread that moves the engine's epoch on, so that each running guest soon calls back.
//!
//! An OS thread and never a task: a guest that spins can hold every worker of a tokio runtime, its timer with them.

use std::thread;
use std::time::Duration;

use wasmtime::Engine;

use super::error::StartError;
use crate::vital;

/// How often a running guest calls back.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Starts the thread. It ends with the engine.
///
/// # Errors
/// [`StartError::Ticker`] where the machine gives no thread.
pub(super) fn start(engine: &Engine) -> Result<(), StartError> {
    let engine = engine.weak();
    let tick = move || {
        let _part = vital::part("the thread that interrupts guests");
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new()
        .name("silverback-ticker".to_owned())
        .spawn(tick)
        .map(drop)
        .map_err(|error| StartError::Ticker { detail: error.to_string() })
}

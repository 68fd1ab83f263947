//! Counts its runs in its state, and then does as its config says: takes `takes-ms`, fails as `fails` says in all attempts
//! before `until-attempt`, or spins. The count is kept only where it returns a result, which also says what its environment has
//! under the name in `env`.

use std::time::Duration;

use silverback_guest::{Grant, RunError, config, leadership, state};

#[silverback_guest::job]
fn chore(grant: Grant) -> Result<String, RunError> {
    let count = state::increment("count", 1)?;
    let takes_ms: u64 = config::get_as("takes-ms")?.unwrap_or(0);
    if takes_ms > 0 {
        leadership::sleep(Duration::from_millis(takes_ms));
    }
    let until: u32 = config::get_as("until-attempt")?.unwrap_or(u32::MAX);
    match config::get("fails").as_deref() {
        Some("retryably") if grant.attempt < until => Err(RunError::retryable("retryable, as asked")),
        Some("for-good") if grant.attempt < until => Err(RunError::permanent("for good, as asked")),
        Some("spinning") if grant.attempt < until => spin(),
        _ => Ok(match (config::get("token"), config::get("env")) {
            (Some(token), _) => format!("count={count} token of {} bytes", token.len()),
            (None, Some(name)) => format!("count={count} {name}={:?}", std::env::var(&name).ok()),
            (None, None) => format!("count={count}"),
        }),
    }
}

/// Keeps its processor for ever, and never asks whether it should stop.
fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

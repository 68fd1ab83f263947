//! Writes its token and a number to its state, again and again, as fast as it can. It never asks whether it should stop,
//! and goes on where a write is refused: what a deposed leader does at its worst.

use serde::Serialize;
use silverback_guest::{Grant, RunError, state};

/// It says that it is alive once in so many writes.
const WRITES_A_LINE: u64 = 50;

#[derive(Serialize)]
struct Entry {
    token: u64,
    sequence: u64,
}

#[silverback_guest::job]
fn scribe(grant: Grant) -> Result<(), RunError> {
    let token = grant.token;
    log::info!("begin token={token} host={}", grant.identifier);
    let mut sequence = 0;
    loop {
        match state::set("entry", &Entry { token, sequence }) {
            Ok(()) if sequence % WRITES_A_LINE == 0 => log::info!("alive token={token} n={sequence}"),
            Ok(()) => {}
            Err(error) => log::warn!("refused token={token} n={sequence}: {error}"),
        }
        sequence += 1;
    }
}

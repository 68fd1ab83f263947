//! Writes its token and a number to its state, again and again, as fast as it can; where its config has a `url`, it also sends
//! each number there. It never asks whether it should stop, and goes on where it is refused: what a deposed leader does at
//! its worst.

use serde::Serialize;
use silverback_guest::http::Request;
use silverback_guest::{Grant, RunError, config, state};

/// It says that it is alive once in so many writes.
const WRITES_A_LINE: u64 = 50;

#[derive(Serialize)]
struct Entry {
    token: u64,
    sequence: u64,
}

#[silverback_guest::job]
fn scribe(grant: Grant) -> Result<(), RunError> {
    let (token, url) = (grant.token, config::get("url"));
    log::info!("begin token={token} host={}", grant.identifier);
    let mut sequence = 0;
    loop {
        match state::set("entry", &Entry { token, sequence }) {
            Ok(()) if sequence % WRITES_A_LINE == 0 => log::info!("alive token={token} n={sequence}"),
            Ok(()) => {}
            Err(error) => log::warn!("refused token={token} n={sequence}: {error}"),
        }
        if let Some(url) = &url {
            send(url, token, sequence);
        }
        sequence += 1;
    }
}

/// The host adds the token.
fn send(url: &str, token: u64, sequence: u64) {
    match Request::new("PUT", url).body(sequence.to_string()).send() {
        Ok(response) if response.status == 200 => {}
        Ok(response) => log::warn!("answered token={token} n={sequence}: {} {}", response.status, response.text()),
        Err(error) => log::warn!("not answered token={token} n={sequence}: {error}"),
    }
}

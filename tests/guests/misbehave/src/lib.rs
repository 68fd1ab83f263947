//! Does what `behave` in its config names, and nothing good.

use std::time::Duration;

use silverback_guest::{Grant, RunError, config, leadership, state};

/// As much as one step of `allocate` takes.
const STEP_BYTES: usize = 1 << 20;
/// As much as `write` writes at once.
const WRITTEN_BYTES: usize = 16 << 10;
/// As much as `flood-log` says.
const FLOOD_LINES: u32 = 100_000;

#[silverback_guest::job]
fn misbehave(_grant: Grant) -> Result<String, RunError> {
    match config::get("behave").as_deref() {
        Some("spin") => spin(),
        Some("trap") => panic!("as asked"),
        Some("error") => Err("an error, as asked")?,
        Some("permanent") => Err(RunError::permanent("a permanent error, as asked")),
        Some("allocate") => allocate(),
        Some("sleep") => sleep(),
        Some("flood-log") => Ok(flood_log()),
        Some("write") => write(),
        Some("talk") => talk(),
        Some("keep-keys") => keep(100_000, 1),
        Some("keep-bytes") => keep(100, WRITTEN_BYTES),
        Some("none") => Ok("well behaved, as asked".to_owned()),
        other => Err(RunError::permanent(format!("config `behave` = {other:?} is no behaviour"))),
    }
}

/// Keeps its processor for ever, and never asks whether it should stop.
fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

/// Takes memory for ever, and touches all of it.
fn allocate() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(std::hint::black_box(vec![1_u8; STEP_BYTES]));
    }
}

/// Waits for ever, deaf to every request to stop: first as the host would have it, then as WASI does.
fn sleep() -> ! {
    loop {
        leadership::sleep(Duration::from_secs(3600));
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Writes to its state and reads it for ever, whether or not it is refused.
fn write() -> ! {
    let value = "x".repeat(WRITTEN_BYTES);
    loop {
        let _ = state::set("value", &value);
        let _ = state::get::<String>("value");
    }
}

/// Says as much as it can, whether or not anybody takes it down.
fn talk() -> ! {
    loop {
        log::info!("on and on");
    }
}

/// Writes so many keys of so many bytes each, whether or not it is refused.
fn keep(keys: u32, bytes: usize) -> Result<String, RunError> {
    let value = "x".repeat(bytes);
    for key in 0..keys {
        let _ = state::set(&format!("key-{key}"), &value);
    }
    Ok("kept them all".to_owned())
}

fn flood_log() -> String {
    for line in 0..FLOOD_LINES {
        log::info!("line {line} of a flood");
        println!("line {line} of a flood, on standard output");
    }
    format!("said {FLOOD_LINES} lines twice")
}

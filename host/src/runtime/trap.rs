//! A trap in plain words.

use rustix::io::Errno;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

use super::engine::MAX_WASM_STACK_BYTES;
use super::limiter::OverMemory;
use crate::registry::{Limit, OverLimit, RunLimits};

/// What wasmtime says of the limits that it holds itself and has no type for: a part of its words, and the limit.
const WORDS: [(&str, Limit); 5] = [
    ("store handle limit exceeded", Limit::Handles),
    ("fuel allocated for hostcalls has been exhausted", Limit::CallBytes),
    ("instance count too high", Limit::Instances),
    ("memory count too high", Limit::Memories),
    ("table count too high", Limit::Tables),
];

/// The same of what is bounded for every run alike: a part of its words, and what they mean.
const FIXED: [(&str, &str); 2] = [
    ("total size of fields exceeds limit", "the headers of one request or response take more than the limit of 32KiB"),
    ("exceeds limit 65536", "one call asked for more random bytes than the limit of 64KiB"),
];

/// What happened, for whoever wrote the guest.
pub(super) fn describe(error: &wasmtime::Error, limits: &RunLimits) -> String {
    if let Some(over) = over(error, limits) {
        return over.to_string();
    }
    if let Some(over) = error.downcast_ref::<OverMemory>() {
        return over.to_string();
    }
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        return format!("it called exit with status {status} instead of returning");
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => "it panicked, or reached code marked as unreachable".to_owned(),
        Some(Trap::StackOverflow) => {
            format!("its calls went deeper than the stack limit of {MAX_WASM_STACK_BYTES} bytes")
        }
        Some(trap) => format!("it trapped: {}", trap.to_string().trim_start_matches("wasm trap: ")),
        None => {
            let words = error.root_cause().to_string();
            match FIXED.into_iter().find(|(part, _)| words.contains(part)) {
                Some((_, meaning)) => meaning.to_owned(),
                None => format!("it trapped: {words}"),
            }
        }
    }
}

/// Returns whether the system refused the host memory or mappings, or the host's pool has no more of something.
pub(super) fn is_no_room(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<Errno>() == Some(&Errno::NOMEM) || error.is::<PoolConcurrencyLimitError>()
}

/// The limit that was passed, where it was one.
fn over(error: &wasmtime::Error, limits: &RunLimits) -> Option<OverLimit> {
    if let Some(over) = error.downcast_ref::<OverLimit>() {
        return Some(*over);
    }
    let limit = match (error.downcast_ref::<ResourceTableError>(), error.downcast_ref::<Trap>()) {
        (Some(ResourceTableError::Full), _) => Limit::Resources,
        (_, Some(Trap::OutOfFuel)) => Limit::Fuel,
        _ => {
            let words = error.root_cause().to_string();
            WORDS.into_iter().find(|(part, _)| words.contains(part))?.1
        }
    };
    Some(OverLimit { limit, used: None, most: limits.get(limit)? })
}

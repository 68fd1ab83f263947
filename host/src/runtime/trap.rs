//! A trap in plain words.

use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use super::engine::MAX_WASM_STACK_BYTES;
use super::limiter::OverMemory;

/// What happened, for whoever wrote the guest.
pub(super) fn describe(error: &wasmtime::Error) -> String {
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
        None => format!("it trapped: {}", error.root_cause()),
    }
}

//! The child's side: bounds itself, reads a component, and writes its code, or why it isn't taken.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
use wasmtime::component::Component;

use super::last_words::MAX_KEPT_BYTES;
use super::signed;
use crate::registry::{Signer, Signers};
use crate::runtime::error::AdmissionError;
use crate::runtime::{MAX_COMPONENT_BYTES, admission, engine};

/// The hidden command of a child that compiles.
pub(super) const COMPILE: &str = "compile-component";
/// Its flag: the code counts what it executes.
pub(super) const METERED: &str = "--metered";
/// The hidden command of a child that checks a signature; behind its limits, whose.
pub(super) const VERIFY: &str = "verify-component";
/// The exit code of a child that says on its standard error why it doesn't take the component.
pub(super) const REFUSED: i32 = 3;
/// The largest code, in bytes.
pub(super) const CODE_BYTES: u64 = 512 << 20;
/// A child opens nothing but what it is given, and what its start needs.
const DESCRIPTORS: u64 = 16;
/// Whatever else a host does comes first.
const NICE: i32 = 10;

/// What compiling one component may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Processor time, in seconds.
    pub cpu_seconds: u64,
    /// In bytes.
    pub memory_bytes: u64,
}

/// A host's, where its operator says nothing.
impl Default for CompileLimits {
    fn default() -> Self {
        CompileLimits { cpu_seconds: 60, memory_bytes: 2 << 30 }
    }
}

/// Reads a component from the standard input, and writes what it compiles to on the standard output: the whole of a child's
/// life.
pub fn compile_for_parent(limits: CompileLimits, metered: bool) -> ExitCode {
    answer(limits, |bytes| {
        admission::examine(bytes, MAX_COMPONENT_BYTES)?;
        let engine = engine::compiling(metered).map_err(|error| admission::invalid(&error))?;
        let component = Component::from_binary(&engine, bytes).map_err(|error| admission::invalid(&error))?;
        let code = component.serialize().map_err(|error| admission::invalid(&error))?;
        io::stdout().lock().write_all(&code).map_err(failed)
    })
}

/// Reads a component from the standard input, and ends well where one of the signers signed it.
pub fn verify_for_parent(limits: CompileLimits, signers: Vec<Signer>) -> ExitCode {
    answer(limits, |bytes| signed::check(bytes, &Signers::from(signers)))
}

/// Within its limits from the first byte on.
fn answer(limits: CompileLimits, work: impl FnOnce(&[u8]) -> Result<(), AdmissionError>) -> ExitCode {
    let done = bound(limits).and_then(|()| read()).map_err(failed).and_then(|bytes| work(&bytes));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            let line = verdict(&refused);
            // Who can't be told sees that there is no verdict.
            let _ = writeln!(io::stderr(), "{line}");
            ExitCode::from(REFUSED as u8)
        }
    }
}

/// Returns a refusal as a line that a parent reads whole. One of very many words loses its end, and its kind.
fn verdict(refused: &AdmissionError) -> String {
    let line = |error: &AdmissionError| serde_json::to_string(error).expect("an error is plain data");
    let whole = line(refused);
    if whole.len() < MAX_KEPT_BYTES {
        return whole;
    }
    let mut detail = refused.to_string();
    // Each character may take six in JSON.
    detail.truncate(detail.floor_char_boundary(MAX_KEPT_BYTES / 8));
    line(&AdmissionError::Invalid { detail: detail + "…" })
}

fn failed(error: io::Error) -> AdmissionError {
    AdmissionError::Compiler { detail: error.to_string() }
}

fn read() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(MAX_COMPONENT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Before a byte of the component is read.
fn bound(CompileLimits { cpu_seconds, memory_bytes }: CompileLimits) -> io::Result<()> {
    let bounds = [
        // At the first it is told to end, in words that a parent knows, at the second it is killed.
        (Resource::Cpu, cpu_seconds, cpu_seconds + 1),
        (Resource::Data, memory_bytes, memory_bytes),
        (Resource::Fsize, CODE_BYTES, CODE_BYTES),
        (Resource::Nofile, DESCRIPTORS, DESCRIPTORS),
        (Resource::Core, 0, 0),
    ];
    for (resource, current, maximum) in bounds {
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?;
    }
    setpriority_process(None, NICE)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::error::Misfit;

    #[test]
    fn w4_a_refusal_of_too_many_words_is_still_read_by_the_parent() {
        let misfit = |_| Misfit::Link { detail: "\u{1}".repeat(1000) };
        let refused = AdmissionError::World((0..1000).map(misfit).collect());
        let line = verdict(&refused);
        assert!(line.len() < MAX_KEPT_BYTES, "{}", line.len());
        let read: AdmissionError = serde_json::from_str(&line).unwrap();
        assert!(read.to_string().starts_with("the component is not valid here: the component doesn't fit"), "{read}");
        assert_eq!(
            serde_json::from_str::<AdmissionError>(&verdict(&AdmissionError::CoreModule)).unwrap(),
            AdmissionError::CoreModule
        );
    }
}

//! The parent's side: gives a child the bytes, waits, and reads its verdict.

use std::io::{self, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::time::timeout;

use super::inside::{CODE_BYTES, COMPILE, CompileLimits, METERED, REFUSED, VERIFY};
use super::last_words;
use super::signed::unsigned;
use crate::registry::Signers;
use crate::runtime::error::AdmissionError;

/// So many times as long as its processor time a child may take, where it gets little of the processor.
const PATIENCE: u64 = 4;
/// This program, also where its file was replaced since it started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The signals by which a child ends that goes beyond its means.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;

/// Compiles a component into a new file in `folder`.
pub(super) async fn compile(
    folder: &Path,
    bytes: &[u8],
    metered: bool,
    limits: CompileLimits,
) -> Result<NamedTempFile, AdmissionError> {
    let code = NamedTempFile::new_in(folder).map_err(unwritten)?;
    let flags = metered.then(|| METERED.to_owned());
    have_done(COMPILE, flags, folder, bytes, code.as_file().try_clone().map_err(unwritten)?.into(), limits).await?;
    Ok(code)
}

/// Checks a component's signature. `folder` is where the bytes stand meanwhile.
pub(super) async fn verify(
    folder: &Path,
    bytes: &[u8],
    signers: &Signers,
    limits: CompileLimits,
) -> Result<(), AdmissionError> {
    let names = signers.iter().map(|signer| signer.to_string());
    have_done(VERIFY, names, folder, bytes, Stdio::null(), limits).await.map_err(|error| match error {
        AdmissionError::TooHungry { .. } => unsigned("checking its signature takes too much memory", signers),
        // On another day, or a machine with less to do, it may not.
        AdmissionError::TooSlow { seconds } => AdmissionError::Compiler {
            detail: format!("checking its signature takes more than {seconds} s of processor time"),
        },
        AdmissionError::Compiler { detail } => {
            AdmissionError::Compiler { detail: format!("checking its signature: {detail}") }
        }
        error => error,
    })
}

/// Has a child do this, given the bytes.
async fn have_done(
    command: &str,
    args: impl IntoIterator<Item = String>,
    folder: &Path,
    bytes: &[u8],
    output: Stdio,
    limits: CompileLimits,
) -> Result<(), AdmissionError> {
    let mut input = NamedTempFile::new_in(folder).map_err(unwritten)?;
    input.write_all(bytes).and_then(|()| input.rewind()).map_err(unwritten)?;
    let mut child = Command::new(THIS_PROGRAM)
        .args([command, &limits.cpu_seconds.to_string(), &limits.memory_bytes.to_string()])
        .args(args)
        .env_clear()
        // Memory counts as had when it is used, not with the gigabyte that the allocator sets aside.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        // The open file itself: its name may stand for another by now.
        .stdin(input.as_file().try_clone().map_err(unwritten)?)
        .stdout(output)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("its process can't be started", error))?;
    let said = child.stderr.take().expect("it is piped");
    let patience = Duration::from_secs(PATIENCE * limits.cpu_seconds);
    let ended = timeout(patience, async { tokio::join!(last_words::read(said), child.wait()) }).await;
    let Ok((said, status)) = ended else {
        return Err(AdmissionError::Starved { seconds: patience.as_secs() });
    };
    let status = status.map_err(|error| failed("its process can't be waited for", error))?;
    verdict(status, &said, limits).map_or(Ok(()), Err)
}

fn failed(what: &str, error: io::Error) -> AdmissionError {
    AdmissionError::Compiler { detail: format!("{what}: {error}") }
}

fn unwritten(error: io::Error) -> AdmissionError {
    failed("the host's folder of compiled code can't be written", error)
}

/// Why a child didn't do what it was to; None where it did.
fn verdict(status: ExitStatus, said: &str, limits: CompileLimits) -> Option<AdmissionError> {
    let last_line = said.lines().last().unwrap_or_default();
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(REFUSED), _) => Some(serde_json::from_str(last_line).unwrap_or_else(|error| AdmissionError::Compiler {
            detail: format!("its verdict can't be read: {error}"),
        })),
        (_, Some(SIGXCPU)) => Some(AdmissionError::TooSlow { seconds: limits.cpu_seconds }),
        (_, Some(SIGXFSZ)) => Some(AdmissionError::TooMuchCode { limit: CODE_BYTES }),
        // How Rust ends where there is no more memory.
        (_, Some(SIGABRT)) if said.contains("memory allocation of") => {
            Some(AdmissionError::TooHungry { limit: limits.memory_bytes })
        }
        _ => Some(AdmissionError::Compiler { detail: broken_down(status, said) }),
    }
}

/// Returns how a child ended that gave no verdict, and what it said last.
fn broken_down(status: ExitStatus, said: &str) -> String {
    let ended = match status.signal() {
        // Nobody but the kernel does that to a child, unless a person does.
        Some(SIGKILL) => {
            format!("its process was killed ({status}), as the kernel does when the machine has no memory left")
        }
        Some(_) => format!("its process was ended by a signal ({status})"),
        None => format!("its process failed ({status})"),
    };
    match last_words::told(said) {
        words if words.is_empty() => ended,
        words => format!("{ended}: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_child_ends_says_why_there_is_no_code() {
        let limits = CompileLimits::default();
        let verdict = |raw, said: &str| verdict(ExitStatus::from_raw(raw), said, limits);
        assert_eq!(verdict(0, ""), None);
        let refused = serde_json::to_string(&AdmissionError::CoreModule).unwrap();
        assert_eq!(verdict(REFUSED << 8, &format!("noise\n{refused}\n")), Some(AdmissionError::CoreModule));
        assert_eq!(verdict(SIGXCPU, ""), Some(AdmissionError::TooSlow { seconds: 60 }));
        assert_eq!(verdict(SIGXFSZ, ""), Some(AdmissionError::TooMuchCode { limit: 512 << 20 }));
        let hungry = "memory allocation of 1073741824 bytes failed\n";
        assert_eq!(verdict(SIGABRT, hungry), Some(AdmissionError::TooHungry { limit: 2 << 30 }));
        let found = verdict(REFUSED << 8, "?");
        assert!(matches!(&found, Some(AdmissionError::Compiler { .. })), "{found:?}");
    }

    #[test]
    fn w4_a_child_that_breaks_down_is_told_with_its_last_words() {
        let panicked = "thread 'main' (7) panicked at /src/adapt.rs:248:14:\ninvalid adapter module\nnote: run with `RUST_BACKTRACE=1`\n";
        for (raw, said, told) in [
            (
                101 << 8,
                panicked,
                "its process failed (exit status: 101): it panicked at adapt.rs:248:14: invalid adapter module",
            ),
            (SIGABRT, "fatal\n", "its process was ended by a signal (signal: 6 (SIGABRT)): fatal"),
            (11, "", "its process was ended by a signal (signal: 11 (SIGSEGV))"),
            (1 << 8, "?", "its process failed (exit status: 1): ?"),
            (
                SIGKILL,
                "",
                "its process was killed (signal: 9 (SIGKILL)), as the kernel does when the machine has no memory left",
            ),
        ] {
            let found = verdict(ExitStatus::from_raw(raw), said, CompileLimits::default());
            assert_eq!(found, Some(AdmissionError::Compiler { detail: told.to_owned() }), "{raw} {said}");
        }
    }
}

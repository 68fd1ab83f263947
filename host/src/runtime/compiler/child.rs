//! The parent's side: gives a child the bytes, waits, and reads its verdict.

use std::io::{self, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::inside::{CODE_BYTES, COMPILE, CompileLimits, METERED, REFUSED, VERIFY};
use super::signed::unsigned;
use crate::registry::Signers;
use crate::runtime::error::AdmissionError;

/// So many times as long as its processor time a child may take, where it gets little of the processor.
const PATIENCE: u64 = 4;
/// How much of what a child says is read, in bytes.
const MAX_VERDICT_BYTES: u64 = 64 * 1024;
/// This program, also where its file was replaced since it started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The signals by which a child ends that goes beyond its means.
const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;

/// Compiles a component into a new file in `folder`.
pub(super) async fn compile(
    folder: &Path,
    bytes: &[u8],
    metered: bool,
    limits: CompileLimits,
) -> Result<NamedTempFile, AdmissionError> {
    let code = NamedTempFile::new_in(folder).map_err(failed)?;
    let flags = metered.then(|| METERED.to_owned());
    have_done(COMPILE, flags, folder, bytes, code.as_file().try_clone().map_err(failed)?.into(), limits).await?;
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
    let mut input = NamedTempFile::new_in(folder).map_err(failed)?;
    input.write_all(bytes).and_then(|()| input.rewind()).map_err(failed)?;
    let mut child = Command::new(THIS_PROGRAM)
        .args([command, &limits.cpu_seconds.to_string(), &limits.memory_bytes.to_string()])
        .args(args)
        .env_clear()
        // Memory counts as had when it is used, not with the gigabyte that the allocator sets aside.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        // The open file itself: its name may stand for another by now.
        .stdin(input.as_file().try_clone().map_err(failed)?)
        .stdout(output)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let said = child.stderr.take().expect("it is piped");
    let patience = Duration::from_secs(PATIENCE * limits.cpu_seconds);
    let ended = timeout(patience, async { tokio::join!(read(said), child.wait()) }).await;
    let Ok((said, status)) = ended else {
        return Err(AdmissionError::Starved { seconds: patience.as_secs() });
    };
    verdict(status.map_err(failed)?, &said, limits).map_or(Ok(()), Err)
}

fn failed(error: io::Error) -> AdmissionError {
    AdmissionError::Compiler { detail: error.to_string() }
}

async fn read(said: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    // What can't be read is not said. A child that says more than this ends at its next word.
    let _ = said.take(MAX_VERDICT_BYTES).read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
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
        _ => Some(AdmissionError::Compiler { detail: format!("{status}: {last_line}") }),
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
        for (raw, said) in [(SIGABRT, "index out of bounds"), (9, ""), (11, ""), (1 << 8, "?"), (REFUSED << 8, "?")] {
            let found = verdict(raw, said);
            assert!(matches!(&found, Some(AdmissionError::Compiler { .. })), "{raw} {said}: {found:?}");
        }
    }
}

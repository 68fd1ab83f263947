//! Starts of the program that are to be refused. One that isn't would go on for ever, so each has its time.

use std::path::Path;
use std::time::Duration;

use crate::cli::Answer;
use crate::place::silverback;
use crate::process::Process;

/// How long such a start may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts a host with these options, which are to be refused, and returns the line that says why.
///
/// # Panics
/// If it goes on, or ends in another way.
#[track_caller]
pub fn refusal(options: &[&str]) -> String {
    let said = refusal_of(&silverback(), &[&["up", "--listen", "127.0.0.1:0"], options].concat());
    assert!(!said.err.contains("panicked"), "{options:?}: {said:#?}");
    last_line(&said)
}

/// Runs a program that is to be refused, and returns what it did.
///
/// # Panics
/// If it goes on, or ends well, or by a signal, or writes to its standard output.
#[track_caller]
pub fn refusal_of(program: &Path, args: &[&str]) -> Answer {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let owned: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let mut process = Process::start("refused", program, &owned, dir.path());
    let code = process.wait(LIMIT).code();
    let said = Answer { code, out: process.out(), err: process.log() };
    assert!(matches!(said.code, Some(1 | 2)) && said.out.is_empty(), "{args:?}: {said:#?}");
    said
}

/// Returns the line that says why.
pub fn last_line(said: &Answer) -> String {
    said.err.lines().last().unwrap_or_default().to_owned()
}

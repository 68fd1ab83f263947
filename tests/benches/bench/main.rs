//! The bench: measures what Silverback promises of its speed against peers and floors in the same run, and ends with a
//! table. Where the environment's `BENCH_JSON` names a file, the same goes there as JSON; a relative name counts from the
//! root of the source tree. A target that is missed is told, and is no failure. A subject that fails is a row with the
//! reason, and the exit status is 1.
//!
//! A new figure is a [`Row`] of a subject; a new subject is a file here and a line in [`SUBJECTS`]. Arguments, where
//! there are any, name the subjects to measure.

mod acquire;
mod bare;
mod crowd;
mod failover;
mod handover;
mod herd;
mod live;
mod restart;
mod runs;
mod sandbox;
mod schedule;

use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context, Result};
use silverback_tests::figure::{self, Row};
use silverback_tests::place;
use silverback_tests::subjects::{self, Measure};

/// The host's own: the runs that are measured in this process are made of what they are made of there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What can be measured.
const SUBJECTS: [(&str, Measure); 10] = [
    ("sandbox", sandbox::measure),
    ("live", live::measure),
    ("restart", restart::measure),
    ("acquire", acquire::measure),
    ("handover", handover::measure),
    ("failover", failover::measure),
    ("herd", herd::measure),
    ("runs", runs::measure),
    ("crowd", crowd::measure),
    ("schedule", schedule::measure),
];

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, guest, leaders] = &arguments[..]
        && first == live::CHILD
    {
        return live::child(guest, leaders).map(|()| ExitCode::SUCCESS);
    }
    // cargo hands over options of its own.
    let wanted: Vec<String> = arguments.into_iter().filter(|argument| !argument.starts_with("--")).collect();
    let rows = subjects::measure(&SUBJECTS, &wanted, |name| eprintln!("measuring: {name}"))?;
    io::stdout().write_all(figure::table(&rows).as_bytes())?;
    if let Some(file) = std::env::var_os("BENCH_JSON").filter(|file| !file.is_empty()) {
        let file = place::root().join(file);
        fs::write(&file, figure::json(&rows)).with_context(|| format!("BENCH_JSON: {}", file.display()))?;
    }
    Ok(if rows.iter().any(Row::is_failure) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

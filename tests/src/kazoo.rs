//! kazoo programs beside our hosts: Python's client, from its own package, in a virtual environment that is made once.

pub mod locks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use serde::Deserialize;

use crate::place;
use crate::process::Process;
use crate::terms::{Mark, Sighting};
use crate::tools::python_with;
use crate::wait::await_value;

const PACKAGE: &str = "kazoo==2.11.0";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A kazoo program that stands in an election again and again; killed when dropped.
pub struct KazooContender {
    process: Process,
    said: PathBuf,
}

impl KazooContender {
    /// Starts one, which leads for `term` each time its turn comes. What it says is kept in `dir`.
    ///
    /// # Panics
    /// Where Python or kazoo are missing and can't be installed: says what to install.
    #[track_caller]
    pub fn start(identifier: &str, servers: &str, path: &str, term: Duration, dir: &Path) -> Self {
        KazooContender::start_as("lead", identifier, servers, path, term, dir)
    }

    /// The same with a node that Curator counts too.
    ///
    /// # Panics
    /// As [`KazooContender::start`].
    #[track_caller]
    pub fn start_beside_curator(identifier: &str, servers: &str, path: &str, term: Duration, dir: &Path) -> Self {
        KazooContender::start_as("lead-beside-curator", identifier, servers, path, term, dir)
    }

    #[track_caller]
    fn start_as(mode: &str, identifier: &str, servers: &str, path: &str, term: Duration, dir: &Path) -> Self {
        let said = dir.join(format!("{identifier}.jsonl"));
        let seconds = term.as_secs_f64().to_string();
        let (script, said_text) = (script(), said.display().to_string());
        let args = [script.as_str(), mode, servers, path, identifier, &seconds, &said_text].map(str::to_owned);
        let process = Process::start(identifier, python(), &args, dir);
        await_value(&format!("kazoo program {identifier} to connect"), START_LIMIT, || {
            if process.out().contains("ready") { Ok(()) } else { Err(process.log()) }
        });
        KazooContender { process, said }
    }

    /// When it led, so far.
    ///
    /// # Panics
    /// Where it said something else.
    pub fn sightings(&self) -> Vec<Sighting> {
        said(&self.said)
    }

    /// kill -9.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks it to end after the term it is in.
    pub fn ask_to_end(&mut self) {
        self.process.signal(Signal::TERM);
    }
}

/// What a program of ours, in whatever language, wrote to its file of JSON lines.
///
/// # Panics
/// Where it wrote something else.
pub(crate) fn said(file: &Path) -> Vec<Sighting> {
    let said = fs::read_to_string(file).unwrap_or_default();
    // The last line may be half written.
    let whole = said.rfind('\n').map_or("", |end| &said[..end]);
    whole.lines().map(|line| serde_json::from_str::<Said>(line).expect("a line of ours").into()).collect()
}

/// The identifiers of a queue, as kazoo's `Election.contenders()` lists them.
///
/// # Panics
/// Where it fails.
pub fn contenders(servers: &str, path: &str) -> Vec<String> {
    let output = Command::new(python()).args([&script(), "contenders", servers, path]).output();
    let output = output.expect("python can be started");
    assert!(output.status.success(), "kazoo: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a list of strings")
}

#[derive(Deserialize)]
struct Said {
    time_ns: i128,
    who: String,
    token: i64,
    mark: String,
}

impl From<Said> for Sighting {
    fn from(said: Said) -> Self {
        let mark = if said.mark == "begin" { Mark::Begin } else { Mark::End };
        let time = Timestamp::from_nanosecond(said.time_ns).expect("a time of this era");
        Sighting { time, who: said.who, token: said.token, mark }
    }
}

fn script() -> String {
    place::fixture("kazoo/contender.py").display().to_string()
}

/// A Python that has kazoo.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| python_with(PACKAGE, "import kazoo.client").join("python"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::assert_one_leader;
    use crate::zookeeper::ZooKeeperServer;

    const PATH: &str = "/electionpath";

    #[test]
    fn kazoo_programs_lead_in_turn_and_list_their_queue() {
        let server = ZooKeeperServer::start().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let start =
            |name| KazooContender::start(name, &server.connect_string(), PATH, Duration::from_millis(50), dir.path());
        let programs = [start("k1"), start("k2")];
        let both = || programs.iter().flat_map(KazooContender::sightings).collect::<Vec<_>>();
        await_value("five terms of both", Duration::from_secs(30), || {
            let ends = both().iter().filter(|sighting| sighting.mark == Mark::End).count();
            if ends >= 5 { Ok(()) } else { Err(ends) }
        });
        let terms = assert_one_leader(&both());
        assert!(["k1", "k2"].iter().all(|who| terms.iter().any(|term| term.who == *who)), "{terms:?}");
        let mut queue = contenders(&server.connect_string(), PATH);
        queue.sort();
        queue.dedup();
        assert!(!queue.is_empty() && queue.iter().all(|who| ["k1", "k2"].contains(&who.as_str())), "{queue:?}");
    }
}

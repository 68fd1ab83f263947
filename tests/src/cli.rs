//! The command line, as a person or a script uses it: arguments in, status and text out. The rows of its listings are
//! spelled out here once more, apart from the program's own types: their field names are a contract.

use std::path::PathBuf;
use std::process::{Command, Output};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::place;

/// A job, as `silverback jobs` lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRow {
    /// Who ships it.
    pub tenant: String,
    /// Its name within the tenant.
    pub name: String,
    /// Rises with each change.
    pub version: i64,
    /// `leader` or `schedule`; None if what is stored can't be read.
    pub trigger: Option<String>,
    /// `sha256:…`; None as above.
    pub component: Option<String>,
    /// Where a scheduled job's group is elected; None for a leader job.
    pub group: Option<String>,
    /// Where a leader job is elected; None for a scheduled job.
    pub election: Option<String>,
    /// Whether it rests.
    pub paused: bool,
    /// Who or what paused it.
    pub pause: Option<PauseRow>,
    /// Of its newest run.
    pub last_outcome: Option<String>,
    /// Of a scheduled job.
    pub next_tick: Option<Timestamp>,
    /// What keeps it from going on.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Why a job rests, as `silverback jobs` tells.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRow {
    /// None where it did so itself.
    pub by: Option<String>,
    /// None where that was not said.
    pub at: Option<Timestamp>,
    /// For people.
    pub note: String,
}

/// A contender, as `silverback contenders` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContenderRow {
    /// What it calls itself.
    pub identifier: String,
    /// The host it stands for; None where it isn't one of ours.
    pub host: Option<String>,
    /// Its node's name.
    pub znode: String,
    /// The fencing token that it leads with, once it does.
    pub token: i64,
    /// Whether it leads.
    pub leader: bool,
    /// What keeps its host from standing or leading.
    pub problem: Option<String>,
}

/// A row of `silverback contenders`: also of a host that would stand, and can't.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyContenderRow {
    identifier: String,
    host: Option<String>,
    znode: Option<String>,
    token: Option<i64>,
    leader: bool,
    #[serde(default)]
    problem: Option<String>,
}

impl AnyContenderRow {
    fn standing(self) -> Option<ContenderRow> {
        let AnyContenderRow { identifier, host, znode, token, leader, problem } = self;
        Some(ContenderRow { identifier, host, znode: znode?, token: token?, leader, problem })
    }
}

/// A run, as `silverback runs` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRow {
    /// `tenant/job/T`.
    pub run: String,
    /// From 1.
    pub attempt: u32,
    /// The nominal time; None for a term.
    pub tick: Option<Timestamp>,
    /// Who ran it.
    pub host: String,
    /// The term it ran under.
    pub token: i64,
    /// By the wall clock of its host.
    pub started: Timestamp,
    /// None while it runs.
    pub ended: Option<Timestamp>,
    /// None while it runs.
    pub outcome: Option<String>,
    /// What it returned, or why it ended.
    pub detail: String,
    /// What it used; None while it runs, and where nobody knows.
    #[serde(default)]
    pub usage: Option<UsageRow>,
}

/// What a run used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageRow {
    /// In bytes.
    pub peak_memory_bytes: u64,
    /// From its start to its end, in microseconds.
    pub wall_us: u64,
    /// While it computed, in microseconds.
    pub cpu_us: u64,
    /// Of a metered run.
    #[serde(default)]
    pub fuel: Option<u64>,
    /// How often it called its host.
    pub host_calls: u64,
    /// Dropped or cut.
    pub log_lines_dropped: u64,
}

/// A host, as `silverback hosts` lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRow {
    /// Its name.
    pub host: String,
    /// Where its API listens.
    pub address: String,
    /// Of the program.
    pub version: String,
    /// When it was started.
    pub started: Timestamp,
    /// The id of the store with its records.
    pub store: String,
    /// Whether an operator has drained it.
    pub drained: bool,
    /// By how many milliseconds its clock is ahead of the ensemble's; None before that is known.
    pub clock_offset_ms: Option<i64>,
    /// Whether it leads no groups for that.
    pub clock_wrong: bool,
    /// The highest position that it has seen.
    pub position: i64,
    /// Why it leads nothing.
    pub problem: Option<String>,
    /// How many elections it leads.
    pub elections_led: u32,
    /// How many groups of scheduled jobs it leads.
    pub groups_led: u32,
    /// How many groups it stands for.
    pub groups: u32,
    /// How many leader jobs it leads.
    pub jobs_led: u32,
    /// Its session's id.
    pub session: String,
}

/// A line that a run logged, as `silverback logs` gives it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRow {
    /// The host that ran it.
    pub host: String,
    /// Rises from line to line of a host.
    pub stamp: u64,
    /// By the wall clock of its host.
    pub time: Timestamp,
    /// The run that said it.
    pub run: String,
    /// The run's attempt.
    pub attempt: u32,
    /// How weighty.
    pub level: String,
    /// What the component gave, or `stdout`, `stderr`, `silverback`.
    pub context: String,
    /// One line.
    pub message: String,
}

/// `silverback`, talking to one host.
#[derive(Clone, Debug)]
pub struct Cli {
    program: PathBuf,
    server: String,
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its exit status.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Cli {
    /// For the host whose API is at `server`, a URL.
    pub fn new(server: impl Into<String>) -> Self {
        Cli { program: place::silverback(), server: server.into() }
    }

    /// The URL of the host that it talks to.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Runs `silverback` with these arguments.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn run(&self, args: &[&str]) -> Answer {
        let mut command = Command::new(&self.program);
        let output = command.args(args).env("SILVERBACK_SERVER", &self.server).output();
        Answer::from(output.unwrap_or_else(|error| panic!("{}: {error}", self.program.display())))
    }

    /// As [`Cli::run`], where success is expected; gives the standard output.
    ///
    /// # Panics
    /// Where it fails: with what it said.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let answer = self.run(args);
        assert!(answer.code == Some(0), "silverback {args:?} failed: {answer:#?}");
        answer.out
    }

    /// A listing: the rows of `args --output json`.
    ///
    /// # Errors
    /// What the command said where it failed: a host may be down, or between two sessions.
    ///
    /// # Panics
    /// Where the rows don't have the contract's fields.
    pub fn rows<T: DeserializeOwned>(&self, args: &[&str]) -> Result<Vec<T>, String> {
        let answer = self.run(&[args, &["--output", "json"]].concat());
        if answer.code != Some(0) {
            return Err(format!("silverback {args:?} failed: {}", answer.err.trim()));
        }
        let rows = serde_json::from_str(&answer.out);
        Ok(rows.unwrap_or_else(|error| panic!("silverback {args:?} broke its contract: {error}\n{}", answer.out)))
    }

    /// A key of the job's state, None where it has none.
    pub fn state(&self, job: &str, key: &str) -> Option<String> {
        let answer = self.run(&["state", "get", job, key]);
        (answer.code == Some(0)).then_some(answer.out)
    }

    /// `contenders JOB`, in queue order.
    ///
    /// # Errors
    /// As [`Cli::rows`].
    pub fn contenders(&self, job: &str) -> Result<Vec<ContenderRow>, String> {
        let rows: Vec<AnyContenderRow> = self.rows(&["contenders", job])?;
        Ok(rows.into_iter().filter_map(AnyContenderRow::standing).collect())
    }

    /// What `contenders JOB` says keeps hosts from standing, by host.
    ///
    /// # Errors
    /// As [`Cli::rows`].
    pub fn contender_problems(&self, job: &str) -> Result<Vec<(String, String)>, String> {
        let rows: Vec<AnyContenderRow> = self.rows(&["contenders", job])?;
        Ok(rows.into_iter().filter_map(|row| Some((row.identifier, row.problem?))).collect())
    }

    /// What `jobs` says keeps a job from going on; None if nothing does.
    ///
    /// # Errors
    /// As [`Cli::rows`], or that there is no such job.
    pub fn problem(&self, job: &str) -> Result<Option<String>, String> {
        let jobs: Vec<JobRow> = self.rows(&["jobs"])?;
        let found = jobs.into_iter().find(|row| format!("{}/{}", row.tenant, row.name) == job);
        found.map(|row| row.problem).ok_or_else(|| format!("no job `{job}`"))
    }

    /// `runs JOB`, newest first.
    ///
    /// # Errors
    /// As [`Cli::rows`].
    pub fn runs(&self, job: &str) -> Result<Vec<RunRow>, String> {
        self.rows(&["runs", job, "--limit", "1000"])
    }

    /// `logs JOB`, oldest first.
    ///
    /// # Errors
    /// As [`Cli::rows`].
    pub fn logs(&self, job: &str) -> Result<Vec<LogRow>, String> {
        self.rows(&["logs", job, "--limit", "5000"])
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Answer { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

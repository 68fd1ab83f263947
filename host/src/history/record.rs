//! The records of a run. Their field names are a contract with whoever reads `--output json`.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The function returned a result.
    Succeeded,
    /// The function returned an error, trapped, or went over a limit other than time.
    Failed,
    /// It ran longer than its limit and was stopped.
    TimedOut,
    /// The tick came and nothing ran; `detail` says why.
    Skipped,
    /// It was stopped since its host no longer led.
    LostLeadership,
    /// It was begun, and its host never said how it ended.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed-out",
            Outcome::Skipped => "skipped",
            Outcome::LostLeadership => "lost-leadership",
            Outcome::Unknown => "unknown",
        })
    }
}

/// What is known of how a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// It was begun.
    Begun,
    /// Its host is gone.
    Lost,
    /// Its host was gone when the next one settled it.
    SettledAsLost,
    /// That it was not begun, as far as whoever says so knew.
    Skipped,
    /// All.
    Ended,
}

/// One attempt at one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// `tenant/job/T`: T is the nominal time in UTC, or `term-TOKEN` for a leader job, or `manual-…` for a triggered run.
    pub run: String,
    /// From 1.
    pub attempt: u32,
    /// The nominal time; None for a term.
    pub tick: Option<Timestamp>,
    /// The host that ran it.
    pub host: String,
    /// The fencing token of the term it ran under.
    pub token: i64,
    /// When the guest was started, by the host's wall clock.
    pub started: Timestamp,
    /// None while it runs.
    pub ended: Option<Timestamp>,
    /// None while it runs.
    pub outcome: Option<Outcome>,
    /// What it returned (as text, cut), or why it ended as it did.
    pub detail: String,
    /// What it used; None where it didn't run, while it runs, and where its host never said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The most linear memory and tables it held, in bytes.
    pub peak_memory_bytes: u64,
    /// From start to end, in microseconds.
    pub wall_us: u64,
    /// How long the guest computed, in microseconds.
    pub cpu_us: u64,
    /// What it used up of its fuel, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// How often it called the host.
    pub host_calls: u64,
    /// Log lines that were dropped or cut.
    pub log_lines_dropped: u64,
}

impl RunRecord {
    /// How much it says of how the run ended: of two records of an attempt, the one that says more counts.
    pub fn tells(&self) -> (Known, usize, bool) {
        let known = match self.outcome {
            None => Known::Begun,
            Some(Outcome::Unknown) if self.ended.is_none() => Known::Lost,
            Some(Outcome::Unknown) => Known::SettledAsLost,
            Some(Outcome::Skipped) => Known::Skipped,
            Some(Outcome::Succeeded | Outcome::Failed | Outcome::TimedOut | Outcome::LostLeadership) => Known::Ended,
        };
        (known, self.detail.len(), self.usage.is_some())
    }

    /// A run whose host will never say how it ended.
    pub fn given_up(&mut self, why: &str) {
        self.outcome = Some(Outcome::Unknown);
        why.clone_into(&mut self.detail);
    }
}

/// How weighty a line is: the levels of `wasi:logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Finest.
    Trace,
    /// For whoever debugs the component.
    Debug,
    /// Worth knowing. Also what a component writes to its standard output.
    Info,
    /// Worth a look. Also what a component writes to its standard error.
    Warn,
    /// Something failed.
    Error,
    /// The run can't go on.
    Critical,
}

/// One line that a run said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// By the host's wall clock.
    pub time: Timestamp,
    /// The run that said it.
    pub run: String,
    /// The run's attempt.
    pub attempt: u32,
    /// How weighty.
    pub level: LogLevel,
    /// What the component gave as context; `stdout` or `stderr` for its standard streams; `silverback` for the host's
    /// own remarks (lines dropped, leadership going).
    pub context: String,
    /// One line, cut to the host's limit.
    pub message: String,
}

/// A line with its place among all lines of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedLine {
    /// The host that ran it.
    pub host: String,
    /// Rises from line to line of a host: nanoseconds since 1970 by its clock, or one more than the line before.
    pub stamp: u64,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
}

/// Takes a run's lines as they come. Called from the guest's threads: it must not block.
pub type LogSink = Arc<dyn Fn(LogLine) + Send + Sync>;

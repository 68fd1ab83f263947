//! What is asked of the runtime for one run, and what comes back.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::capability::{Contenders, Gate, Interrupt, StateMode, StateWrite};
use crate::history::{LogSink, Usage};
use crate::registry::{Fetch, HttpGrants, JobId, Ranges, RunLimits};
use crate::text;

/// How much of a panic's message a run is told, in bytes.
const MAX_PANIC_BYTES: usize = 512;

/// One run: everything the guest is given.
pub struct RunRequest {
    /// Whose.
    pub job: JobId,
    /// The run's id.
    pub run: String,
    /// From 1.
    pub attempt: u32,
    /// The nominal time in milliseconds since 1970; None for a term.
    pub tick_ms: Option<u64>,
    /// The term it runs under.
    pub gate: Arc<Gate>,
    /// Where the job's keys live in the coordinator: the directory of `config::Layout::state`.
    pub state_path: String,
    /// What becomes of the run's state writes.
    pub state_mode: StateMode,
    /// For `wasi:config/store`.
    pub config: BTreeMap<String, String>,
    /// What is to be fetched for it, and told beside the config.
    pub secrets: Option<Fetch>,
    /// Where it may send HTTP requests.
    pub http: HttpGrants,
    /// The private addresses that they may reach.
    pub private: Ranges,
    /// How many its tenant's runs have under way at once; None for the default.
    pub max_requests: Option<u32>,
    /// Asks for the queue of the election that the term belongs to.
    pub contenders: Contenders,
    /// What it may use.
    pub limits: RunLimits,
    /// Takes its log lines.
    pub log: LogSink,
    /// How it is stopped before its end.
    pub interrupt: Interrupt,
}

/// A run under way.
pub struct Run {
    pub(crate) ended: oneshot::Receiver<RunEnd>,
}

impl Run {
    /// Waits for the run's end. When this returns, the guest executes nothing any more: its store is gone.
    pub async fn ended(self) -> RunEnd {
        let early = || End::Trapped { message: "the host's thread for this run ended early".to_owned() };
        self.ended.await.unwrap_or_else(|_| RunEnd::not_begun(early()))
    }
}

/// How a run ended, and what it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// How.
    pub end: End,
    /// Its state writes, in key order, where they were buffered; one for each key.
    pub writes: Vec<StateWrite>,
    /// What it used.
    pub usage: Usage,
}

impl RunEnd {
    /// Of a run whose guest executed nothing.
    pub(super) fn not_begun(end: End) -> Self {
        RunEnd { end, writes: Vec::new(), usage: Usage::default() }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The function returned a result.
    Returned(Vec<u8>),
    /// The function returned an error.
    Failed {
        /// `retryable` rather than `permanent`.
        retryable: bool,
        /// The component's words, cut to a limit.
        message: String,
    },
    /// It trapped, or went over a limit other than time; the message names the limit and its value.
    Trapped {
        /// What happened, in plain words.
        message: String,
    },
    /// It ran longer than its limit.
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// Its term ended under it: gate or lease over.
    LostLeadership,
    /// It was killed by [`Interrupt::kill`].
    Killed,
}

impl End {
    /// Returns how a run ends under which the host panicked, in the words of that panic.
    pub(super) fn ended_early(panic: &(dyn Any + Send)) -> Self {
        let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref().map(String::as_str));
        let words = words.unwrap_or("no words");
        let cut = text::cut(words, MAX_PANIC_BYTES);
        End::Trapped { message: format!("the host's thread for this run ended early: it panicked: {cut}") }
    }
}

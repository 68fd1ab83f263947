//! Policies as they are written and stored. What is not said stays unsaid, so that a number beside a policy that has no use
//! for it can be refused.

use serde::{Deserialize, Serialize};

/// What a scheduled job says of its runs, as its tenant says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySpec {
    /// What becomes of a tick that comes while a run is under way.
    #[serde(default)]
    pub overlap: OverlapRule,
    /// How many ticks wait, for [`OverlapRule::QueueAll`].
    #[serde(default)]
    pub max_queued: Option<u32>,
    /// How many runs are under way at once, for [`OverlapRule::Allow`].
    #[serde(default)]
    pub max_running: Option<u32>,
    /// What becomes of ticks that nobody was there for.
    #[serde(default)]
    pub catch_up: CatchUpRule,
    /// How long ago they may be, in milliseconds, for [`CatchUpRule::All`].
    #[serde(default)]
    pub catch_up_window_ms: Option<u64>,
    /// How many they may be, for [`CatchUpRule::All`].
    #[serde(default)]
    pub max_catch_up: Option<u32>,
    /// How late an attempt may begin, in milliseconds. None: as late as it must.
    #[serde(default)]
    pub start_deadline_ms: Option<u64>,
    /// How a failed run is tried again. None: it isn't.
    #[serde(default)]
    pub retry: Option<RetrySpec>,
    /// What follows a crash.
    #[serde(default)]
    pub delivery: Delivery,
    /// After how many failures in a row the job is paused. None: it never is.
    #[serde(default)]
    pub pause_after_failures: Option<u32>,
    /// How many whole records of runs each host keeps. None: as many as it keeps of any job.
    #[serde(default)]
    pub history: Option<u32>,
}

/// How a failed run is tried again, as its tenant says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrySpec {
    /// How often, besides the first attempt.
    pub count: u32,
    /// Before the first retry, in milliseconds.
    #[serde(default)]
    pub backoff_ms: Option<u64>,
    /// Before any retry, in milliseconds.
    #[serde(default)]
    pub max_backoff_ms: Option<u64>,
    /// How many times longer the next wait is.
    #[serde(default)]
    pub factor: Option<u32>,
    /// Up to so many milliseconds are added to a wait.
    #[serde(default)]
    pub jitter_ms: Option<u64>,
    /// After which failures.
    #[serde(default)]
    pub on: RetryOn,
}

/// What becomes of a tick that comes while a run is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlapRule {
    /// It is skipped.
    #[default]
    Skip,
    /// The latest of them waits.
    QueueOne,
    /// The latest `max_queued` of them wait.
    QueueAll,
    /// The run under way is stopped for it.
    CancelRunning,
    /// It runs beside the others, up to `max_running`.
    Allow,
}

/// What becomes of ticks that came while nobody was there to begin them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUpRule {
    /// The latest is run.
    #[default]
    Latest,
    /// None is run.
    None,
    /// The latest `max_catch_up` of those within `catch_up_window` are run.
    All,
}

/// After which failures a run is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    /// Those that the component itself calls retryable.
    #[default]
    Retryable,
    /// Also permanent errors, traps, and runs over their limits.
    All,
}

/// What follows where a run was begun and nobody can say how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// It is unknown, and never run again.
    #[default]
    AtMostOnce,
    /// It is run again under the same id, as the next attempt.
    AtLeastOnce,
}

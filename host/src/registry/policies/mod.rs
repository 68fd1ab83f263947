//! What a scheduled job says of its runs: what becomes of ticks that overlap, that were missed or that failed. Pure: it says
//! what is asked for, the scheduler does it.
//!
//! Every number is bounded, since each of them has a place in the job's run state, which is one small node.

mod kept;
mod written;

use std::fmt::Display;

pub use kept::KeptPolicies;
pub use written::{CatchUpRule, Delivery, OverlapRule, PolicySpec, RetryOn, RetrySpec};

use super::validate::SpecError;

/// How many ticks may wait for their turn.
pub const MAX_QUEUED: u32 = 32;
/// How many runs of a job may be under way at once.
pub const MAX_RUNNING: u32 = 4;
/// How often a tick is tried again after a failure.
const MAX_RETRIES: u32 = 20;
const MAX_FACTOR: u32 = 10;
const MAX_FAILURES: u32 = 1000;
/// How many whole records of runs are kept where the job says nothing, and at the most.
const MAX_HISTORY: u32 = 200;

const SECOND_MS: u64 = 1000;
const DAY_MS: u64 = 24 * 60 * 60 * SECOND_MS;
const MAX_DEADLINE_MS: u64 = 7 * DAY_MS;
const MAX_WINDOW_MS: u64 = 30 * DAY_MS;
const MIN_BACKOFF_MS: u64 = 100;

const DEFAULT_QUEUED: u32 = 16;
const DEFAULT_RUNNING: u32 = 2;
const DEFAULT_BACKOFF_MS: u64 = 10 * SECOND_MS;
const DEFAULT_MAX_BACKOFF_MS: u64 = 600 * SECOND_MS;
const DEFAULT_FACTOR: u32 = 2;

/// The reasons of the refusals, for whoever reads the text of a duration.
pub(super) const DEADLINE_BOUNDS: &str = "it must be from 1s to 168h";
pub(super) const WINDOW_BOUNDS: &str = "it must be from 1s to 720h";
pub(super) const BACKOFF_BOUNDS: &str = "it must be from 100ms to 24h";
pub(super) const RETRY_JITTER_BOUNDS: &str = "it must be from 0s to 24h";

/// Valid policies: what stands together is one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// What becomes of a tick that comes while a run is under way.
    pub overlap: Overlap,
    /// What becomes of ticks that nobody was there for.
    pub catch_up: CatchUp,
    /// No attempt at a tick begins later than so many milliseconds after the tick's run was to begin.
    pub start_deadline_ms: Option<u64>,
    /// What follows a failure. None: nothing.
    pub retry: Option<Retry>,
    /// What follows a crash.
    pub delivery: Delivery,
    /// After so many runs in a row that failed for good the job is paused.
    pub pause_after_failures: Option<u32>,
    /// How many whole records of runs each host keeps.
    pub history: u32,
}

/// What becomes of a tick that comes while a run is under way, or between two tries of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is skipped.
    Skip,
    /// It waits; of several, the latest.
    QueueOne,
    /// It waits; of more than `max`, the latest.
    QueueAll {
        /// How many wait, 1 to [`MAX_QUEUED`].
        max: u32,
    },
    /// The run under way is stopped for it.
    CancelRunning,
    /// It runs beside the others; where `max` are under way, it is skipped.
    Allow {
        /// How many run, 2 to [`MAX_RUNNING`].
        max: u32,
    },
}

/// What becomes of ticks that came while nobody was there to begin them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// The latest is run, the others are skipped.
    Latest,
    /// They are skipped.
    None,
    /// Those of the last `window_ms` are run one after another; of more than `max`, the latest.
    All {
        /// In milliseconds.
        window_ms: u64,
        /// How many, 1 to [`MAX_QUEUED`].
        max: u32,
    },
}

/// How a failed run is tried again: after `first_ms`, then after `factor` times as long each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often, besides the first attempt.
    pub count: u32,
    /// Before the first of them, in milliseconds.
    pub first_ms: u64,
    /// Never longer than this, in milliseconds.
    pub max_ms: u64,
    /// 1 to 10.
    pub factor: u32,
    /// Up to so many milliseconds are added, the same for the same attempt.
    pub jitter_ms: u64,
    /// After which failures.
    pub on: RetryOn,
}

impl Policies {
    /// How many runs may be under way at once.
    pub fn slots(&self) -> usize {
        match self.overlap {
            Overlap::Skip | Overlap::QueueOne | Overlap::QueueAll { .. } | Overlap::CancelRunning => 1,
            Overlap::Allow { max } => max as usize,
        }
    }

    /// What the tenant of `job` wrote, with the defaults for what is not said.
    ///
    /// # Errors
    /// The first field that is out of its bounds, or that means nothing beside the others.
    pub fn parse(spec: &PolicySpec, job: &str) -> Result<Self, SpecError> {
        let read = Reader { job };
        let policies = Policies {
            overlap: read.overlap(spec)?,
            catch_up: read.catch_up(spec)?,
            start_deadline_ms: read.optional_ms("start_deadline", spec.start_deadline_ms, DEADLINE, DEADLINE_BOUNDS)?,
            retry: spec.retry.as_ref().map(|retry| read.retry(retry)).transpose()?,
            delivery: spec.delivery,
            pause_after_failures: spec
                .pause_after_failures
                .map(|count| read.count("pause_after_failures", Some(count), (1, MAX_FAILURES), count))
                .transpose()?,
            history: read.count("history", spec.history, (1, MAX_HISTORY), MAX_HISTORY)?,
        };
        read.deadlines(&policies)?;
        Ok(policies)
    }
}

const DEADLINE: (u64, u64) = (SECOND_MS, MAX_DEADLINE_MS);
const WINDOW: (u64, u64) = (SECOND_MS, MAX_WINDOW_MS);
const BACKOFF: (u64, u64) = (MIN_BACKOFF_MS, DAY_MS);

/// Reads the fields of one job.
struct Reader<'a> {
    job: &'a str,
}

impl Reader<'_> {
    fn overlap(&self, spec: &PolicySpec) -> Result<Overlap, SpecError> {
        let overlap = match spec.overlap {
            OverlapRule::Skip => Overlap::Skip,
            OverlapRule::QueueOne => Overlap::QueueOne,
            OverlapRule::QueueAll => {
                Overlap::QueueAll { max: self.count("max_queued", spec.max_queued, (1, MAX_QUEUED), DEFAULT_QUEUED)? }
            }
            OverlapRule::CancelRunning => Overlap::CancelRunning,
            OverlapRule::Allow => {
                Overlap::Allow { max: self.count("max_running", spec.max_running, (2, MAX_RUNNING), DEFAULT_RUNNING)? }
            }
        };
        if spec.overlap != OverlapRule::QueueAll {
            self.absent("max_queued", spec.max_queued, "it is for overlap = \"queue-all\"")?;
        }
        if spec.overlap != OverlapRule::Allow {
            self.absent("max_running", spec.max_running, "it is for overlap = \"allow\"")?;
        }
        Ok(overlap)
    }

    fn catch_up(&self, spec: &PolicySpec) -> Result<CatchUp, SpecError> {
        let rule = match spec.catch_up {
            CatchUpRule::Latest => CatchUp::Latest,
            CatchUpRule::None => CatchUp::None,
            CatchUpRule::All => {
                self.waiting(spec)?;
                let window = self.optional_ms("catch_up_window", spec.catch_up_window_ms, WINDOW, WINDOW_BOUNDS)?;
                let max = self.count("max_catch_up", spec.max_catch_up, (1, MAX_QUEUED), MAX_QUEUED)?;
                // What is too late to begin is not caught up with.
                let default = spec.start_deadline_ms.map_or(DAY_MS, |deadline| DAY_MS.min(deadline));
                return Ok(CatchUp::All { window_ms: window.unwrap_or(default), max });
            }
        };
        let reason = "it is for catch_up = \"all\"";
        self.absent("catch_up_window", spec.catch_up_window_ms.map(in_ms), reason)?;
        self.absent("max_catch_up", spec.max_catch_up, reason)?;
        Ok(rule)
    }

    /// What is caught up with waits in the queue; of these policies each next tick would empty it.
    fn waiting(&self, spec: &PolicySpec) -> Result<(), SpecError> {
        match spec.overlap {
            OverlapRule::Skip | OverlapRule::QueueAll | OverlapRule::Allow => Ok(()),
            OverlapRule::QueueOne => {
                Err(self.refuse("catch_up", "all", "with overlap = \"queue-one\" only one tick waits"))
            }
            OverlapRule::CancelRunning => {
                Err(self.refuse("catch_up", "all", "with overlap = \"cancel-running\" no tick waits for another"))
            }
        }
    }

    fn retry(&self, spec: &RetrySpec) -> Result<Retry, SpecError> {
        let count = self.count("retry.count", Some(spec.count), (1, MAX_RETRIES), 0)?;
        let first = self.optional_ms("retry.backoff", spec.backoff_ms, BACKOFF, BACKOFF_BOUNDS)?;
        let first_ms = first.unwrap_or(DEFAULT_BACKOFF_MS);
        let most = self.optional_ms("retry.max_backoff", spec.max_backoff_ms, BACKOFF, BACKOFF_BOUNDS)?;
        let max_ms = most.unwrap_or(DEFAULT_MAX_BACKOFF_MS.max(first_ms));
        if max_ms < first_ms {
            let reason = format!("it must not be shorter than retry.backoff, which is {first_ms} ms");
            return Err(self.refuse("retry.max_backoff", in_ms(max_ms), reason));
        }
        let factor = self.count("retry.factor", spec.factor, (1, MAX_FACTOR), DEFAULT_FACTOR)?;
        if factor == 1 && most.is_some_and(|most| most > first_ms) {
            return Err(self.refuse("retry.max_backoff", in_ms(max_ms), "with retry.factor = 1 it is never reached"));
        }
        let jitter = self.optional_ms("retry.jitter", spec.jitter_ms, (0, DAY_MS), RETRY_JITTER_BOUNDS)?;
        Ok(Retry { count, first_ms, max_ms, factor, jitter_ms: jitter.unwrap_or(0), on: spec.on })
    }

    /// What would never come to pass.
    fn deadlines(&self, policies: &Policies) -> Result<(), SpecError> {
        let Some(deadline) = policies.start_deadline_ms else { return Ok(()) };
        if let Some(retry) = policies.retry
            && retry.first_ms >= deadline
        {
            let reason = format!("no retry would begin before start_deadline, which is {deadline} ms");
            return Err(self.refuse("retry.backoff", in_ms(retry.first_ms), reason));
        }
        if let CatchUp::All { window_ms, .. } = policies.catch_up
            && window_ms > deadline
        {
            let reason = format!("what it adds beyond start_deadline, which is {deadline} ms, would never begin");
            return Err(self.refuse("catch_up_window", in_ms(window_ms), reason));
        }
        Ok(())
    }

    fn count(
        &self,
        field: &'static str,
        given: Option<u32>,
        (least, most): (u32, u32),
        default: u32,
    ) -> Result<u32, SpecError> {
        match given {
            None => Ok(default),
            Some(count) if (least..=most).contains(&count) => Ok(count),
            Some(count) => Err(self.refuse(field, count, format!("it must be from {least} to {most}"))),
        }
    }

    fn optional_ms(
        &self,
        field: &'static str,
        given: Option<u64>,
        (least, most): (u64, u64),
        bounds: &str,
    ) -> Result<Option<u64>, SpecError> {
        match given {
            Some(ms) if !(least..=most).contains(&ms) => Err(self.refuse(field, in_ms(ms), bounds)),
            Some(_) | None => Ok(given),
        }
    }

    fn absent(&self, field: &'static str, given: Option<impl Display>, reason: &str) -> Result<(), SpecError> {
        given.map_or(Ok(()), |value| Err(self.refuse(field, value, reason)))
    }

    fn refuse(&self, field: &'static str, value: impl Display, reason: impl Display) -> SpecError {
        SpecError::invalid(self.job, field, &value.to_string(), reason)
    }
}

fn in_ms(ms: u64) -> String {
    format!("{ms} ms")
}

#[cfg(test)]
mod tests;

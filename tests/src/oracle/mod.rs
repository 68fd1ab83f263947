//! The oracle of scheduled jobs: given a job's schedule, its policies and what is on record of it, it says every miss, every
//! extra and every lateness. Pure. It knows nothing of how the scheduler decides: it works from the promises alone.
//!
//! The records may come from a simulation or from the history of real hosts. What happened in the dark it can't see: a run
//! that was begun and is on no record is no run to it.

mod attempts;
mod ticks;

#[cfg(test)]
mod forged;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use silverback::history::Outcome;
use silverback::registry::{Policies, Schedule};
use silverback::scheduler::plan::Reason;

/// What a job promised, and how exactly it is held to it.
#[derive(Clone, Copy, Debug)]
pub struct Promise<'a> {
    /// When it ticks.
    pub schedule: &'a Schedule,
    /// What becomes of ticks that overlap, were missed or failed.
    pub policies: &'a Policies,
    /// How long a run may take.
    pub run_time: Duration,
    /// The job ticks after this moment: it was made or changed then.
    pub from: Timestamp,
    /// Ticks up to here may be skipped because the job was changed or resumed: it was so then, the last time.
    pub changed: Timestamp,
    /// What begins up to here is looked for. At least as long before the end of the records as the cluster may be without a
    /// host for the job.
    pub until: Timestamp,
    /// How long after the limit of a run's time its end is on record, also where its host died.
    pub end_within: SignedDuration,
    /// By how much the hosts' clocks differ.
    pub skew: SignedDuration,
}

/// What is on record, in the order in which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An attempt at a tick.
    Ran(Ran),
    /// Ticks that didn't run.
    Skipped {
        /// The first of them.
        first: Timestamp,
        /// The last is before this; None where it is one alone.
        before: Option<Timestamp>,
        /// Why.
        reason: Reason,
        /// When it was decided.
        at: Timestamp,
    },
    /// Another attempt at a tick that ran, which is not made.
    GaveUp {
        /// The nominal time.
        tick: Timestamp,
        /// From 2.
        attempt: u32,
        /// Why.
        reason: Reason,
        /// When it was decided.
        at: Timestamp,
    },
    /// It is on record that an attempt was not made, and not why: whatever reason there was has to be one that holds.
    Untold {
        /// The nominal time.
        tick: Timestamp,
        /// 1 for a tick that didn't run.
        attempt: u32,
        /// When it was decided.
        at: Timestamp,
    },
}

/// An attempt at a tick that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The nominal time.
    pub tick: Timestamp,
    /// From 1.
    pub attempt: u32,
    /// When it was begun.
    pub began: Timestamp,
    /// When it ended, and how. None: no end is on record.
    pub ended: Option<(Timestamp, Outcome)>,
    /// Where it failed: whether it said that another try may pass. None: that is not on record.
    pub retryable: Option<bool>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A tick neither ran nor was it skipped.
    Missed(Timestamp),
    /// A tick was skipped for a reason that its policies don't know, or that wasn't so.
    WronglySkipped(Timestamp, Reason),
    /// A tick was skipped for no reason that is on record, and there was none.
    Unexplained(Timestamp),
    /// A tick was skipped twice, or skipped and run.
    DecidedTwice(Timestamp),
    /// What ran or was skipped is no tick of the schedule, or none that was to come.
    NoTick(Timestamp),
    /// An attempt that had not to be: it was made already, or the one before it left nothing to try again.
    Extra(Timestamp, u32),
    /// An attempt is lacking that had to be made.
    NotTriedAgain(Timestamp, u32),
    /// An attempt was begun before its time: its tick's, or that of the back-off after the one before it.
    Early(Timestamp, u32),
    /// An attempt was begun after the job's start deadline, by so much.
    Late(Timestamp, u32, SignedDuration),
    /// A tick was begun, for the first time, after a later one.
    OutOfOrder(Timestamp),
    /// More runs were under way than the policies allow.
    TooMany(Timestamp, u32),
    /// An attempt has no end on record by its deadline.
    NoEnd(Timestamp, u32),
}

/// What the records show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every broken promise.
    pub findings: Vec<Finding>,
    /// How long after its time each tick was begun first.
    pub lateness: Vec<SignedDuration>,
    /// How many ticks were to come, how many of them ran, and how many were skipped.
    pub ticks: usize,
    /// Of them.
    pub ran: usize,
    /// Of them.
    pub skipped: usize,
}

/// Holds the records of one job against its promise.
pub fn judge(promise: &Promise<'_>, seen: &[Seen]) -> Report {
    let mut report = Report::default();
    ticks::judge(promise, seen, &mut report);
    attempts::judge(promise, seen, &mut report);
    report
}

impl Seen {
    fn as_ran(&self) -> Option<&Ran> {
        match self {
            Seen::Ran(ran) => Some(ran),
            Seen::Skipped { .. } | Seen::GaveUp { .. } | Seen::Untold { .. } => None,
        }
    }
}

impl Promise<'_> {
    fn start_deadline(&self) -> Option<SignedDuration> {
        self.policies.start_deadline_ms.map(millis)
    }
}

fn millis(ms: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

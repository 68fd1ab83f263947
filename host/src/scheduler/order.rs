//! What people ask of a scheduled job beside its schedule.

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::oneshot;

use super::plan::BackfillError;

/// Something to do for one job, and who waits for the answer.
#[derive(Debug)]
pub(super) enum Order {
    /// Run now. Told the run's id once it is begun.
    Run(oneshot::Sender<Result<String, TriggerError>>),
    /// Run the ticks of a span that is past. Told how many they are once that is written.
    Backfill {
        /// The first may be then.
        from: Timestamp,
        /// The last may be then.
        to: Timestamp,
        /// Who waits.
        answer: oneshot::Sender<Result<usize, TriggerError>>,
    },
    /// Count the ticks up to a time as decided, and those after it as not. Told the time once it is written.
    SetCursor {
        /// Not in the future.
        to: Timestamp,
        /// Who waits.
        answer: oneshot::Sender<Result<Timestamp, TriggerError>>,
    },
}

/// Why an order is not carried out. Nothing was begun.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TriggerError {
    /// Another host leads the job's group, or none does, or this one can't keep the job.
    #[error(
        "this host does not lead the job's group, or does not keep its schedule yet; try again in a moment, and see \
         `silverback jobs` for what is in the way"
    )]
    NotHere,
    /// It runs already, and has no room for another run.
    #[error("a run of this job is under way")]
    UnderWay,
    /// It can't be begun.
    #[error("the run can't be begun: {0}")]
    Refused(String),
    /// Ticks that are yet to come can't be decided.
    #[error("the cursor can't be set to {to}, which is in the future: it is {now}")]
    Future {
        /// As it was asked for.
        to: Timestamp,
        /// By the leader's clock.
        now: Timestamp,
    },
    /// A span that can't be filled in.
    #[error(transparent)]
    Backfill(#[from] BackfillError),
}

impl Order {
    /// It is not carried out.
    pub(super) fn refuse(self, error: TriggerError) {
        // Whoever asked may be gone.
        match self {
            Order::Run(answer) => drop(answer.send(Err(error))),
            Order::Backfill { answer, .. } => drop(answer.send(Err(error))),
            Order::SetCursor { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

//! What a scheduled job does next. No I/O, no clock, no randomness: the job's run state, its policies, its schedule and the
//! time come in, and what is to be written, begun, stopped or waited for goes out. Whoever drives it reads, writes and waits.
//!
//! The driver takes over ([`taken_over`], [`changed`]), then asks for the [`next_step`] again and again, also while runs are
//! under way, and says how each run [`ended`]. Each of these gives a whole new state, to be written in one fenced multi
//! before anything follows from it; where it can't be written, nothing has happened.
//!
//! What holds, whatever crashes between two of these calls:
//!
//! - No tick at or before the cursor is decided again. First attempts at ticks begin in the order of the ticks.
//! - Every tick is begun or skipped for a reason, as long as it was to come when the job was made, changed or resumed.
//! - A begun run whose host is gone is settled the same way by every successor:
//!
//! | crash | what the successor does |
//! |---|---|
//! | before begin | a missed tick: `catch_up` and `start_deadline` decide |
//! | between begin and finish, at-most-once | unknown, and never run again |
//! | between begin and finish, at-least-once | unknown, and the next attempt begins at once, until `start_deadline` |
//! | between two tries | nothing: the time of the next is in the state |
//! | after finish | nothing |

mod admit;
mod ahead;
mod arrivals;
mod backfill;
mod end;
mod skip;
mod state;
mod step;
mod stored;
mod takeover;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use ahead::{Ahead, ahead, cursor_set};
pub use backfill::{Backfill, BackfillError, MAX_BACKFILL, backfilled};
pub use end::{End, ended};
pub use skip::{Reason, Skip, Skipped};
pub use state::{Active, Holder, JobState, Kept, MAX_STATE_BYTES, Occasion, Paused, Phase};
pub use step::{Answer, Step, StopReason, Turn, UnderWay, has_room, next_step, ordered};
pub use takeover::{Abandoned, Changed, TakenOver, changed, taken_over};

use crate::registry::{Policies, Schedule};

/// From the limit of a run's time until its end is written, at the latest: to stop the guest, and for a multi.
const END_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// What a job says of its ticks and runs.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// When it ticks.
    pub schedule: &'a Schedule,
    /// What becomes of ticks that overlap, were missed or failed.
    pub policies: &'a Policies,
    /// How long a run may take.
    pub run_time: Duration,
}

/// What a term knows, besides what is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Whose it is.
    pub holder: Holder,
    /// Since when it keeps this job. A tick that came before was missed.
    pub since: Timestamp,
    /// The runs that were asked to stop and have not ended yet, by nonce.
    pub stopping: Vec<u32>,
}

/// What is to be written, all at once, and what then follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The new state.
    pub next: JobState,
    /// The same, as its node's value.
    pub value: Vec<u8>,
    /// What doesn't run: for the records, once it is written.
    pub skips: Vec<Skip>,
    /// The attempt that starts once it is written.
    pub begin: Option<Begin>,
}

/// An attempt that is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// What for.
    pub of: Occasion,
    /// From 1.
    pub attempt: u32,
    /// What marks it in the state.
    pub nonce: u32,
}

impl Rules<'_> {
    /// No attempt at the tick begins after it; None where it may begin any time.
    fn last_begin(&self, of: &Occasion) -> Option<Timestamp> {
        let deadline = millis(self.policies.start_deadline_ms?);
        match of {
            Occasion::Tick(tick) => Some(later(self.schedule.begins(*tick), deadline)),
            Occasion::Order(_) | Occasion::Backfill(_) => None,
        }
    }

    fn is_too_late(&self, of: &Occasion, at: Timestamp) -> bool {
        self.last_begin(of).is_some_and(|last| at > last)
    }

    /// By when the end of a run that is begun at `at` is written.
    fn end_deadline(&self, at: Timestamp) -> Timestamp {
        later(later(at, SignedDuration::try_from(self.run_time).unwrap_or(SignedDuration::MAX)), END_GRACE)
    }
}

fn millis(ms: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// The end of time where there is no such time.
fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;

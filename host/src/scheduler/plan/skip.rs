//! What doesn't run, and why.

use std::fmt;

use jiff::Timestamp;

use super::state::Occasion;

/// An attempt at a tick, or many ticks, that won't be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Which.
    pub what: Skipped,
    /// Why.
    pub reason: Reason,
}

/// What is skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// A tick: no attempt at it was begun.
    Tick(Timestamp),
    /// All ticks from the first until before the second, too many to name.
    Ticks {
        /// The oldest.
        first: Timestamp,
        /// Not this one.
        before: Timestamp,
    },
    /// The rest of a span that was being filled in: its ticks from the first until before the second.
    Backfill {
        /// The oldest.
        first: Timestamp,
        /// Not this one.
        before: Timestamp,
    },
    /// An attempt at something that is no tick of its own any more: the attempts before it have outcomes of their own, or it
    /// was asked for beside the schedule.
    Attempt {
        /// At what.
        of: Occasion,
        /// From 1.
        attempt: u32,
    },
}

/// Why something is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It came while no host led the job's group, and is not to be caught up with.
    Leaderless,
    /// It came while its host was held up, and is not to be caught up with.
    HeldUp,
    /// It is older than the window of the ticks that are caught up with.
    OutOfWindow,
    /// There are more to catch up with than the job allows.
    TooManyMissed,
    /// A run was under way.
    Overlapped,
    /// The tick before waited for its turn: its tenant, or its host, ran as much as it may.
    NoTurn,
    /// As many runs were under way as the job allows.
    TooManyRunning,
    /// A later tick took its place in the queue.
    Superseded,
    /// More ticks wait than the job allows.
    QueueFull,
    /// It would begin after the job's start deadline.
    TooLate,
    /// The job was changed, resumed or paused meanwhile.
    Changed,
    /// The ensemble was restored from an older state since: it may have run before that.
    Restored,
    /// The job had paused itself.
    Paused,
    /// Hosts were lost with it so often that it may be what they die of.
    TooManyAttempts,
    /// It can't be begun: its component can't be run, or is damaged.
    Unavailable,
    /// It can't be begun now: its component can't be had at the moment.
    OutOfReach,
    /// As many runs of its tenant wait for their turn on its host as the tenant may have wait.
    TooManyWaiting,
}

impl Reason {
    /// Each of them.
    pub const ALL: [Reason; 17] = [
        Reason::Leaderless,
        Reason::HeldUp,
        Reason::OutOfWindow,
        Reason::TooManyMissed,
        Reason::Overlapped,
        Reason::NoTurn,
        Reason::TooManyRunning,
        Reason::Superseded,
        Reason::QueueFull,
        Reason::TooLate,
        Reason::Changed,
        Reason::Restored,
        Reason::Paused,
        Reason::TooManyAttempts,
        Reason::Unavailable,
        Reason::OutOfReach,
        Reason::TooManyWaiting,
    ];

    /// It will be over by itself: what was begun before and may go on waits for that. A tick of its own doesn't, or a tenant
    /// that has too much would have ever more.
    pub(super) fn passes(self) -> bool {
        match self {
            Reason::TooManyWaiting | Reason::OutOfReach => true,
            Reason::Leaderless
            | Reason::HeldUp
            | Reason::OutOfWindow
            | Reason::TooManyMissed
            | Reason::Overlapped
            | Reason::NoTurn
            | Reason::TooManyRunning
            | Reason::Superseded
            | Reason::QueueFull
            | Reason::TooLate
            | Reason::Changed
            | Reason::Restored
            | Reason::Paused
            | Reason::TooManyAttempts
            | Reason::Unavailable => false,
        }
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Leaderless => "no host led the job's group then, or the job was paused",
            Reason::HeldUp => "the host that leads the job's group was held up, and a later tick has come",
            Reason::OutOfWindow => "it came before the window of catch_up",
            Reason::TooManyMissed => "more ticks were missed than max_catch_up",
            Reason::Overlapped => "the run before was still under way",
            Reason::NoTurn => "the tick before waited for its turn among its tenant's and its host's runs",
            Reason::TooManyRunning => "max_running runs were under way",
            Reason::Superseded => "a later tick took its place while it waited",
            Reason::QueueFull => "max_queued later ticks wait",
            Reason::TooLate => "its start_deadline was over",
            Reason::Changed => "the job was changed, paused or resumed meanwhile",
            Reason::Restored => {
                "the ensemble was restored from an older state, so whether it ran before is not known here"
            }
            Reason::Paused => "the job had paused itself after failures",
            Reason::TooManyAttempts => "too many hosts were lost while they ran it",
            Reason::Unavailable => "its component can't be run",
            Reason::OutOfReach => "its component can't be had at the moment",
            Reason::TooManyWaiting => "max_waiting runs of its tenant wait on its host",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

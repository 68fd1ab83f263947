//! The three things that stop a run from outside: its term's end, a kill, its time limit.
//!
//! They are looked at twice: from inside the guest, whenever the epoch moves ([`Stops::due`]), and beside it while a host
//! call waits ([`Stops::wait`]), when no epoch reaches the guest.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use super::run::End;
use crate::capability::{Gate, Interrupt};
use crate::clock::Clock;

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Stop {
    #[error("its term ended")]
    LostLeadership,
    #[error("it was killed")]
    Killed,
    #[error("it ran longer than {limit_ms} ms")]
    TimedOut { limit_ms: u64 },
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::LostLeadership => End::LostLeadership,
            Stop::Killed => End::Killed,
            Stop::TimedOut { limit_ms } => End::TimedOut { limit_ms },
        }
    }
}

/// What may stop one run.
#[derive(Clone)]
pub(super) struct Stops {
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
    interrupt: Interrupt,
    killed: watch::Receiver<bool>,
    limit: Option<Limit>,
}

#[derive(Clone, Copy)]
struct Limit {
    time: Duration,
    /// On the boot clock.
    deadline: Duration,
}

impl Stops {
    /// The run's time begins with [`Stops::begin`].
    pub(super) fn new(clock: Arc<dyn Clock>, gate: Arc<Gate>, interrupt: Interrupt) -> Self {
        let killed = interrupt.killed();
        Stops { clock, gate, interrupt, killed, limit: None }
    }

    /// Lets the run's time count from now.
    pub(super) fn begin(&mut self, limit: Option<Duration>) {
        let now = self.clock.boot();
        self.limit = limit.map(|time| Limit { time, deadline: now.saturating_add(time) });
    }

    /// The stop that is due, the gravest first.
    pub(super) fn due(&self) -> Option<Stop> {
        if self.gate.is_over() {
            return Some(Stop::LostLeadership);
        }
        if *self.killed.borrow() {
            return Some(Stop::Killed);
        }
        let limit = self.limit.filter(|limit| self.clock.boot() >= limit.deadline)?;
        Some(Stop::TimedOut { limit_ms: u64::try_from(limit.time.as_millis()).unwrap_or(u64::MAX) })
    }

    /// Waits for the first stop.
    pub(super) async fn wait(&self) -> Stop {
        let mut state = self.gate.state();
        let mut killed = self.interrupt.killed();
        loop {
            if let Some(stop) = self.due() {
                return stop;
            }
            tokio::select! {
                _ = state.changed() => {}
                _ = killed.changed() => {}
                () = tokio::time::sleep(self.next()) => {}
            }
        }
    }

    /// How long nothing can be due by time alone. A lease that was moved on meanwhile is looked at again then.
    fn next(&self) -> Duration {
        let lease = self.gate.remaining();
        let limit = self.limit.map(|limit| limit.deadline.saturating_sub(self.clock.boot()));
        limit.map_or(lease, |limit| limit.min(lease))
    }
}

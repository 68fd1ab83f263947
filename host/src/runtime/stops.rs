//! What stops a run from outside: its term's end, a kill, its time limit, and the limits on what it uses.
//!
//! They are looked at twice: from inside the guest, whenever the epoch moves ([`Stops::due_inside`]), and beside it while a host
//! call waits ([`Stops::wait`]), when no epoch reaches the guest.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::cpu_time::CpuTime;
use super::run::End;
use crate::capability::{Gate, Interrupt, Meter};
use crate::clock::Clock;
use crate::registry::{Limit, OverLimit};

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Stop {
    #[error("its term ended")]
    LostLeadership,
    #[error("it was killed")]
    Killed,
    #[error("it ran longer than {limit_ms} ms")]
    TimedOut { limit_ms: u64 },
    #[error(transparent)]
    Over(OverLimit),
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::LostLeadership => End::LostLeadership,
            Stop::Killed => End::Killed,
            Stop::TimedOut { limit_ms } => End::TimedOut { limit_ms },
            Stop::Over(over) => End::Trapped { message: over.to_string() },
        }
    }
}

/// What may stop one run.
#[derive(Clone)]
pub(super) struct Stops {
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
    interrupt: Interrupt,
    meter: Arc<Meter>,
    cpu: Arc<CpuTime>,
    time: Option<Time>,
}

#[derive(Clone, Copy)]
struct Time {
    limit: Duration,
    /// On the boot clock.
    deadline: Duration,
}

impl Stops {
    /// The run's wall time begins with [`Stops::begin`].
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        gate: Arc<Gate>,
        interrupt: Interrupt,
        meter: Arc<Meter>,
        cpu: Arc<CpuTime>,
    ) -> Self {
        Stops { clock, gate, interrupt, meter, cpu, time: None }
    }

    /// Lets the run's time count from now.
    pub(super) fn begin(&mut self) {
        let now = self.clock.boot();
        let limit = self.meter.limits().time(Limit::TimeMs);
        self.time = limit.map(|limit| Time { limit, deadline: now.saturating_add(limit) });
    }

    /// The stop that is due, the gravest first.
    pub(super) fn due(&self) -> Option<Stop> {
        if self.gate.is_over() {
            return Some(Stop::LostLeadership);
        }
        if self.interrupt.is_killed() {
            return Some(Stop::Killed);
        }
        if let Some(over) = self.meter.over() {
            return Some(Stop::Over(over));
        }
        let time = self.time.filter(|time| self.clock.boot() >= time.deadline)?;
        Some(Stop::TimedOut { limit_ms: millis(time.limit) })
    }

    /// The same, asked from inside the guest, which may have computed for long.
    pub(super) fn due_inside(&self) -> Option<Stop> {
        self.due().or_else(|| self.meter.hold(Limit::CpuMs, millis(self.cpu.used())).err().map(Stop::Over))
    }

    /// Waits for the first stop.
    pub(super) async fn wait(&self) -> Stop {
        let mut state = self.gate.state();
        loop {
            if let Some(stop) = self.due() {
                return stop;
            }
            tokio::select! {
                _ = state.changed() => {}
                () = self.interrupt.killed() => {}
                () = tokio::time::sleep(self.next()) => {}
            }
        }
    }

    /// How long nothing can be due by time alone. A lease that was moved on meanwhile is looked at again then.
    fn next(&self) -> Duration {
        let lease = self.gate.remaining();
        let time = self.time.map(|time| time.deadline.saturating_sub(self.clock.boot()));
        time.map_or(lease, |time| time.min(lease))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

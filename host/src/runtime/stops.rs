//! What stops a run from outside: its term's end, a kill, its time limit, and the limits on what it uses.
//!
//! They are looked at twice: from inside the guest, whenever the epoch moves ([`Stops::due_inside`]), and beside it while a host
//! call waits ([`Stops::wait`]), when no epoch reaches the guest.

use std::sync::{Arc, OnceLock};
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
pub(super) struct Stops {
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
    interrupt: Interrupt,
    meter: Arc<Meter>,
    cpu: Arc<CpuTime>,
    /// When the run began, on the boot clock.
    began: OnceLock<Duration>,
}

impl Stops {
    /// The run's wall time begins with [`Stops::begin`].
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        gate: Arc<Gate>,
        interrupt: Interrupt,
        meter: Arc<Meter>,
        cpu: Arc<CpuTime>,
    ) -> Arc<Self> {
        Arc::new(Stops { clock, gate, interrupt, meter, cpu, began: OnceLock::new() })
    }

    /// The run's term.
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What counts what the run uses, and knows its limits.
    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// How long the run's guest has computed.
    pub(super) fn cpu(&self) -> &CpuTime {
        &self.cpu
    }

    /// Lets the run's time count from now.
    pub(super) fn begin(&self) {
        self.began.get_or_init(|| self.clock.boot());
    }

    /// The time since the run began; none before it does.
    pub(super) fn passed(&self) -> Duration {
        self.began.get().map_or(Duration::ZERO, |began| self.clock.boot().saturating_sub(*began))
    }

    /// The limit of the run's time, and what is left of it; None before the run begins.
    fn time(&self) -> Option<(Duration, Duration)> {
        self.began.get()?;
        let limit = self.meter.limits().time(Limit::TimeMs)?;
        Some((limit, limit.saturating_sub(self.passed())))
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
        let (limit, _) = self.time().filter(|(_, left)| left.is_zero())?;
        Some(Stop::TimedOut { limit_ms: millis(limit) })
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
        self.time().map_or(lease, |(_, left)| left.min(lease))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

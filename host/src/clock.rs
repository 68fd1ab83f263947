//! The only place where a clock is read.
//!
//! Two clocks for when, never mixed: [`Clock::boot`] for "how long since" (leases, deadlines), which counts while the machine is
//! suspended and never jumps, and [`Clock::wall`] for "what time is it" (ticks, records), which may jump.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Time since the machine started, time in suspend included. Rust's `Instant` doesn't count suspend on Linux, so a
    /// lease measured with it would outlive the session of a laptop that was closed.
    fn boot(&self) -> Duration;

    /// Wall-clock time in UTC.
    fn wall(&self) -> Timestamp;

    /// How long the thread that asks has computed: what it waited for, or stood still for others, doesn't count.
    fn computed(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    }
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The machine's clocks, ready to be shared.
pub fn system() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// For tests: a wall clock that stands still until it is set, on the machine's own boot clock.
#[cfg(test)]
pub(crate) struct SetClock(std::sync::Mutex<Timestamp>);

#[cfg(test)]
impl SetClock {
    pub(crate) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(SetClock(std::sync::Mutex::new(now)))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap() = now;
    }
}

#[cfg(test)]
impl Clock for SetClock {
    fn boot(&self) -> Duration {
        SystemClock.boot()
    }

    fn wall(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

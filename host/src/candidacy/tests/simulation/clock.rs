//! Time: one that passes for everybody, and each host's own reading of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::clock::Clock;

/// Since the run began, as the ensemble counts it.
pub(super) type Time = Duration;

/// No host's turn.
const NOBODY: usize = usize::MAX;

/// When the current step began, and whose turn it is.
pub(super) struct WorldClock {
    now_us: AtomicU64,
    turn: AtomicUsize,
}

impl WorldClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(WorldClock { now_us: AtomicU64::new(0), turn: AtomicUsize::new(NOBODY) })
    }

    pub(super) fn now(&self) -> Time {
        Duration::from_micros(self.now_us.load(Ordering::Relaxed))
    }

    pub(super) fn pass(&self, time: Duration) {
        self.now_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    pub(super) fn begin_turn(&self, host: usize) {
        self.turn.store(host, Ordering::Relaxed);
    }

    pub(super) fn end_turn(&self) {
        self.turn.store(NOBODY, Ordering::Relaxed);
    }
}

/// A host's clock: right but for its rate. Read in the host's own turn it follows the host's timers; read by others it says
/// what it showed when the step began.
pub(super) struct HostClock {
    pub(super) world: Arc<WorldClock>,
    pub(super) host: usize,
    /// When the process began, on the world's clock and on its own runtime's.
    pub(super) began: (Time, Instant),
    /// How much it is fast, in parts per thousand; negative where it is slow.
    pub(super) fast_per_mille: i32,
    /// It shows one time for ever.
    pub(super) stands_still: bool,
}

impl Clock for HostClock {
    fn boot(&self) -> Duration {
        let mut now = if self.stands_still { self.began.0 } else { self.world.now() };
        if !self.stands_still && self.world.turn.load(Ordering::Relaxed) == self.host {
            now = now.max(self.began.0 + self.began.1.elapsed());
        }
        // Never zero, which a lease takes for over.
        Duration::from_secs(1000) + now * (1000 + self.fast_per_mille).unsigned_abs() / 1000
    }

    fn wall(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

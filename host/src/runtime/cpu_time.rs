//! How long one run's guest has computed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// Between two turns.
const AT_REST: u64 = u64::MAX;

/// Counts a guest's turns, on whatever threads it has them.
pub(super) struct CpuTime {
    clock: Arc<dyn Clock>,
    /// In nanoseconds, of the turns that are over.
    used: AtomicU64,
    /// In nanoseconds, by the clock of the thread that it is on; or [`AT_REST`].
    turn_began: AtomicU64,
}

impl CpuTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(CpuTime { clock, used: AtomicU64::new(0), turn_began: AtomicU64::new(AT_REST) })
    }

    /// A turn of the guest on this thread. Gives what `compute` gives, and how long it took.
    pub(super) fn turn<T>(&self, compute: impl FnOnce() -> T) -> (T, Duration) {
        let before = self.used.load(Ordering::Relaxed);
        self.turn_began.store(nanos(self.clock.computed()), Ordering::Relaxed);
        let done = compute();
        (done, self.end_turn().saturating_sub(Duration::from_nanos(before)))
    }

    /// Counts the turn that this thread is in, where one is, to here and no further: the clock costs a system call. Gives all of
    /// it so far.
    pub(super) fn end_turn(&self) -> Duration {
        let used = self.used();
        self.turn_began.store(AT_REST, Ordering::Relaxed);
        self.used.store(nanos(used), Ordering::Relaxed);
        used
    }

    /// All of it so far. During a turn it is to be asked on the turn's own thread.
    pub(super) fn used(&self) -> Duration {
        let before = Duration::from_nanos(self.used.load(Ordering::Relaxed));
        match self.turn_began.load(Ordering::Relaxed) {
            AT_REST => before,
            began => before + self.clock.computed().saturating_sub(Duration::from_nanos(began)),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(AT_REST - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn turns_are_summed_and_waits_are_not() {
        let cpu = CpuTime::new(clock::system());
        let spin = |cpu: &CpuTime| {
            let from = cpu.used();
            while cpu.used() < from + Duration::from_millis(20) {}
        };
        let ((), first) = cpu.turn(|| spin(&cpu));
        assert!(first >= Duration::from_millis(20));
        assert_eq!(cpu.used(), first);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(cpu.used(), first, "a wait is no turn");
        let ((), second) = cpu.turn(|| {
            spin(&cpu);
            let ended = cpu.end_turn();
            std::thread::sleep(Duration::from_millis(1));
            assert_eq!(cpu.used(), ended, "the turn is over before it returns");
        });
        assert_eq!(cpu.used(), first + second);
    }
}

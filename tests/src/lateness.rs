//! How late the machine itself is: a thread beside a test that only wakes again and again, and remembers its worst delay.
//!
//! A test that bounds how late something comes judges the machine too, which other tests may keep busy. What this thread saw
//! at the same time is the machine's part, and no fault of what is tested.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often it wakes.
const BEAT: Duration = Duration::from_millis(50);
/// What is tested waits for the processor several times (a command's process, its host, the answer), and this thread once.
const TURNS: u32 = 4;

/// Measures for as long as it is held.
pub struct Lateness {
    worst_us: Arc<AtomicU64>,
    _until_dropped: Sender<()>,
}

impl Lateness {
    /// Begins to measure.
    ///
    /// # Panics
    /// If no thread can be started.
    pub fn measure() -> Self {
        let worst_us = Arc::new(AtomicU64::new(0));
        let (until_dropped, dropped) = channel::<()>();
        let seen = worst_us.clone();
        let beats = move || {
            loop {
                let began = Instant::now();
                if dropped.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let late = began.elapsed().saturating_sub(BEAT);
                seen.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            }
        };
        thread::Builder::new().name("lateness".to_owned()).spawn(beats).expect("a thread");
        Lateness { worst_us, _until_dropped: until_dropped }
    }

    /// Returns the worst delay so far.
    pub fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_us.load(Ordering::Relaxed))
    }

    /// Returns how late something may come that is `bound` late at most on a machine with nothing else to do.
    pub fn allows(&self, bound: Duration) -> Duration {
        bound + self.worst() * TURNS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::for_a_while;

    #[test]
    fn a_bound_grows_with_what_the_machine_was_late() {
        let lateness = Lateness::measure();
        for_a_while(BEAT * 3, || {});
        assert!(lateness.worst() > Duration::ZERO, "no thread wakes in no time");
        lateness.worst_us.store(2_000_000_000, Ordering::Relaxed);
        assert_eq!(lateness.allows(Duration::from_secs(1)), Duration::from_secs(8001));
    }
}

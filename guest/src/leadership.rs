//! What the host tells about the term, and the wait that ends with it.

use std::time::Duration;

use crate::host;

pub use crate::bindings::silverback::leader::leadership::{Contender, Wake};

/// True while the host can prove that this term leads.
pub fn is_leader() -> bool {
    host::is_leader()
}

/// The fencing token of this term: a target outside that refuses lower ones can't be written to by a deposed leader.
pub fn token() -> u64 {
    host::token()
}

/// How long the host could go on without hearing from the ensemble. Zero when the term is over.
pub fn remaining() -> Duration {
    Duration::from_millis(host::remaining_ms())
}

/// True when the function should return soon: a drain or resignation was asked for, or leadership is going.
pub fn should_stop() -> bool {
    host::should_stop()
}

/// Waits without using CPU time; returns early, with [`Wake::Stop`], when the function should stop. (A plain
/// `std::thread::sleep` works too, but can't be woken.)
pub fn sleep(time: Duration) -> Wake {
    host::sleep(millis(time))
}

/// The queue of the election, the leader first.
///
/// # Errors
/// A sentence, where the ensemble can't be asked; wit/leader.wit says how it begins.
pub fn contenders() -> Result<Vec<Contender>, String> {
    host::contenders()
}

/// At least as long as `time`, in whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_cut_short_to_nothing() {
        assert_eq!([0, 1, 999, 1000, 1001].map(|us| millis(Duration::from_micros(us))), [0, 1, 1, 1, 2]);
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }
}

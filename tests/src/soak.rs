//! How long and how often: the same tests run short in `make test`, and long where `SILVERBACK_SOAK=1` asks for it. This is
//! the only place that reads it.

use std::env;
use std::time::Duration;

/// The variable that asks for the long runs.
const VARIABLE: &str = "SILVERBACK_SOAK";

/// How often something is done: `test` times, or `soak` times in a long run.
pub fn times(test: usize, soak: usize) -> usize {
    pick(asked(), test, soak)
}

/// How long something is done.
pub fn span(test: Duration, soak: Duration) -> Duration {
    pick(asked(), test, soak)
}

fn asked() -> bool {
    env::var(VARIABLE).is_ok_and(|value| value == "1")
}

fn pick<T>(asked: bool, test: T, soak: T) -> T {
    if asked { soak } else { test }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_run_is_long() {
        assert_eq!((pick(false, 10, 200), pick(true, 10, 200)), (10, 200));
    }
}

//! Times of something that was done again and again, and where they lie.

use std::time::{Duration, Instant};

/// Measured times, in no order.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// One more.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// One more: from `begin` until now.
    pub fn push_since(&mut self, begin: Instant) {
        self.push(begin.elapsed());
    }

    /// All of `more`.
    pub fn add(&mut self, more: Times) {
        self.0.extend(more.0);
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.0.iter().sum()
    }

    /// The time that half of them don't exceed.
    ///
    /// # Panics
    /// Where there are none.
    pub fn p50(&self) -> Duration {
        self.percentile(50)
    }

    /// The time that 99 of a hundred don't exceed.
    ///
    /// # Panics
    /// Where there are none.
    pub fn p99(&self) -> Duration {
        self.percentile(99)
    }

    /// The longest.
    ///
    /// # Panics
    /// Where there are none.
    pub fn max(&self) -> Duration {
        self.percentile(100)
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut times = self.0.clone();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100);
        *times.get(rank.saturating_sub(1)).expect("at least one time was measured")
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Times(times.into_iter().collect())
    }
}

/// In microseconds.
pub fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// In milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(count: u64) -> Times {
        (1..=count).rev().map(Duration::from_secs).collect()
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        for (count, p50, p99) in [(1, 1, 1), (2, 1, 2), (5, 3, 5), (100, 50, 99), (200, 100, 198)] {
            let seconds = Duration::from_secs;
            assert_eq!((times(count).p50(), times(count).p99()), (seconds(p50), seconds(p99)), "of {count}");
        }
    }

    #[test]
    #[should_panic(expected = "at least one time")]
    fn none_have_no_percentile() {
        Times::default().p50();
    }
}

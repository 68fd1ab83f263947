//! The bound on a run's memory: all linear memories and tables together. (wasmtime's own `StoreLimits` bounds each of
//! them alone.)

use thiserror::Error;
use wasmtime::ResourceLimiter;

/// Bytes of one table element.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts what a run's memories and tables hold.
pub(super) struct Limiter {
    limit: usize,
    held: usize,
    peak: usize,
}

/// The run asked for more than it may have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("memory {wanted} bytes is over the limit of {limit} bytes ({} MiB)", limit >> 20)]
pub(super) struct OverMemory {
    wanted: usize,
    limit: usize,
}

impl Limiter {
    /// At most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Limiter { limit, held: 0, peak: 0 }
    }

    /// The most that was held, in bytes.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    /// One memory or table grows. Going over traps: a run that could go on with a failed allocation would end in some
    /// less telling way later.
    fn grow(&mut self, from: usize, to: usize) -> wasmtime::Result<bool> {
        let wanted = self.held.saturating_add(to.saturating_sub(from));
        if wanted > self.limit {
            return Err(OverMemory { wanted, limit: self.limit }.into());
        }
        self.held = wanted;
        self.peak = self.peak.max(wanted);
        Ok(true)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current.saturating_mul(ELEMENT_BYTES), desired.saturating_mul(ELEMENT_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut limiter = Limiter::new(1000);
        limiter.memory_growing(0, 400, None).unwrap();
        limiter.memory_growing(0, 400, None).unwrap();
        limiter.table_growing(0, 25, None).unwrap();
        assert_eq!(limiter.peak(), 1000);
        let error = limiter.table_growing(25, 26, None).unwrap_err();
        assert_eq!(error.downcast_ref::<OverMemory>(), Some(&OverMemory { wanted: 1008, limit: 1000 }));
        assert!(limiter.memory_growing(400, 401, None).is_err());
    }

    #[test]
    fn the_message_names_the_limit() {
        let error = OverMemory { wanted: 67_174_400, limit: 64 << 20 };
        assert_eq!(error.to_string(), "memory 67174400 bytes is over the limit of 67108864 bytes (64 MiB)");
    }
}

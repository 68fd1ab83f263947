//! The bounds on a run's memory, tables and instances: all linear memories and tables together. (wasmtime's own
//! `StoreLimits` bounds each of them alone.)

use std::sync::Arc;

use thiserror::Error;
use wasmtime::ResourceLimiter;

use super::engine::{MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS};
use crate::capability::{Meter, OverBudget, Share};
use crate::registry::{Limit, OverLimit, Unit};

/// Bytes of one table element.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// The memory that guests hold together.
#[derive(Debug, Error)]
#[error("{} (silverback up --guest-memory)", .0.tell("memory", |bytes| Unit::Bytes.write(bytes)))]
pub(super) struct OverMemory(OverBudget);

/// Counts what a run's memories and tables hold.
pub(super) struct Limiter {
    meter: Arc<Meter>,
    share: Share,
    held: usize,
    peak: usize,
    elements: usize,
}

impl Limiter {
    /// Of a run that has this meter's limits, and its share of the host's memory.
    pub(super) fn new(meter: Arc<Meter>, share: Share) -> Self {
        Limiter { meter, share, held: 0, peak: 0, elements: 0 }
    }

    /// The most that was held, in bytes.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    /// One memory or table grows. Going over traps: a run that could go on with a failed allocation would end in some
    /// less telling way later.
    fn grow(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        let wanted = self.held.saturating_add(bytes);
        self.hold(Limit::MemoryBytes, wanted, MAX_MEMORY_BYTES)?;
        self.share.grow(bytes as u64).map_err(OverMemory)?;
        self.held = wanted;
        self.peak = self.peak.max(wanted);
        Ok(true)
    }

    /// Within a limit, and within what the engine has room for.
    fn hold(&self, limit: Limit, wanted: usize, room: usize) -> Result<(), OverLimit> {
        let most = self.meter.limits().size(limit).min(room);
        match wanted > most {
            true => Err(OverLimit { limit, used: Some(wanted as u64), most: most as u64 }),
            false => Ok(()),
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        // The guest's own bound, which it lives with: it isn't held, and no limit is passed.
        if most.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        self.grow(desired.saturating_sub(current))
    }

    fn table_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        // Where it has none, this is the engine's.
        if most.is_some_and(|most| desired > most && most < MAX_TABLE_ELEMENTS) {
            return Ok(false);
        }
        self.hold(Limit::TableElements, desired, MAX_TABLE_ELEMENTS)?;
        let more = desired.saturating_sub(current);
        let elements = self.elements.saturating_add(more);
        self.hold(Limit::TableElements, elements, usize::MAX)?;
        self.elements = elements;
        self.grow(more.saturating_mul(ELEMENT_BYTES))
    }

    fn instances(&self) -> usize {
        self.meter.limits().size(Limit::Instances)
    }

    fn memories(&self) -> usize {
        self.meter.limits().size(Limit::Memories)
    }

    fn tables(&self) -> usize {
        self.meter.limits().size(Limit::Tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Budget;
    use crate::registry::{Ceilings, Limits};

    fn limiter(memory_bytes: u64, elements: u64) -> Limiter {
        let limits = Limits { memory_bytes, ..Limits::LEADER }.with(Limit::TableElements, elements);
        Limiter::new(Meter::new(limits.of_run(false, &Ceilings::NONE)), Budget::new(2000, 2000).share("acme"))
    }

    #[test]
    fn memories_and_tables_count_together() {
        let mut limiter = limiter(1000, 100);
        limiter.memory_growing(0, 400, None).unwrap();
        limiter.memory_growing(0, 400, None).unwrap();
        limiter.table_growing(0, 25, None).unwrap();
        assert_eq!(limiter.peak(), 1000);
        let error = limiter.table_growing(25, 26, None).unwrap_err();
        let over = OverLimit { limit: Limit::MemoryBytes, used: Some(1008), most: 1000 };
        assert_eq!(error.downcast_ref::<OverLimit>(), Some(&over));
        assert!(limiter.memory_growing(400, 401, None).is_err());
    }

    /// It gets its -1 as often as it asks.
    #[test]
    fn what_the_guests_own_bound_refuses_is_not_held() {
        let mut limiter = limiter(1000, 100);
        assert!(limiter.memory_growing(0, 400, Some(800)).unwrap());
        for _ in 0..3 {
            assert!(!limiter.memory_growing(400, 900, Some(800)).unwrap());
            assert!(!limiter.table_growing(0, 50, Some(10)).unwrap());
        }
        assert_eq!((limiter.peak(), limiter.elements), (400, 0));
    }

    #[test]
    fn the_elements_of_all_tables_count_together_and_each_has_a_place() {
        let mut limiter = limiter(1 << 30, 30_000);
        let mut refused = |current, desired| {
            let error = limiter.table_growing(current, desired, None).err()?;
            error.downcast_ref::<OverLimit>().map(ToString::to_string)
        };
        assert_eq!(refused(0, 20_001).as_deref(), Some("table_elements 20001 is over the limit of 20000"));
        assert_eq!((refused(0, 20_000), refused(0, 10_000)), (None, None));
        assert_eq!(refused(10_000, 10_001).as_deref(), Some("table_elements 30001 is over the limit of 30000"));
    }
}

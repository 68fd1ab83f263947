//! The memory of all guests together: what a host gives them, and how much of it one tenant's may hold.
//!
//! A limit on each run bounds no sum of them, and a host whose memory is gone is killed with all that run there.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::registry::Unit;

/// A tenant's guests may hold one part in so many.
const TENANTS: u64 = 2;

/// What all guests of a host hold.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    most: u64,
    held: AtomicU64,
    /// Of tenants with runs.
    tenants: Mutex<HashMap<String, Arc<AtomicU64>>>,
}

impl MemoryBudget {
    /// So many bytes for all of them.
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(MemoryBudget { most, held: AtomicU64::default(), tenants: Mutex::default() })
    }

    /// One run's, of a tenant.
    pub(super) fn share(self: &Arc<Self>, tenant: &str) -> MemoryShare {
        let mut tenants = self.tenants();
        let of_tenant = match tenants.get(tenant) {
            Some(held) => held.clone(),
            None => tenants.entry(tenant.to_owned()).or_default().clone(),
        };
        drop(tenants);
        MemoryShare { budget: self.clone(), tenant: tenant.to_owned(), of_tenant, held: 0 }
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<String, Arc<AtomicU64>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one run holds. It is given back when this is dropped.
pub(super) struct MemoryShare {
    budget: Arc<MemoryBudget>,
    tenant: String,
    of_tenant: Arc<AtomicU64>,
    held: u64,
}

impl MemoryShare {
    /// Holds so many bytes more.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), OverBudget> {
        let most = self.budget.most;
        let of_all = self.budget.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let of_tenant = self.of_tenant.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.held += bytes;
        let over = if of_tenant > most / TENANTS {
            OverBudget { tenant: Some(self.tenant.clone()), wanted: of_tenant, most: most / TENANTS }
        } else if of_all > most {
            OverBudget { tenant: None, wanted: of_all, most }
        } else {
            return Ok(());
        };
        self.shrink(bytes);
        Err(over)
    }

    /// Holds so many less.
    pub(super) fn shrink(&mut self, bytes: u64) {
        self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
        self.of_tenant.fetch_sub(bytes, Ordering::Relaxed);
        self.held -= bytes;
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.shrink(self.held);
        let mut tenants = self.budget.tenants();
        // Two: the map's and ours.
        if Arc::strong_count(&self.of_tenant) == 2 {
            tenants.remove(&self.tenant);
        }
    }
}

/// The guests of a host, or of one tenant there, would hold too much together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OverBudget {
    tenant: Option<String>,
    wanted: u64,
    most: u64,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverBudget { tenant, wanted, most } = self;
        let whose = tenant.as_ref().map_or("all guests".to_owned(), |tenant| format!("tenant `{tenant}`'s guests"));
        let [wanted, most] = [wanted, most].map(|bytes| Unit::Bytes.write(*bytes));
        write!(f, "memory of {whose} on this host {wanted} is over the limit of {most} (silverback up --guest-memory)")
    }
}

impl Error for OverBudget {}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn no_tenant_takes_all_and_all_together_no_more_than_there_is() {
        let budget = MemoryBudget::new(100 * MIB);
        let (mut first, mut second) = (budget.share("acme"), budget.share("acme"));
        first.grow(30 * MIB).unwrap();
        let refused = second.grow(21 * MIB).unwrap_err().to_string();
        assert_eq!(
            refused,
            "memory of tenant `acme`'s guests on this host 51MiB is over the limit of 50MiB (silverback up --guest-memory)"
        );
        second.grow(20 * MIB).unwrap();
        let mut others = budget.share("zoo");
        others.grow(40 * MIB).unwrap();
        let refused = budget.share("third").grow(11 * MIB).unwrap_err().to_string();
        assert_eq!(
            refused,
            "memory of all guests on this host 101MiB is over the limit of 100MiB (silverback up --guest-memory)"
        );
        first.shrink(MIB);
        budget.share("third").grow(11 * MIB).unwrap();
    }

    #[test]
    fn a_run_gives_back_what_it_held() {
        let budget = MemoryBudget::new(100 * MIB);
        let (mut first, second) = (budget.share("acme"), budget.share("acme"));
        first.grow(50 * MIB).unwrap();
        drop(first);
        assert_eq!((budget.held.load(Ordering::Relaxed), budget.tenants().len()), (0, 1));
        drop(second);
        assert!(budget.tenants().is_empty(), "nothing is kept of who has no runs");
    }
}

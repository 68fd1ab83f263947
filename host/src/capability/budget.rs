//! What all guests of a host have of something together, and how much of it one tenant's may have.
//!
//! A limit on each run bounds no sum of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::per_name::{OfName, PerName};

/// So much of something.
#[derive(Debug)]
pub struct Budget {
    most: u64,
    of_tenant: u64,
    held: AtomicU64,
    tenants: Arc<PerName<AtomicU64>>,
}

impl Budget {
    /// So much for all guests, of which those of one tenant may have so much.
    pub fn new(most: u64, of_tenant: u64) -> Arc<Self> {
        Arc::new(Budget { most, of_tenant, held: AtomicU64::default(), tenants: Arc::default() })
    }

    /// For one of a tenant's guests.
    pub fn share(self: &Arc<Self>, tenant: &str) -> Share {
        Share { budget: self.clone(), of_tenant: self.tenants.of(tenant, AtomicU64::default), held: 0 }
    }
}

/// What one guest holds. It is given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    of_tenant: OfName<AtomicU64>,
    held: u64,
}

impl Share {
    /// Holds so much more.
    ///
    /// # Errors
    /// [`OverBudget`]; then it holds what it held.
    pub fn grow(&mut self, by: u64) -> Result<(), OverBudget> {
        let (most, most_of_tenant) = (self.budget.most, self.budget.of_tenant);
        let of_all = self.budget.held.fetch_add(by, Ordering::Relaxed).saturating_add(by);
        let of_tenant = self.of_tenant.fetch_add(by, Ordering::Relaxed).saturating_add(by);
        self.held += by;
        let over = if of_tenant > most_of_tenant {
            let tenant = Some(self.of_tenant.name().to_string());
            OverBudget { tenant, wanted: of_tenant, most: most_of_tenant }
        } else if of_all > most {
            OverBudget { tenant: None, wanted: of_all, most }
        } else {
            return Ok(());
        };
        self.shrink(by);
        Err(over)
    }

    /// Whose, to be shared.
    pub fn tenant(&self) -> &Arc<str> {
        self.of_tenant.name()
    }

    fn shrink(&mut self, by: u64) {
        self.budget.held.fetch_sub(by, Ordering::Relaxed);
        self.of_tenant.fetch_sub(by, Ordering::Relaxed);
        self.held -= by;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.held);
    }
}

/// The guests of a host, or of one tenant there, would have too much together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// Whose guests; None where it is all of them.
    pub tenant: Option<String>,
    /// What they would have.
    pub wanted: u64,
    /// What they may have.
    pub most: u64,
}

impl OverBudget {
    /// In words, of something that is told so.
    pub fn tell(&self, what: &str, write: impl Fn(u64) -> String) -> String {
        let whose =
            self.tenant.as_ref().map_or("all guests".to_owned(), |tenant| format!("tenant `{tenant}`'s guests"));
        let [wanted, most] = [self.wanted, self.most].map(write);
        format!("{what} of {whose} on this host {wanted} is over the limit of {most}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(grown: Result<(), OverBudget>) -> String {
        grown.unwrap_err().tell("bread", |loaves| format!("{loaves} loaves"))
    }

    #[test]
    fn no_tenant_takes_all_and_all_together_no_more_than_there_is() {
        let budget = Budget::new(100, 50);
        let (mut first, mut second) = (budget.share("acme"), budget.share("acme"));
        first.grow(30).unwrap();
        let refused = told(second.grow(21));
        assert_eq!(refused, "bread of tenant `acme`'s guests on this host 51 loaves is over the limit of 50 loaves");
        second.grow(20).unwrap();
        let mut others = budget.share("zoo");
        others.grow(40).unwrap();
        let refused = told(budget.share("third").grow(11));
        assert_eq!(refused, "bread of all guests on this host 101 loaves is over the limit of 100 loaves");
        drop(first);
        budget.share("third").grow(11).unwrap();
    }

    #[test]
    fn a_guest_gives_back_what_it_held() {
        let budget = Budget::new(100, 50);
        let (mut first, second) = (budget.share("acme"), budget.share("acme"));
        first.grow(50).unwrap();
        first.grow(u64::MAX - 100).unwrap_err();
        drop(first);
        assert_eq!((budget.held.load(Ordering::Relaxed), budget.tenants.len()), (0, 1));
        drop(second);
        assert_eq!(budget.tenants.len(), 0, "nothing is kept of who has no guests");
    }
}

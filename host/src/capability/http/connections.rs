//! How many requests a tenant's runs have under way on this host, all of them together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the operator says nothing.
const MAX_TENANT_REQUESTS: u32 = 256;

/// Of each tenant that has any.
#[derive(Debug, Default)]
pub struct Connections(Mutex<HashMap<String, u32>>);

/// One request's place among its tenant's.
pub(super) struct Place {
    connections: Arc<Connections>,
    tenant: String,
}

impl Connections {
    /// A place for one more request of `tenant`; None where there are `most` already.
    pub(super) fn enter(self: &Arc<Self>, tenant: &str, most: Option<u32>) -> Option<Place> {
        let mut open = self.open();
        let count = open.get(tenant).copied().unwrap_or_default();
        if count >= most.unwrap_or(MAX_TENANT_REQUESTS) {
            return None;
        }
        open.insert(tenant.to_owned(), count + 1);
        Some(Place { connections: self.clone(), tenant: tenant.to_owned() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        match open.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(open.remove(&self.tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_places_of_its_own_and_gets_them_back() {
        let connections = Arc::<Connections>::default();
        let first = connections.enter("acme", Some(2)).unwrap();
        let second = connections.enter("acme", Some(2)).unwrap();
        assert!(connections.enter("acme", Some(2)).is_none());
        assert!(connections.enter("zoo", Some(1)).is_some());
        drop(first);
        let third = connections.enter("acme", Some(2)).unwrap();
        drop((second, third));
        assert!(connections.open().is_empty(), "nothing is kept of who has none");
        let all: Vec<_> = (0..MAX_TENANT_REQUESTS).map(|_| connections.enter("acme", None).unwrap()).collect();
        assert!(connections.enter("acme", None).is_none(), "{}", all.len());
    }
}

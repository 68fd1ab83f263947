//! How many requests a tenant's runs have under way on this host, all of them together, and how many names they look up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::capability::{Fair, FairTurn};

/// Where the operator says nothing.
const MAX_TENANT_REQUESTS: u32 = 256;

/// How many names are looked up at once: each takes a thread, for as long as a name server is silent.
const LOOK_UPS: usize = 256;
/// How many of them are one tenant's.
const TENANT_LOOK_UPS: usize = 16;

/// Of each tenant that has any.
#[derive(Debug)]
pub struct Connections {
    open: Mutex<HashMap<String, u32>>,
    look_ups: Fair,
}

/// One request's place among its tenant's.
pub(super) struct Place {
    connections: Arc<Connections>,
    tenant: String,
}

impl Default for Connections {
    fn default() -> Self {
        Connections { open: Mutex::default(), look_ups: Fair::new(LOOK_UPS, TENANT_LOOK_UPS) }
    }
}

impl Connections {
    /// A place for one more request of `tenant`.
    ///
    /// # Errors
    /// How many there may be, where there are that many.
    pub(super) fn enter(self: &Arc<Self>, tenant: &str, most: Option<u32>) -> Result<Place, u32> {
        let mut open = self.open();
        let count = open.get(tenant).copied().unwrap_or_default();
        let most = most.unwrap_or(MAX_TENANT_REQUESTS);
        if count >= most {
            return Err(most);
        }
        open.insert(tenant.to_owned(), count + 1);
        Ok(Place { connections: self.clone(), tenant: tenant.to_owned() })
    }

    /// Waits until `tenant` may look one more name up.
    pub(super) async fn look_up(&self, tenant: &str) -> FairTurn {
        self.look_ups.of(tenant).turn().await
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(connections.enter("acme", Some(2)).err(), Some(2));
        assert!(connections.enter("zoo", Some(1)).is_ok());
        drop(first);
        let third = connections.enter("acme", Some(2)).unwrap();
        drop((second, third));
        assert!(connections.open().is_empty(), "nothing is kept of who has none");
        let all: Vec<_> = (0..MAX_TENANT_REQUESTS).map(|_| connections.enter("acme", None).unwrap()).collect();
        assert_eq!(connections.enter("acme", None).err(), Some(MAX_TENANT_REQUESTS), "{}", all.len());
    }

    #[tokio::test]
    async fn a_tenant_whose_names_are_not_found_keeps_others_from_nothing() {
        let connections = Arc::<Connections>::default();
        let hanging = futures::future::join_all((0..TENANT_LOOK_UPS).map(|_| connections.look_up("acme"))).await;
        let one_more = connections.look_up("acme");
        assert!(futures::poll!(std::pin::pin!(one_more)).is_pending());
        drop(connections.look_up("zoo").await);
        drop(hanging);
        drop(connections.look_up("acme").await);
    }
}

//! Turns at something that bears only so many at once, of which no tenant takes all.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::per_name::{OfName, PerName};

/// So many turns at once.
#[derive(Debug)]
pub struct Fair {
    all: Arc<Semaphore>,
    of_tenant: usize,
    tenants: Arc<PerName<Semaphore>>,
}

/// One tenant's.
#[derive(Debug)]
pub struct FairShare {
    all: Arc<Semaphore>,
    of_tenant: OfName<Semaphore>,
}

/// One turn, over when dropped.
#[derive(Debug)]
pub struct FairTurn {
    _of_all: OwnedSemaphorePermit,
    _of_tenant: OwnedSemaphorePermit,
    _share: Arc<FairShare>,
}

impl Fair {
    /// So many turns at once for all tenants, and so many for each.
    pub fn new(all: usize, of_tenant: usize) -> Self {
        Fair { all: Arc::new(Semaphore::new(all)), of_tenant, tenants: Arc::default() }
    }

    /// The tenant's.
    pub fn of(&self, tenant: &str) -> Arc<FairShare> {
        let of_tenant = self.tenants.of(tenant, || Semaphore::new(self.of_tenant));
        Arc::new(FairShare { all: self.all.clone(), of_tenant })
    }
}

impl FairShare {
    /// Waits for a turn: first behind those of its tenant, and then behind no more of each other tenant than may have one.
    pub async fn turn(self: &Arc<Self>) -> FairTurn {
        let turn = "it is never closed";
        let of_tenant = Arc::clone(&self.of_tenant).acquire_owned().await.expect(turn);
        let of_all = self.all.clone().acquire_owned().await.expect(turn);
        FairTurn { _of_all: of_all, _of_tenant: of_tenant, _share: self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::future::join_all;
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn a_tenant_that_asks_without_end_waits_for_itself() {
        let fair = Fair::new(4, 2);
        {
            let (greedy, other) = (fair.of("greedy"), fair.of("other"));
            let mut under_way = join_all((0..2).map(|_| greedy.turn())).await;
            let mut one_more = pin!(greedy.turn());
            assert!(poll!(one_more.as_mut()).is_pending());
            drop(other.turn().await);
            under_way.pop();
            drop(one_more.await);
        }
        assert_eq!(fair.tenants.len(), 0, "nothing is kept of who asks for nothing");
    }

    #[tokio::test]
    async fn all_tenants_together_have_so_many() {
        let fair = Fair::new(4, 2);
        let tenants = ["a", "b", "c"].map(|tenant| fair.of(tenant));
        let under_way = join_all(tenants[..2].iter().flat_map(|share| (0..2).map(|_| share.turn()))).await;
        let mut one_more = pin!(tenants[2].turn());
        assert!(poll!(one_more.as_mut()).is_pending());
        drop(under_way);
        drop(one_more.await);
    }

    /// It outlives what it was asked of.
    #[tokio::test]
    async fn a_turn_counts_until_it_is_over() {
        let fair = Fair::new(4, 1);
        let turn = fair.of("acme").turn().await;
        let again = fair.of("acme");
        assert!(poll!(pin!(again.turn())).is_pending());
        drop(turn);
        drop(again.turn().await);
    }
}

//! Who tells of which records. Each host writes to a folder of its own in its store, and whoever has that store can read
//! all of its folders: those of hosts that are gone, too, and of hosts that have another name by now.

use std::collections::BTreeSet;

use super::{Api, ApiError};
use crate::config::HostInfo;
use crate::registry::JobId;

impl Api {
    /// Returns whether a peer keeps its records in the same store as this host, as far as it says where.
    pub(super) async fn shares_store(&self, peer: &HostInfo) -> bool {
        !peer.store.is_empty() && peer.store == self.history.store_id().await
    }

    /// Returns the hosts that left something of a job in this host's store and don't tell of it themselves: those that
    /// aren't live, and those whose name a host with another store has now.
    pub(super) async fn untold_hosts(&self, job: &JobId, peers: &[HostInfo]) -> Result<Vec<String>, ApiError> {
        let mut telling = BTreeSet::from([self.host.as_str()]);
        for peer in peers {
            // An earlier version of the program doesn't say where it keeps its records.
            if peer.store.is_empty() || self.shares_store(peer).await {
                telling.insert(&peer.host);
            }
        }
        let hosts = self.history.hosts(job).await?;
        Ok(hosts.into_iter().filter(|host| !telling.contains(host.as_str())).collect())
    }

    /// Returns the query that asks a peer for what it has by itself.
    pub(super) async fn local_query(&self, peer: &HostInfo) -> &'static str {
        if self.shares_store(peer).await { "local=true&shared=true" } else { "local=true" }
    }
}

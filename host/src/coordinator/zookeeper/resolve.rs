//! Names of servers become addresses: all addresses of all names, anew each time they are asked for.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;

use super::connect_string::Server;

/// How long names still without an answer are waited for once the address of another one is known.
const STRAGGLERS: Duration = Duration::from_millis(500);
/// Maximum number of addresses that are used of all names together.
const MAX_ADDRESSES: usize = 128;

/// Finds the addresses of a host.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// Returns all addresses of `host`, which may be an IP address itself.
    ///
    /// # Errors
    /// Why there are none.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the operating system: `/etc/hosts`, DNS, whatever it is configured for.
pub(super) struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// A server of the connect string, with its addresses or why it has none.
pub(super) struct Resolved {
    pub(super) server: Server,
    /// Without addresses that an earlier server has too.
    pub(super) addresses: Result<Vec<SocketAddr>, String>,
}

/// Resolves all `servers` at once. Returns after `patience` at the latest, and earlier if some address is known and the
/// other names take long.
pub(super) async fn resolve_all(resolver: &dyn Resolver, servers: &[Server], patience: Duration) -> Vec<Resolved> {
    let mut found: Vec<Option<io::Result<Vec<SocketAddr>>>> = servers.iter().map(|_| None).collect();
    let lookup = async |(at, server): (usize, &Server)| (at, resolver.resolve(&server.host, server.port).await);
    let mut lookups: FuturesUnordered<_> = servers.iter().enumerate().map(lookup).collect();
    let all = async {
        while let Some((at, addresses)) = lookups.next().await {
            let some_known = addresses.as_ref().is_ok_and(|addresses| !addresses.is_empty());
            found[at] = Some(addresses);
            if some_known {
                break;
            }
        }
        let rest = async {
            while let Some((at, addresses)) = lookups.next().await {
                found[at] = Some(addresses);
            }
        };
        let _ = timeout(STRAGGLERS, rest).await;
    };
    // Names without an answer by then have none.
    let _ = timeout(patience, all).await;
    drop(lookups);
    without_duplicates(servers, found)
}

fn without_duplicates(servers: &[Server], found: Vec<Option<io::Result<Vec<SocketAddr>>>>) -> Vec<Resolved> {
    let mut seen = BTreeSet::new();
    let resolved = servers.iter().zip(found).map(|(server, found)| {
        let addresses = match found {
            Some(Ok(addresses)) if addresses.is_empty() => Err("no address for that name".to_owned()),
            Some(Ok(addresses)) => {
                let new = |address: &SocketAddr| seen.len() < MAX_ADDRESSES && seen.insert(*address);
                Ok(addresses.into_iter().filter(new).collect())
            }
            Some(Err(error)) => Err(format!("no address for that name ({error})")),
            None => Err("no address for that name: the resolver does not answer".to_owned()),
        };
        Resolved { server: server.clone(), addresses }
    });
    resolved.collect()
}

#[cfg(test)]
pub(super) mod tests;

//! Which hosts live and stand for groups: follows the directory of hosts.
//!
//! A host's node is made anew when it begins or ceases to stand (see [`Membership::announce`](super::Membership::announce)),
//! so one watch on the directory tells of all that matters; that heartbeats change the nodes' values doesn't.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use tokio::sync::watch;
use tracing::warn;

use super::seats::LiveHosts;
use crate::config::Layout;
use crate::coordinator::{Error, Session, Sessions, Watch};
use crate::vital;

/// How long a look waits for a session.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks that failed.
const RETRY: Duration = Duration::from_millis(500);
/// The shortest time between two looks: whoever sees many come at once reads them once.
const LOOK_GAP: Duration = Duration::from_millis(100);
/// How many host nodes are read at once.
const PIPELINE: usize = 64;

/// What is read of a host's node, whatever else its version writes there.
#[derive(Deserialize)]
struct Presence {
    #[serde(default)]
    drained: bool,
    #[serde(default)]
    clock_wrong: bool,
}

impl Presence {
    fn stands(&self) -> bool {
        !self.drained && !self.clock_wrong
    }
}

/// Follows the hosts that live and stand: nobody at first, and what was last seen while there is no session. Ends when the
/// receiver and its clones are dropped.
pub fn follow_hosts(sessions: Sessions, layout: Layout) -> watch::Receiver<LiveHosts> {
    let (live, receiver) = watch::channel(LiveHosts::default());
    tokio::spawn(async move {
        let _part = vital::part("the follower of the hosts");
        let follow = async {
            loop {
                match look(&sessions, &layout).await {
                    Ok((hosts, mut watch)) => {
                        live.send_if_modified(|known| {
                            let modified = **known != hosts;
                            if modified {
                                *known = Arc::new(hosts);
                            }
                            modified
                        });
                        // Also fires when the session is lost; the next look then waits for another.
                        watch.changed().await;
                        tokio::time::sleep(LOOK_GAP).await;
                    }
                    Err(error) => {
                        warn!(%error, "the hosts can't be seen, trying again");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        };
        tokio::select! {
            () = live.closed() => {}
            () = follow => {}
        }
    });
    receiver
}

async fn look(sessions: &Sessions, layout: &Layout) -> Result<(BTreeMap<String, i64>, Watch), Error> {
    let session = sessions.get(PATIENCE).await?;
    let (names, watch) = session.list_and_watch(&layout.hosts()).await?;
    let hosts = stream::iter(names).map(|name| read(session.as_ref(), layout, name)).buffered(PIPELINE);
    let hosts: Vec<Option<(String, i64)>> = hosts.try_collect().await?;
    Ok((hosts.into_iter().flatten().collect(), watch))
}

/// None where it is gone, or doesn't stand. One that says nothing of it stands.
async fn read(session: &dyn Session, layout: &Layout, name: String) -> Result<Option<(String, i64)>, Error> {
    match session.get(&layout.host(&name)).await {
        Ok((value, stat)) => {
            let stands = serde_json::from_slice::<Presence>(&value).map_or(true, |presence| presence.stands());
            Ok(stands.then_some((name, stat.czxid)))
        }
        Err(Error::NoNode { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use silverback_election::LeaseRule;

    use super::*;
    use crate::candidacy::{Concern, Membership, Timeline};
    use crate::clock;
    use crate::coordinator::{Coordinator, CreateMode, Embedded, ensure_path};

    const HANGS: Duration = Duration::from_secs(20);

    async fn until(live: &mut watch::Receiver<LiveHosts>, wanted: &[&str]) -> LiveHosts {
        let there = live.wait_for(|live| live.keys().map(String::as_str).eq(wanted.iter().copied()));
        tokio::time::timeout(HANGS, there).await.unwrap_or_else(|_| panic!("{wanted:?} are not seen")).unwrap().clone()
    }

    #[tokio::test]
    async fn hosts_are_seen_when_they_come_and_go_but_not_while_they_are_drained() {
        let embedded = Arc::new(Embedded::in_memory(clock::system(), Duration::from_secs(6)));
        let (host, layout) = (embedded.connect(HANGS).await.unwrap(), Layout::new("/zoo"));
        ensure_path(host.as_ref(), &layout.hosts()).await.unwrap();
        let sessions = Sessions::open(embedded.clone(), HANGS).await.unwrap();
        let mut live = follow_hosts(sessions.clone(), layout.clone());
        let come = async |name: &str, value: &[u8]| {
            host.create(&layout.host(name), value, CreateMode::Ephemeral).await.unwrap();
        };
        come("a", b"{\"host\": \"a\", \"drained\": false}").await;
        come("b", b"an older host's").await;
        let first = until(&mut live, &["a", "b"]).await;
        assert!(first["a"] < first["b"], "who came later has the higher number");

        embedded.expire(sessions.now().unwrap().id()).await.unwrap();
        come("c", b"{\"drained\": true}").await;
        host.delete(&layout.host("a"), None).await.unwrap();
        until(&mut live, &["b"]).await;
        host.delete(&layout.host("c"), None).await.unwrap();
        come("c", b"{\"drained\": false, \"mood\": \"calm\"}").await;
        until(&mut live, &["b", "c"]).await;
    }

    #[tokio::test]
    async fn a_host_that_announces_itself_is_seen_at_once_as_one_that_has_just_come() {
        let timeout = Duration::from_secs(60);
        let embedded = Arc::new(Embedded::in_memory(clock::system(), timeout));
        let (session, layout) = (embedded.connect(HANGS).await.unwrap(), Layout::new("/zoo"));
        let drained = Arc::new(AtomicBool::new(false));
        let says = drained.clone();
        let value = Arc::new(move || format!("{{\"drained\": {}}}", says.load(Ordering::SeqCst)).into_bytes());
        let rule = LeaseRule::new(timeout, Duration::ZERO).unwrap();
        let member = Membership::join(
            session,
            rule,
            clock::system(),
            layout.host("a"),
            value,
            Timeline::unkept(),
            Concern::untold(),
        )
        .await
        .unwrap();
        let sessions = Sessions::open(embedded.clone(), HANGS).await.unwrap();
        let mut live = follow_hosts(sessions, layout);
        let before = until(&mut live, &["a"]).await["a"];
        for is_drained in [true, false] {
            drained.store(is_drained, Ordering::SeqCst);
            member.announce();
            until(&mut live, if is_drained { &[] } else { &["a"] }).await;
        }
        assert!(live.borrow()["a"] > before && !member.lease().is_over());
    }
}

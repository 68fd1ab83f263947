//! The cluster's own node: what is fixed when the cluster is made, and what its fencing tokens count from.
//!
//! ZooKeeper's transaction numbers rise for as long as the ensemble keeps its data. An ensemble that is restored from a backup
//! goes back to an older number, and every token that was made of such a number would come a second time. So a token is
//! `base` plus a transaction number, and an operator who lets the cluster go on after a restoration raises the base above all
//! tokens that any host has seen.

use serde::{Deserialize, Serialize};
use tracing::warn;
use uuid::Uuid;

use super::{DEFAULT_GROUPS, RegistryError};
use crate::config::Layout;
use crate::coordinator::{CreateMode, Error, MultiError, Op, Session, repeat};

/// The most groups that a cluster may have; each host lays out a place for each of them.
const MAX_GROUPS: u32 = 65_536;

/// The value of the cluster's node, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    /// How many groups share the scheduled jobs.
    pub groups: u32,
    /// Tells this cluster from all others. Empty in a node that was written before clusters had ids.
    #[serde(default)]
    pub id: String,
    /// The transaction that made the cluster, if this node is not the one that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<i64>,
    /// What is added to a transaction number to make a position, and to a contender's to make its fencing token.
    #[serde(default)]
    pub base: i64,
    /// When an operator last let the cluster go on after a restoration, in milliseconds since 1970: jobs tick from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_at_ms: Option<i64>,
    /// The host that found the ensemble behind its own past, and the position that it had seen: nobody leads until an operator
    /// lets the cluster go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
}

/// An ensemble whose past is older than a host's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// The host that found it so.
    pub host: String,
    /// The highest position that it had seen.
    pub seen: i64,
}

impl ClusterNode {
    /// A new cluster.
    pub fn new() -> Self {
        ClusterNode {
            groups: DEFAULT_GROUPS,
            id: Uuid::new_v4().to_string(),
            birth: None,
            base: 0,
            resumed_at_ms: None,
            behind: None,
        }
    }

    /// Reads the node's value.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(value: &[u8]) -> Result<Self, String> {
        let node: ClusterNode = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        if !(1..=MAX_GROUPS).contains(&node.groups) {
            return Err(format!("groups `{}` is not valid: it must be 1 to {MAX_GROUPS}", node.groups));
        }
        Ok(node)
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it is plain data")
    }
}

impl Default for ClusterNode {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads the cluster's node as it is now, whatever the session's server lags behind, and gives it an id if it has none. If there
/// is no node, creates it as `absent` says; if somebody wrote something else there, writes what this host has `remembered`. Returns it
/// with the transaction that made the cluster.
///
/// # Errors
/// What the coordinator says; [`RegistryError::Cluster`] if the node holds something else, and nothing is remembered.
pub async fn found_cluster_node(
    session: &dyn Session,
    layout: &Layout,
    absent: &ClusterNode,
    remembered: Option<&ClusterNode>,
) -> Result<(ClusterNode, i64), RegistryError> {
    let path = layout.cluster();
    loop {
        let found = repeat(session, || async {
            session.sync(&path).await?;
            match session.get(&path).await {
                Ok(found) => Ok(Some(found)),
                Err(Error::NoNode { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let Some((value, stat)) = found.await? else {
            match session.create(&path, &absent.to_bytes(), CreateMode::Persistent).await {
                Ok(_) | Err(Error::NodeExists { .. }) => continue,
                Err(error) if error.is_unknown() => continue,
                Err(error) => return Err(error.into()),
            }
        };
        let (next, what) = match (ClusterNode::parse(&value), remembered) {
            (Ok(node), _) if !node.id.is_empty() => {
                let birth = node.birth.unwrap_or(stat.czxid);
                return Ok((node, birth));
            }
            (Ok(node), _) => (ClusterNode { id: absent.id.clone(), ..node }, None),
            (Err(detail), Some(remembered)) => (remembered.clone(), Some(detail)),
            (Err(detail), None) => return Err(corrupt(&path, &detail)),
        };
        match session.set(&path, &next.to_bytes(), Some(stat.version)).await {
            Ok(_) => what.into_iter().for_each(|what| {
                warn!(
                    node = path,
                    what, "somebody wrote something else into the cluster's node; what it held is written again"
                );
            }),
            Err(Error::BadVersion { .. } | Error::NoNode { .. }) => {}
            Err(error) if error.is_unknown() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tells all hosts that the ensemble is behind what a host has seen, unless that is known already.
///
/// # Errors
/// As [`found_cluster_node`].
pub async fn mark_behind(session: &dyn Session, layout: &Layout, behind: &Behind) -> Result<(), RegistryError> {
    change(session, layout, |node| {
        let is_known = node.behind.as_ref().is_some_and(|known| known.seen >= behind.seen);
        if is_known || node.base >= behind.seen {
            return None;
        }
        Some(ClusterNode { behind: Some(behind.clone()), ..node })
    })
    .await
    .map(drop)
}

/// Lets the cluster go on: its tokens then count from above `seen`, the highest position that any host has seen, and its jobs tick
/// from `now_ms` on. Returns the new base; None if nothing holds the cluster and its tokens are above `seen` already.
///
/// # Errors
/// As [`found_cluster_node`].
pub async fn resume_after_restore(
    session: &dyn Session,
    layout: &Layout,
    seen: i64,
    now_ms: i64,
) -> Result<Option<i64>, RegistryError> {
    let resumed = change(session, layout, |node| {
        let seen = node.behind.as_ref().map_or(seen, |behind| behind.seen.max(seen));
        let base = node.base.max(seen);
        (node.behind.is_some() || base > node.base).then_some(ClusterNode {
            base,
            behind: None,
            resumed_at_ms: Some(now_ms),
            ..node
        })
    });
    Ok(resumed.await?.map(|node| node.base))
}

/// Replaces the node by what `to` makes of it, if anything; again if somebody else changes it meanwhile. Done twice it is the same.
async fn change(
    session: &dyn Session,
    layout: &Layout,
    to: impl Fn(ClusterNode) -> Option<ClusterNode>,
) -> Result<Option<ClusterNode>, RegistryError> {
    let path = layout.cluster();
    let mut written: Option<ClusterNode> = None;
    loop {
        repeat(session, || session.sync(&path)).await?;
        let (value, stat) = repeat(session, || session.get(&path)).await?;
        let node = ClusterNode::parse(&value).map_err(|detail| corrupt(&path, &detail))?;
        if written.as_ref() == Some(&node) {
            return Ok(written);
        }
        let Some(next) = to(node) else { return Ok(None) };
        let set = Op::Set { path: path.clone(), data: next.to_bytes(), version: Some(stat.version) };
        match session.multi(vec![set]).await.map_err(MultiError::into_error) {
            Ok(_) => return Ok(Some(next)),
            Err(Error::BadVersion { .. }) => {}
            Err(error) if error.is_unknown() => written = Some(next),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A host that knows what the node held writes it again, so this is said where none runs that does.
fn corrupt(path: &str, detail: &str) -> RegistryError {
    let detail = format!("{detail}; delete the node, and a host makes it again");
    RegistryError::Cluster { path: path.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::coordinator::{Coordinator, Embedded, ensure_path};

    const PATIENCE: Duration = Duration::from_secs(20);

    struct Place {
        embedded: Embedded,
        session: Arc<dyn Session>,
        layout: Layout,
    }

    async fn place() -> Place {
        let embedded = Embedded::in_memory(clock::system(), Duration::from_secs(6));
        let (session, layout) = (embedded.connect(PATIENCE).await.unwrap(), Layout::new("/zoo"));
        ensure_path(session.as_ref(), layout.root()).await.unwrap();
        Place { embedded, session, layout }
    }

    impl Place {
        async fn node(&self) -> ClusterNode {
            let absent = ClusterNode::new();
            found_cluster_node(self.session.as_ref(), &self.layout, &absent, None).await.unwrap().0
        }
    }

    #[tokio::test]
    async fn a_cluster_is_made_once_whatever_replies_are_lost() {
        for lost in 0..4 {
            let place = place().await;
            place.embedded.lose_replies(place.session.id(), lost).await.unwrap();
            let first = place.node().await;
            assert_eq!((first.groups, first.base, place.node().await), (DEFAULT_GROUPS, 0, first.clone()), "{lost}");
        }
    }

    #[tokio::test]
    async fn a_cluster_from_before_there_were_ids_gets_one_and_keeps_its_groups() {
        let place = place().await;
        place.session.create(&place.layout.cluster(), b"{\"groups\": 7}", CreateMode::Persistent).await.unwrap();
        let node = place.node().await;
        assert!(node.groups == 7 && !node.id.is_empty());
        assert_eq!(place.node().await, node);
    }

    #[tokio::test]
    async fn what_somebody_wrote_over_the_node_is_replaced_by_what_is_remembered() {
        for lost in 0..4 {
            let place = place().await;
            let remembered = ClusterNode { groups: 7, base: 99, birth: Some(3), ..place.node().await };
            place.session.set(&place.layout.cluster(), b"x", None).await.unwrap();
            place.embedded.lose_replies(place.session.id(), lost).await.unwrap();
            let absent = ClusterNode::new();
            let found = found_cluster_node(place.session.as_ref(), &place.layout, &absent, Some(&remembered)).await;
            assert_eq!(found.unwrap(), (remembered.clone(), 3), "{lost} lost");
            assert_eq!(place.node().await, remembered);
        }
    }

    #[tokio::test]
    async fn numbers_of_groups_that_no_host_can_lay_out_are_refused() {
        let place = place().await;
        for groups in ["0", "4294967295", "-1", "\"many\""] {
            let value = format!("{{\"groups\": {groups}}}");
            assert!(ClusterNode::parse(value.as_bytes()).is_err(), "{groups}");
        }
        let value = b"{\"groups\": 4294967295}";
        place.session.create(&place.layout.cluster(), value, CreateMode::Persistent).await.unwrap();
        let error =
            found_cluster_node(place.session.as_ref(), &place.layout, &ClusterNode::new(), None).await.unwrap_err();
        let told = "what is stored as node `/zoo/cluster` is no cluster: groups `4294967295` is not valid: it must be 1 to 65536; \
                    delete the node, and a host makes it again";
        assert_eq!(error.to_string(), told);
    }

    #[tokio::test]
    async fn the_base_rises_above_all_that_was_seen_and_never_falls() {
        let place = place().await;
        let (session, layout) = (place.session.as_ref(), &place.layout);
        place.node().await;
        assert_eq!(resume_after_restore(session, layout, 0, 1).await.unwrap(), None);
        let behind = |host: &str, seen| Behind { host: host.to_owned(), seen };
        mark_behind(session, layout, &behind("a", 150)).await.unwrap();
        mark_behind(session, layout, &behind("b", 140)).await.unwrap();
        assert_eq!(place.node().await.behind, Some(behind("a", 150)));
        assert_eq!(resume_after_restore(session, layout, 145, 7).await.unwrap(), Some(150));
        let node = place.node().await;
        assert_eq!((node.base, node.behind, node.resumed_at_ms), (150, None, Some(7)));
        // Known and lower than the base: nothing to hold the cluster for.
        mark_behind(session, layout, &behind("c", 120)).await.unwrap();
        assert_eq!(resume_after_restore(session, layout, 120, 9).await.unwrap(), None);
        assert_eq!(place.node().await.base, 150);
    }

    #[tokio::test]
    async fn a_lost_reply_raises_the_base_once() {
        let place = place().await;
        place.node().await;
        place.embedded.lose_replies(place.session.id(), 1).await.unwrap();
        assert_eq!(resume_after_restore(place.session.as_ref(), &place.layout, 99, 7).await.unwrap(), Some(99));
        assert_eq!(place.node().await.base, 99);
    }
}

//! Follows the cluster's node, and tells of an ensemble that was restored from an older state.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::candidacy::{Timeline, TimelineState};
use crate::clock::Clock;
use crate::config::Layout;
use crate::coordinator::{Error, Session, Sessions, Watch};
use crate::registry::{About, Behind, ClusterNode, Problems, RegistryError, found_cluster_node, mark_behind};

/// How long a look waits for a session, and between two looks that failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);

/// A host's part in telling which timeline its cluster is on.
#[derive(Clone)]
pub(super) struct TimelineKeeper {
    pub host: String,
    pub layout: Layout,
    pub timeline: Arc<Timeline>,
    pub problems: Problems,
    pub clock: Arc<dyn Clock>,
}

impl TimelineKeeper {
    /// Reads the cluster's node, which is made if it is missing or if somebody put something else in its place, and tells the
    /// timeline. A session is told before anything is concluded from its transactions.
    ///
    /// # Errors
    /// What the coordinator says, or that the node holds something else and this host doesn't know what it held before.
    pub(super) async fn read(&self, session: &dyn Session) -> Result<ClusterNode, RegistryError> {
        let look = self.timeline.look();
        let remembered = self.timeline.remembered();
        let absent = self.timeline.absent();
        let (node, birth) = found_cluster_node(session, &self.layout, &absent, remembered.as_ref()).await?;
        self.timeline.cluster_is(look, node.clone(), birth);
        Ok(node)
    }

    /// Follows the cluster's node for as long as the host runs.
    pub(super) async fn follow(self, sessions: Sessions) {
        let (mut told, mut raised) = (String::new(), None);
        loop {
            match self.look(&sessions).await {
                // Also fires when the session is lost; the next look then waits for another.
                Ok(mut watch) => {
                    told.clear();
                    raised = None;
                    watch.changed().await;
                }
                Err(error) => {
                    if !passes_with_the_session(&error) {
                        let text = format!("the node of the cluster can't be followed: {error}");
                        self.problems.set(&mut raised, About::Cluster, self.clock.wall(), &text);
                    }
                    if is_news(&mut told, &error) {
                        warn!(%error, "the cluster's node can't be read, trying again");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn look(&self, sessions: &Sessions) -> Result<Watch, RegistryError> {
        let session = sessions.get(PATIENCE).await?;
        let (found, watch) = session.get_and_watch(&self.layout.cluster()).await?;
        self.read(session.as_ref()).await?;
        if found.is_none() {
            warn!(node = self.layout.cluster(), "somebody deleted the cluster's node; it is made again");
        }
        Ok(watch)
    }

    /// Tells tenants, operators and the other hosts why nothing is led, for as long as that is so.
    pub(super) async fn tell(self, sessions: Sessions) {
        let mut state = self.timeline.follow();
        let (mut told, mut raised) = (String::new(), None);
        loop {
            let now = state.borrow_and_update().clone();
            match now.problem() {
                Some(problem) => drop(self.problems.set(&mut raised, About::Cluster, self.clock.wall(), &problem)),
                None => raised = None,
            }
            let marked = match &now {
                TimelineState::Behind { seen, .. } => self.hold_all(&sessions, *seen).await,
                TimelineState::Unknown
                | TimelineState::Current
                | TimelineState::Held { .. }
                | TimelineState::Foreign { .. } => Ok(()),
            };
            if let Err(error) = marked {
                if is_news(&mut told, &error) {
                    warn!(%error, "the other hosts can't be told that the ensemble is behind, trying again");
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
            told.clear();
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells tenants and operators that nothing can be kept in the data folder, for as long as that is so.
    pub(super) async fn tell_unkept(self) {
        let mut unkept = self.timeline.follow_unkept();
        let mut raised = None;
        loop {
            match unkept.borrow_and_update().clone() {
                Some(problem) => drop(self.problems.set(&mut raised, About::Cluster, self.clock.wall(), &problem)),
                None => raised = None,
            }
            if unkept.changed().await.is_err() {
                return;
            }
        }
    }

    async fn hold_all(&self, sessions: &Sessions, seen: i64) -> Result<(), RegistryError> {
        let session = sessions.get(PATIENCE).await?;
        mark_behind(session.as_ref(), &self.layout, &Behind { host: self.host.clone(), seen }).await
    }
}

/// Whether it is over as soon as there is a session again.
fn passes_with_the_session(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Coordinator(
            Error::Lost | Error::Unavailable { .. } | Error::OutcomeUnknown { .. } | Error::Unusable { .. }
        )
    )
}

/// Whether it is another error than the one that was told last.
fn is_news(told: &mut String, error: &RegistryError) -> bool {
    let text = error.to_string();
    let is_news = *told != text;
    *told = text;
    is_news
}

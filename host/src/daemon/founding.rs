//! The cluster's own nodes, made by whichever host comes first.

use super::timeline::TimelineKeeper;
use crate::coordinator::{Error, Session, ensure_path, repeat};
use crate::registry::{ClusterNode, RegistryError, ensure_directories};

/// Makes the cluster's own nodes that are missing, and returns what its node says. All of it may be done twice, so it is repeated
/// if a reply was lost.
pub(super) async fn found_cluster(
    session: &dyn Session,
    timeline: &TimelineKeeper,
) -> Result<ClusterNode, RegistryError> {
    repeat(session, || try_found(session, timeline)).await?;
    timeline.read(session).await
}

async fn try_found(session: &dyn Session, timeline: &TimelineKeeper) -> Result<(), Error> {
    let layout = &timeline.layout;
    if session.stat(&layout.cluster()).await?.is_some() {
        // What is missing now, somebody deleted.
        return ensure_directories(session, layout).await.map(drop);
    }
    ensure_path(session, layout.root()).await?;
    for directory in layout.directories() {
        ensure_path(session, &directory).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::candidacy::Timeline;
    use crate::clock;
    use crate::config::Layout;
    use crate::coordinator::{Coordinator, Embedded};
    use crate::registry::{DEFAULT_GROUPS, Problems};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_cluster_is_founded_whatever_replies_are_lost_and_keeps_its_groups() {
        for lost in 0..6 {
            let embedded = Embedded::in_memory(clock::system(), Duration::from_secs(6));
            let (session, other) =
                (embedded.connect(PATIENCE).await.unwrap(), embedded.connect(PATIENCE).await.unwrap());
            let keeper = TimelineKeeper {
                host: "a".to_owned(),
                layout: Layout::new("/zoo"),
                timeline: Timeline::new(None),
                problems: Problems::default(),
                clock: clock::system(),
            };
            embedded.lose_replies(session.id(), lost).await.unwrap();
            assert_eq!(found_cluster(session.as_ref(), &keeper).await.unwrap().groups, DEFAULT_GROUPS, "{lost} lost");
            other.set(&keeper.layout.cluster(), b"{\"groups\": 7}", None).await.unwrap();
            assert_eq!(found_cluster(session.as_ref(), &keeper).await.unwrap().groups, 7);
        }
    }
}

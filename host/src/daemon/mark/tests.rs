//! Marks on coordinators in memory. Two of them to which the same is done have the same nodes, made by the same transactions: one
//! is then the other's backup.

use std::sync::Arc;

use super::*;
use crate::candidacy::{Timeline, TimelineState};
use crate::clock;
use crate::config::Layout;
use crate::coordinator::{Coordinator, Embedded};
use crate::registry::{ClusterNode, Problems};

const PATIENCE: Duration = Duration::from_secs(20);

fn keeper(host: &str, timeline: Arc<Timeline>) -> TimelineKeeper {
    TimelineKeeper {
        host: host.to_owned(),
        layout: Layout::new("/zoo"),
        timeline,
        problems: Problems::default(),
        clock: clock::system(),
    }
}

fn state(keeper: &TimelineKeeper) -> TimelineState {
    keeper.timeline.follow().borrow().clone()
}

fn why(keeper: &TimelineKeeper) -> String {
    state(keeper).problem().unwrap_or_else(|| format!("{:?}", state(keeper)))
}

async fn mark(keeper: &TimelineKeeper, session: &dyn Session, times: usize) {
    for _ in 0..times {
        keeper.mark(session).await.unwrap();
    }
}

/// A cluster that a host has marked so often.
async fn marked(times: usize) -> (Arc<dyn Session>, TimelineKeeper) {
    let embedded = Embedded::in_memory(clock::system(), Duration::from_secs(6));
    let session = embedded.connect(PATIENCE).await.unwrap();
    ensure_path(session.as_ref(), "/zoo/marks").await.unwrap();
    let node = serde_json::to_vec(&ClusterNode { id: "x".to_owned(), ..ClusterNode::new() }).unwrap();
    session.create("/zoo/cluster", &node, CreateMode::Persistent).await.unwrap();
    let keeper = keeper("a", Timeline::new(None));
    keeper.read(session.as_ref()).await.unwrap();
    mark(&keeper, session.as_ref(), times).await;
    (session, keeper)
}

/// A leader of a restored ensemble numbers its transactions from above all that were before.
async fn raise_numbers(session: &dyn Session) -> i64 {
    session.create("/epoch", b"", CreateMode::Persistent).await.unwrap();
    for _ in 0..1000 {
        session.set("/epoch", b"", None).await.unwrap();
    }
    session.stat("/epoch").await.unwrap().unwrap().mzxid
}

async fn see(keeper: &TimelineKeeper, session: &dyn Session) {
    keeper.timeline.observe(session.set("/zoo", b"", None).await.unwrap().mzxid);
}

#[tokio::test]
async fn w7_a_restored_ensemble_with_higher_numbers_is_led_by_nobody_until_its_base_is_raised() {
    let ((old, keeper), (backup, _)) = (marked(3).await, marked(2).await);
    mark(&keeper, old.as_ref(), 5).await;
    see(&keeper, old.as_ref()).await;
    assert_eq!(state(&keeper), TimelineState::Current);
    raise_numbers(backup.as_ref()).await;
    keeper.mark(backup.as_ref()).await.unwrap();
    assert!(
        why(&keeper).contains("restored from an older state, where this host's mark has version 2, and it has seen 8")
    );
    // The version doesn't rise meanwhile, so that the host sees it too when it is started again.
    let version = async || backup.stat("/zoo/marks/a").await.unwrap().unwrap().version;
    let before = version().await;
    mark(&keeper, backup.as_ref(), 9).await;
    assert_eq!(version().await, before);

    let resumed = crate::registry::resume_after_restore(backup.as_ref(), &keeper.layout, keeper.timeline.position(), 7);
    resumed.await.unwrap().unwrap();
    keeper.read(backup.as_ref()).await.unwrap();
    see(&keeper, backup.as_ref()).await;
    mark(&keeper, backup.as_ref(), 3).await;
    assert_eq!(state(&keeper), TimelineState::Current);
}

#[tokio::test]
async fn w7_a_backup_from_before_a_host_came_is_seen_by_that_host() {
    let ((old, _), (backup, _)) = (marked(3).await, marked(2).await);
    let late = keeper("b", Timeline::new(None));
    late.read(old.as_ref()).await.unwrap();
    mark(&late, old.as_ref(), 2).await;
    see(&late, old.as_ref()).await;
    raise_numbers(backup.as_ref()).await;
    late.mark(backup.as_ref()).await.unwrap();
    assert!(why(&late).contains("from before this host came to the cluster"), "{}", why(&late));
    assert_eq!(backup.stat("/zoo/marks/b").await, Ok(None), "it would be no proof to the host that is started again");
}

#[tokio::test]
async fn what_somebody_deletes_is_made_again_and_is_no_restoration() {
    let (session, keeper) = marked(3).await;
    see(&keeper, session.as_ref()).await;
    for deleted in [&["/zoo/marks/a"][..], &["/zoo/marks/a", "/zoo/marks"]] {
        for path in deleted {
            session.delete(path, None).await.unwrap();
        }
        mark(&keeper, session.as_ref(), 3).await;
        see(&keeper, session.as_ref()).await;
        assert_eq!(state(&keeper), TimelineState::Current);
        assert!(session.stat("/zoo/marks/a").await.unwrap().is_some_and(|stat| stat.version == 3), "{deleted:?}");
    }
}

#[tokio::test]
async fn lost_replies_of_a_mark_are_no_restoration() {
    for lost in 0..6 {
        let embedded = Embedded::in_memory(clock::system(), Duration::from_secs(6));
        let session = embedded.connect(PATIENCE).await.unwrap();
        ensure_path(session.as_ref(), "/zoo").await.unwrap();
        let keeper = keeper("a", Timeline::new(None));
        keeper.read(session.as_ref()).await.unwrap();
        embedded.lose_replies(session.id(), lost).await.unwrap();
        mark(&keeper, session.as_ref(), 2).await;
        see(&keeper, session.as_ref()).await;
        assert_eq!(state(&keeper), TimelineState::Current, "{lost}");
    }
}

//! What a host reads of its cluster, on coordinators in memory.

use std::time::Duration;

use super::*;
use crate::capability::fakes::{FakeSession, term};
use crate::clock;
use crate::coordinator::{Coordinator, CreateMode, Embedded, ensure_path};

fn keeper(timeline: Arc<Timeline>) -> TimelineKeeper {
    TimelineKeeper {
        host: "a".to_owned(),
        layout: Layout::new("/zoo"),
        timeline,
        problems: Problems::default(),
        clock: clock::system(),
    }
}

fn session() -> Arc<FakeSession> {
    term(clock::system(), Duration::from_secs(60)).1
}

fn state(keeper: &TimelineKeeper) -> TimelineState {
    keeper.timeline.follow().borrow().clone()
}

#[tokio::test]
async fn a_server_that_lags_behind_is_no_ensemble_that_was_restored() {
    let (keeper, session) = (keeper(Timeline::new(None)), session());
    let old = ClusterNode::new();
    let new = ClusterNode { base: 100, ..old.clone() };
    session.put("/zoo/cluster", &serde_json::to_vec(&old).unwrap());
    session.lag();
    session.put("/zoo/cluster", &serde_json::to_vec(&new).unwrap());
    keeper.timeline.cluster_is(keeper.timeline.look(), new, 3);
    keeper.timeline.observe(50);
    keeper.read(session.as_ref()).await.unwrap();
    assert_eq!((state(&keeper), keeper.timeline.position()), (TimelineState::Current, 150));
}

/// Waits until the only problem is told, or none if this is empty.
async fn until_told(problems: &Problems, wanted: &str) {
    let awaited = async {
        loop {
            let told = problems.list().first().map(|problem| problem.text.clone());
            if told.as_ref().map_or(wanted.is_empty(), |told| !wanted.is_empty() && told.contains(wanted)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), awaited).await.unwrap_or_else(|_| panic!("`{wanted}` is not told"));
}

#[tokio::test]
async fn what_somebody_wrote_over_the_clusters_node_is_replaced_by_a_host_that_knows_it_and_told_by_others() {
    let embedded = Arc::new(Embedded::in_memory(clock::system(), Duration::from_secs(6)));
    let sessions = Sessions::open(embedded.clone(), Duration::from_secs(20)).await.unwrap();
    let session = embedded.connect(Duration::from_secs(20)).await.unwrap();
    ensure_path(session.as_ref(), "/zoo").await.unwrap();
    session.create("/zoo/cluster", b"x", CreateMode::Persistent).await.unwrap();
    // A host that never read the node can only tell.
    let (new, old) = (keeper(Timeline::new(None)), keeper(Timeline::new(None)));
    let following = tokio::spawn(new.clone().follow(sessions.clone()));
    let told =
        "what is stored as node `/zoo/cluster` is no cluster: expected value at line 1 column 1; delete the node";
    until_told(&new.problems, told).await;
    session.delete("/zoo/cluster", None).await.unwrap();
    until_told(&new.problems, "").await;
    following.abort();
    let _ = following.await;
    // One that knows it writes it again.
    let node = old.read(session.as_ref()).await.unwrap();
    session.set("/zoo/cluster", b"x", None).await.unwrap();
    let following = tokio::spawn(old.clone().follow(sessions.clone()));
    let written = async {
        while let (value, mut watch) = session.get_and_watch("/zoo/cluster").await.unwrap()
            && ClusterNode::parse(&value.unwrap().0).is_err()
        {
            watch.changed().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.expect("the node is written again");
    let again = new.read(session.as_ref()).await.unwrap();
    assert_eq!((again.id, again.groups, old.problems.list().len()), (node.id, node.groups, 0));
    following.abort();
}

#[tokio::test]
async fn a_data_folder_that_keeps_nothing_is_a_problem_until_it_does() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let keeper = keeper(Timeline::new(None));
    let full = Arc::new(AtomicBool::new(true));
    let now = full.clone();
    keeper.timeline.keep_with(Arc::new(move |_| match now.load(Ordering::SeqCst) {
        true => Err(std::io::Error::other("`/data/cluster.json`: no space left")),
        false => Ok(()),
    }));
    tokio::spawn(keeper.clone().tell_unkept());
    keeper.timeline.cluster_is(keeper.timeline.look(), ClusterNode::new(), 3);
    keeper.timeline.observe(9);
    until_told(
        &keeper.problems,
        "no term begins: the highest position can't be kept in the data folder: `/data/cluster.json`",
    )
    .await;
    full.store(false, Ordering::SeqCst);
    keeper.timeline.observe(10);
    until_told(&keeper.problems, "").await;
}

//! What a host reads of its cluster, on coordinators in memory.

use std::time::Duration;

use super::*;
use crate::capability::fakes::{FakeSession, term};
use crate::clock;

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

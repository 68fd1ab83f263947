//! What a property stands on, and the few words it is told in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use silverback::coordinator::{Coordinator, CreateMode, Op, Session, SessionState, Watch, ensure_path};
use tokio::time::timeout;

/// For what must happen; never waited for in full where all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A coordinator and a directory of one's own on it.
pub(crate) struct Ground {
    pub(crate) coordinator: Arc<dyn Coordinator>,
    pub(crate) root: String,
}

impl Ground {
    pub(crate) async fn new(coordinator: Arc<dyn Coordinator>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let root = format!("/conformance-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let ground = Ground { coordinator, root };
        let session = ground.session().await;
        ensure_path(&*session, &ground.root).await.unwrap();
        session.close().await;
        ground
    }

    pub(crate) async fn session(&self) -> Arc<dyn Session> {
        self.coordinator.connect(PATIENCE).await.unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }
}

/// Waits for the watch.
pub(crate) async fn fired(watch: &mut Watch) {
    timeout(PATIENCE, watch.changed()).await.expect("the watch did not fire");
}

/// Asserts that the watch has not fired. A session hears of a change before the answer to a later request.
pub(crate) async fn quiet(session: &dyn Session, watch: &mut Watch) {
    session.sync("/").await.unwrap();
    assert!(timeout(Duration::ZERO, watch.changed()).await.is_err(), "the watch fired");
}

pub(crate) async fn state_becomes(session: &dyn Session, wanted: SessionState) {
    let mut state = session.state();
    let reached = timeout(PATIENCE, state.wait_for(|state| *state == wanted)).await;
    reached.unwrap_or_else(|_| panic!("the session did not become {wanted:?}")).unwrap();
}

pub(crate) fn create(path: &str, mode: CreateMode) -> Op {
    Op::Create { path: path.to_owned(), data: b"data".to_vec(), mode }
}

pub(crate) fn check(path: &str, version: Option<i32>) -> Op {
    Op::Check { path: path.to_owned(), version }
}

pub(crate) fn set(path: &str, version: Option<i32>) -> Op {
    Op::Set { path: path.to_owned(), data: b"set".to_vec(), version }
}

pub(crate) fn delete(path: &str, version: Option<i32>) -> Op {
    Op::Delete { path: path.to_owned(), version }
}

//! What only the embedded coordinator does: its file, and its faults. What it shares with ZooKeeper is in the
//! conformance suite.

mod damage;
mod recovery;

use super::*;
use crate::clock::system;
use crate::coordinator::{CreateMode, Op, SessionState};

const PATIENCE: Duration = Duration::from_secs(5);
const HANGS: Duration = Duration::from_secs(20);

fn in_memory() -> Embedded {
    Embedded::in_memory(system(), PATIENCE)
}

/// Opens the coordinator in `dir`, and retries while it is in use, because a child process that a parallel test forks holds a
/// copy of the descriptor until it calls exec.
async fn reopened(dir: &Path) -> Result<Embedded, OpenError> {
    let until_free = async {
        loop {
            match Embedded::open(dir, system()) {
                Err(OpenError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                opened => return opened,
            }
        }
    };
    tokio::time::timeout(HANGS, until_free).await.expect("it is in use for ever")
}

async fn open(dir: &Path) -> (Embedded, Arc<dyn Session>) {
    let embedded = reopened(dir).await.unwrap();
    let session = embedded.connect(PATIENCE).await.unwrap();
    (embedded, session)
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_embedded, session) = open(dir.path()).await;
    session.create("/kept", b"first", CreateMode::Persistent).await.unwrap();
    session.set("/kept", b"second", None).await.unwrap();
    session.create("/gone", b"", CreateMode::Persistent).await.unwrap();
    session.delete("/gone", None).await.unwrap();
    session.create("/kept/n-", b"", CreateMode::EphemeralSequential).await.unwrap();
    let stat = session.stat("/kept").await.unwrap().unwrap();

    // The file as a killed process leaves it: the store is still open.
    fs::copy(dir.path().join("coordinator.redb"), copy.path().join("coordinator.redb")).unwrap();
    let (_reopened, later) = open(copy.path()).await;
    assert!(later.id() > session.id(), "a session's id came twice");
    assert_eq!(later.list("/").await.unwrap(), ["kept"]);
    let (data, kept) = later.get("/kept").await.unwrap();
    assert_eq!(data, b"second");
    assert_eq!(kept, crate::coordinator::Stat { num_children: 0, ..stat });
    let next = later.create("/kept/n-", b"", CreateMode::EphemeralSequential).await.unwrap();
    assert_eq!(next, "/kept/n-0000000001", "the number of an ephemeral child was given again");
    assert!(later.stat(&next).await.unwrap().unwrap().czxid > stat.mzxid);
}

#[tokio::test]
async fn a_directory_serves_one_at_a_time_and_the_next_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (embedded, session) = open(dir.path()).await;
    let error = Embedded::open(dir.path(), system()).err().unwrap().to_string();
    let file = dir.path().join("coordinator.redb");
    let wanted = format!("file `{}` is in use by another process: stop that one first", file.display());
    assert_eq!(error, wanted);
    session.create("/a", b"", CreateMode::Persistent).await.unwrap();
    drop((embedded, session));
    let (_embedded, session) = open(dir.path()).await;
    assert_eq!(session.list("/").await.unwrap(), ["a"]);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Embedded::open(&file.path().join("sub"), system()).err().unwrap().to_string();
    assert!(error.contains(&file.path().join("sub").display().to_string()), "{error}");
}

#[tokio::test]
async fn many_writers_at_once_all_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (_embedded, session) = open(dir.path()).await;
    let creates = (0..200).map(|_| session.create("/n-", b"", CreateMode::PersistentSequential));
    let created = futures::future::join_all(creates).await;
    assert!(created.iter().all(Result::is_ok));
    assert_eq!(session.list("/").await.unwrap().len(), 200);
}

#[tokio::test]
async fn an_expired_session_is_lost_with_its_nodes_and_its_watches_fire() {
    let embedded = in_memory();
    let (session, other) = (embedded.connect(PATIENCE).await.unwrap(), embedded.connect(PATIENCE).await.unwrap());
    session.create("/e", b"", CreateMode::Ephemeral).await.unwrap();
    let (_, mut own) = session.stat_and_watch("/x").await.unwrap();
    let (_, mut others) = other.stat_and_watch("/e").await.unwrap();
    embedded.expire(session.id()).await.unwrap();
    own.changed().await;
    others.changed().await;
    assert_eq!(*session.state().borrow(), SessionState::Lost);
    assert_eq!(session.get("/e").await, Err(Error::Lost));
    assert_eq!(other.stat("/e").await, Ok(None));
}

#[tokio::test]
async fn a_disconnected_session_waits_and_hears_of_changes_when_it_is_back() {
    let embedded = in_memory();
    let (session, other) = (embedded.connect(PATIENCE).await.unwrap(), embedded.connect(PATIENCE).await.unwrap());
    let (_, mut watch) = session.stat_and_watch("/x").await.unwrap();
    embedded.disconnect(session.id()).await.unwrap();
    assert_eq!(*session.state().borrow(), SessionState::Disconnected);
    other.create("/x", b"", CreateMode::Persistent).await.unwrap();
    let both = async { tokio::join!(watch.changed(), session.stat("/x")).1 };
    tokio::pin!(both);
    assert!(futures::poll!(&mut both).is_pending());
    embedded.reconnect(session.id()).await.unwrap();
    assert!(both.await.unwrap().is_some());
}

#[tokio::test]
async fn a_lost_reply_leaves_the_write_done_and_the_outcome_unknown() {
    let embedded = in_memory();
    let session = embedded.connect(PATIENCE).await.unwrap();
    embedded.lose_replies(session.id(), 1).await.unwrap();
    let check = Op::Check { path: "/missing".to_owned(), version: None };
    assert!(!session.multi(vec![check]).await.unwrap_err().into_error().is_unknown(), "nothing was done");
    let error = session.create("/a", b"", CreateMode::Persistent).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    assert!(session.stat("/a").await.unwrap().is_some());
    session.delete("/a", None).await.unwrap();
}

#[tokio::test]
async fn a_dropped_watch_is_taken_away() {
    let embedded = in_memory();
    let session = embedded.connect(PATIENCE).await.unwrap();
    let (_, kept) = session.stat_and_watch("/a").await.unwrap();
    let (_, dropped) = session.list_and_watch("/").await.unwrap();
    drop(dropped);
    assert_eq!(embedded.engine.run(|world| world.watch_count()).await, Ok(1));
    drop(kept);
    assert_eq!(embedded.engine.run(|world| world.watch_count()).await, Ok(0));
}

#[tokio::test]
async fn a_watch_whose_caller_went_before_the_answer_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let (embedded, session) = open(dir.path()).await;
    let (hold, held) = std::sync::mpsc::channel::<()>();
    // The writer stands still until the caller is gone.
    embedded.engine.post(move |_| assert!(held.recv().is_err()));
    {
        let setting = session.stat_and_watch("/a");
        tokio::pin!(setting);
        assert!(futures::poll!(setting).is_pending());
    }
    drop(hold);
    session.sync("/").await.unwrap();
    assert_eq!(embedded.engine.run(|world| world.watch_count()).await, Ok(0));
}

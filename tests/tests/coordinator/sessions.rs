//! What holds of sessions.

use std::sync::Arc;
use std::time::Duration;

use silverback::coordinator::{CreateMode, Error, MultiError, SessionState};

use crate::ground::{Ground, check, create, fired};

pub(crate) async fn an_ephemeral_goes_with_its_session(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    assert_ne!(session.id(), other.id());
    let path = session.create(&ground.path("e"), b"", CreateMode::Ephemeral).await.unwrap();
    let numbered = session.create(&ground.path("n-"), b"", CreateMode::EphemeralSequential).await.unwrap();
    session.multi(vec![create(&ground.path("m"), CreateMode::Ephemeral)]).await.unwrap();
    for path in [&path, &numbered, &ground.path("m")] {
        assert_eq!(other.stat(path).await.unwrap().unwrap().ephemeral_owner, session.id());
    }
    session.close().await;
    assert_eq!(other.list(&ground.root).await.unwrap(), [""; 0], "left after the close had returned");
}

pub(crate) async fn a_closed_session_is_lost(ground: Ground) {
    let session = ground.session().await;
    assert_eq!(*session.state().borrow(), SessionState::Connected);
    assert!(session.timeout() >= Duration::from_secs(1));
    session.close().await;
    session.close().await;
    assert_eq!(*session.state().borrow(), SessionState::Lost);
    let made = session.create(&ground.path("a"), b"", CreateMode::Persistent).await;
    assert_eq!(made, Err(Error::Lost));
    assert_eq!(session.stat(&ground.root).await, Err(Error::Lost));
    assert_eq!(session.multi(vec![check(&ground.root, None)]).await, Err(MultiError::Whole(Error::Lost)));
    assert_eq!(session.stat_and_watch(&ground.root).await.err(), Some(Error::Lost));
}

pub(crate) async fn a_dropped_session_ends(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    let path = session.create(&ground.path("e"), b"", CreateMode::Ephemeral).await.unwrap();
    let (_, mut own) = session.stat_and_watch(&path).await.unwrap();
    let (_, mut gone) = other.stat_and_watch(&path).await.unwrap();
    drop(session);
    fired(&mut gone).await;
    fired(&mut own).await;
}

pub(crate) async fn a_session_reads_what_it_wrote_and_after_a_sync_what_others_wrote(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    for value in [b"1", b"2", b"3"] {
        session.set(&ground.root, value, None).await.unwrap();
        assert_eq!(session.get(&ground.root).await.unwrap().0, value);
        other.sync(&ground.root).await.unwrap();
        assert_eq!(other.get(&ground.root).await.unwrap().0, value);
    }
}

pub(crate) async fn many_requests_at_once_are_all_answered(ground: Ground) {
    let session = ground.session().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let (session, path) = (Arc::clone(&session), ground.path("n-"));
        tasks.spawn(async move { session.create(&path, b"", CreateMode::PersistentSequential).await });
    }
    let mut created: Vec<String> = tasks.join_all().await.into_iter().map(Result::unwrap).collect();
    created.sort();
    let expected: Vec<String> = (0..300).map(|number| ground.path(&format!("n-{number:010}"))).collect();
    assert_eq!(created, expected);
}

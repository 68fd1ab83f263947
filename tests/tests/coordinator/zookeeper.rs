//! What only ZooKeeper does to us: servers that restart, connections that break, replies that get lost, sessions that
//! expire.

use std::sync::Arc;
use std::time::Duration;

use silverback::coordinator::{Coordinator, CreateMode, Error, MultiError, Session, SessionState, ZooKeeper};
use silverback_tests::proxy::{Mode, Proxy};
use silverback_tests::zookeeper::ZooKeeperServer;
use tokio::time::timeout;

use crate::T;
use crate::ground::{PATIENCE, create, delete, fired, quiet, set, state_becomes};

/// A server behind a proxy, and a session through each of both.
struct Behind {
    server: ZooKeeperServer,
    proxy: Proxy,
    /// Through the proxy.
    session: Arc<dyn Session>,
    /// Straight to the server.
    witness: Arc<dyn Session>,
}

impl Behind {
    async fn start(session_timeout: Duration) -> Self {
        let server = ZooKeeperServer::start().unwrap();
        let proxy = Proxy::start(server.address()).unwrap();
        let session = connect(&proxy.connect_string(), session_timeout).await;
        let witness = connect(&server.connect_string(), Duration::from_secs(30)).await;
        Behind { server, proxy, session, witness }
    }
}

/// A session whose coordinator is gone already.
async fn connect(servers: &str, session_timeout: Duration) -> Arc<dyn Session> {
    ZooKeeper::new(servers, session_timeout).unwrap().connect(PATIENCE).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_of_a_session_is_the_servers() {
    let server = ZooKeeperServer::start().unwrap();
    let session = connect(&server.connect_string(), Duration::from_millis(10)).await;
    assert_eq!(session.timeout(), Duration::from_secs(1));
    assert_eq!(connect(&server.connect_string(), T).await.timeout(), T);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_keeps_the_session_and_its_watches() {
    let Behind { mut server, session, witness, proxy: _proxy } = Behind::start(Duration::from_secs(20)).await;
    let path = session.create("/e", b"", CreateMode::Ephemeral).await.unwrap();
    let (_, mut changed) = session.get_and_watch("/e").await.unwrap();
    let (_, mut born) = session.get_and_watch("/later").await.unwrap();
    let (_, mut children) = session.list_and_watch("/").await.unwrap();
    let id = session.id();
    server.kill();
    state_becomes(&*session, SessionState::Disconnected).await;
    let waiting = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.stat("/e").await }
    });
    server.restart().unwrap();
    state_becomes(&*session, SessionState::Connected).await;
    let waited = waiting.await.unwrap();
    assert!(matches!(&waited, Ok(Some(stat)) if stat.ephemeral_owner == id), "{waited:?}");
    for watch in [&mut changed, &mut born, &mut children] {
        quiet(&*session, watch).await;
    }
    state_becomes(&*witness, SessionState::Connected).await;
    witness.multi(vec![set(&path, None), create("/later", CreateMode::Persistent)]).await.unwrap();
    for watch in [&mut changed, &mut born, &mut children] {
        fired(watch).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_disconnected_fires_after_the_reconnect() {
    let Behind { proxy, session, witness, server: _server } = Behind::start(Duration::from_secs(20)).await;
    session.create("/a", b"", CreateMode::Persistent).await.unwrap();
    session.create("/b", b"", CreateMode::Persistent).await.unwrap();
    let (_, mut changed) = session.stat_and_watch("/a").await.unwrap();
    let (_, mut deleted) = session.get_and_watch("/b").await.unwrap();
    let (_, mut born) = session.get_and_watch("/c").await.unwrap();
    let (_, mut children) = session.list_and_watch("/").await.unwrap();
    proxy.set(Mode::Cut);
    state_becomes(&*session, SessionState::Disconnected).await;
    witness.multi(vec![set("/a", None), delete("/b", None), create("/c", CreateMode::Persistent)]).await.unwrap();
    proxy.set(Mode::Pass);
    for watch in [&mut changed, &mut deleted, &mut born, &mut children] {
        fired(watch).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_an_unknown_outcome_and_the_write_is_done_once() {
    let Behind { proxy, session, witness, server: _server } = Behind::start(T).await;
    session.create("/dir", b"", CreateMode::Persistent).await.unwrap();
    let of_lock = |frame: &[u8]| frame.windows(8).any(|window| window == b"__lock__");
    proxy.cut_after_request(1, of_lock);
    let error = session.create("/dir/x__lock__", b"", CreateMode::EphemeralSequential).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    proxy.cut_after_request(1, of_lock);
    let error = session.multi(vec![create("/dir/y__lock__", CreateMode::Ephemeral)]).await.unwrap_err();
    assert!(matches!(&error, MultiError::Whole(error) if error.is_unknown()), "{error}");
    assert_eq!(proxy.fired(), 2);
    assert_eq!(witness.list("/dir").await.unwrap(), ["x__lock__0000000000", "y__lock__"]);
    let stat = session.stat("/dir/y__lock__").await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, session.id(), "the session did not go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_reply_is_lost_is_answered_all_the_same() {
    let Behind { proxy, session, server: _server, .. } = Behind::start(T).await;
    session.create("/dir", b"value", CreateMode::Persistent).await.unwrap();
    let cut = || proxy.cut_after_request(1, |frame| frame.windows(4).any(|window| window == b"/dir"));
    cut();
    assert_eq!(session.get("/dir").await.unwrap().0, b"value");
    cut();
    assert!(session.stat("/dir").await.unwrap().is_some());
    cut();
    assert_eq!(session.list("/dir").await.unwrap(), [""; 0]);
    cut();
    session.sync("/dir").await.unwrap();
    assert_eq!(proxy.fired(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_an_unknown_outcome() {
    let Behind { proxy, session, witness, server: _server } = Behind::start(T).await;
    proxy.set(Mode::Mute);
    let error = session.create("/a", b"", CreateMode::Persistent).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    witness.sync("/a").await.unwrap();
    assert!(witness.stat("/a").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_is_lost_with_all_that_waits_on_it() {
    let Behind { proxy, session, witness, server: _server } = Behind::start(T).await;
    session.create("/e", b"", CreateMode::Ephemeral).await.unwrap();
    let (_, mut gone) = witness.stat_and_watch("/e").await.unwrap();
    let (_, mut own) = session.stat_and_watch("/other").await.unwrap();
    proxy.set(Mode::Cut);
    state_becomes(&*session, SessionState::Disconnected).await;
    let waiting = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.stat("/e").await }
    });
    fired(&mut gone).await;
    proxy.set(Mode::Pass);
    state_becomes(&*session, SessionState::Lost).await;
    fired(&mut own).await;
    assert_eq!(waiting.await.unwrap(), Err(Error::Lost));
    assert_eq!(session.stat("/e").await, Err(Error::Lost));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_disconnected_session_takes_a_bounded_time() {
    let Behind { proxy, session, server: _server, witness: _witness } = Behind::start(Duration::from_secs(20)).await;
    proxy.set(Mode::Hole);
    let waiting = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.stat("/e").await }
    });
    timeout(Duration::from_secs(5), session.close()).await.expect("close did not return");
    assert_eq!(*session.state().borrow(), SessionState::Lost);
    assert_eq!(waiting.await.unwrap(), Err(Error::Lost));
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_refused_past_a_bound_up_to_which_a_session_survives_reconnects() {
    let Behind { proxy, session, witness, server: _server } = Behind::start(Duration::from_secs(20)).await;
    let mut watches = Vec::new();
    let refused = loop {
        let path = format!("/{:0>1000}", watches.len());
        match session.stat_and_watch(&path).await {
            Ok((_, watch)) => watches.push((path, watch)),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::TooManyWatches { .. }), "{refused}");
    assert!(watches.len() > 90, "refused after {}", watches.len());
    for _ in 0..3 {
        proxy.set(Mode::Cut);
        state_becomes(&*session, SessionState::Disconnected).await;
        proxy.set(Mode::Pass);
        state_becomes(&*session, SessionState::Connected).await;
        assert!(session.stat("/").await.unwrap().is_some());
    }
    for (path, watch) in &mut watches {
        witness.create(path, b"", CreateMode::Persistent).await.unwrap();
        fired(watch).await;
    }
    watches.clear();
    assert!(session.stat_and_watch("/a").await.is_ok(), "the bytes of watches that are gone still count");
}

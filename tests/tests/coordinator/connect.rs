//! How a session is opened where a part of the ensemble, or of its names, is wrong.

use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use silverback::coordinator::{Coordinator, CreateMode, Error, Resolver, Session, Sessions, ZooKeeper};
use silverback_tests::proxy::{Mode, Proxy};
use silverback_tests::zookeeper::{Ensemble, ZooKeeperServer};
use tokio::time::timeout;

use crate::T;
use crate::ground::PATIENCE;

/// How long is waited for a session that no server will open.
const SHORT: Duration = Duration::from_secs(3);
/// At a silent address, the client library waits two fifths of it: longer than a host waits for its first session.
const LONG: Duration = Duration::from_secs(60);

/// Gives every name the same addresses, which may change.
#[derive(Clone)]
struct Names(Arc<Mutex<Vec<SocketAddr>>>);

impl Names {
    fn new(addresses: &[SocketAddr]) -> Self {
        Names(Arc::new(Mutex::new(addresses.to_vec())))
    }

    fn set(&self, addresses: &[SocketAddr]) {
        *self.0.lock().unwrap() = addresses.to_vec();
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match host.parse() {
            Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
            Err(_) => Ok(self.0.lock().unwrap().clone()),
        }
    }
}

fn named(servers: &str, session_timeout: Duration, names: &Names) -> ZooKeeper {
    ZooKeeper::new(servers, session_timeout).unwrap().with_resolver(Arc::new(names.clone()))
}

/// Returns how opening a session fails. A server that is to say why needs [`PATIENCE`]: it may just have been started.
async fn refused(servers: &str, patience: Duration) -> String {
    let zookeeper = ZooKeeper::new(servers, T).unwrap();
    zookeeper.connect(patience).await.err().expect("no session is opened").to_string()
}

/// A listener whose connections nobody ever answers.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_a_name_with_a_silent_address_gives_a_session() {
    let server = ZooKeeperServer::start().unwrap();
    let (_listener, mute) = silent();
    for addresses in [[mute, server.address()], [server.address(), mute]] {
        named("zk", LONG, &Names::new(&addresses)).connect(PATIENCE).await.unwrap();
    }
}

/// Where the machine has IPv6, `localhost` has two addresses and the first is silent.
#[tokio::test(flavor = "multi_thread")]
async fn w6_localhost_gives_a_session_whatever_listens_on_ipv6() {
    let server = ZooKeeperServer::start().unwrap();
    let _silent = TcpListener::bind((Ipv6Addr::LOCALHOST, server.address().port()));
    let servers = format!("localhost:{}", server.address().port());
    ZooKeeper::new(&servers, LONG).unwrap().connect(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_a_session_is_opened_where_all_addresses_moved_to() {
    let server = ZooKeeperServer::start().unwrap();
    let (old, new) = (Proxy::start(server.address()).unwrap(), Proxy::start(server.address()).unwrap());
    let names = Names::new(&[old.address()]);
    let coordinator = Arc::new(named("zk", T, &names));
    let sessions = Sessions::open(coordinator, PATIENCE).await.unwrap();
    let first = sessions.now().unwrap().id();
    names.set(&[new.address()]);
    old.set(Mode::Hole);
    let mut follow = sessions.follow();
    let moved = follow.wait_for(|now| now.as_ref().is_some_and(|session| session.id() != first));
    timeout(PATIENCE, moved).await.expect("no session at the new address").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn w8_servers_with_spaces_and_a_dead_one_give_a_session() {
    let server = ZooKeeperServer::start().unwrap();
    let servers = format!(" 127.0.0.1:1,\t{} ", server.address());
    for _ in 0..4 {
        ZooKeeper::new(&servers, T).unwrap().connect(PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w8_servers_without_a_quorum_and_others_are_named() {
    let mut ensemble = Ensemble::start(3).unwrap();
    let (leader, survivor) = (ensemble.leader().unwrap(), (ensemble.leader().unwrap() + 1) % 3);
    let dead = [leader, (survivor + 1) % 3];
    dead.iter().for_each(|index| ensemble.kill(*index));
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = http.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in http.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let error = refused(&format!("{},{web}", ensemble.connect_string()), SHORT).await;
    for index in dead {
        assert!(error.contains(&format!("{}: connection refused", ensemble.address(index))), "{error}");
    }
    let without_quorum =
        format!("{}: serves no requests: it has no quorum, or is starting", ensemble.address(survivor));
    assert!(error.contains(&without_quorum), "{error}");
    assert!(error.contains(&format!("{web}: answered, but not as ZooKeeper: HTTP")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn w8_too_many_connections_of_this_address_are_named() {
    let server = ZooKeeperServer::start_with("maxClientCnxns=1\n").unwrap();
    let session = ZooKeeper::new(&server.connect_string(), T).unwrap().connect(PATIENCE).await.unwrap();
    let error = refused(&server.connect_string(), SHORT).await;
    assert!(error.contains("too many connections from this address (maxClientCnxns)"), "{error}");
    session.close().await;
    ZooKeeper::new(&server.connect_string(), T).unwrap().connect(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn w8_servers_that_want_authentication_are_named() {
    let server = ZooKeeperServer::start_with("enforce.auth.enabled=true\nenforce.auth.schemes=digest\n").unwrap();
    let error = refused(&server.connect_string(), PATIENCE).await;
    assert!(error.starts_with("refused: ") && error.contains(": authentication refused: "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn w8_a_chroot_must_exist_and_holds_everything() {
    let server = ZooKeeperServer::start().unwrap();
    let below = format!("{}/prod/zoo/", server.connect_string());
    let error = refused(&below, PATIENCE).await;
    let why = "the chroot `/prod/zoo` does not exist: create it, or leave it out and use --root";
    assert_eq!(error, format!("refused: servers `{}/prod/zoo`: {why}", server.connect_string()));
    let whole = ZooKeeper::new(&server.connect_string(), T).unwrap().connect(PATIENCE).await.unwrap();
    for path in ["/prod", "/prod/zoo"] {
        whole.create(path, b"", CreateMode::Persistent).await.unwrap();
    }
    let session = ZooKeeper::new(&below, T).unwrap().connect(PATIENCE).await.unwrap();
    session.create("/a", b"", CreateMode::Persistent).await.unwrap();
    assert!(whole.stat("/prod/zoo/a").await.unwrap().is_some());
    let long = "/x".repeat(500);
    let watched = watched_paths(session.as_ref(), &long).await;
    assert!(watched < 98, "{watched} paths of 1000 bytes and a chroot were watched");
}

/// How many watches of paths that begin so a session takes.
async fn watched_paths(session: &dyn Session, prefix: &str) -> usize {
    let mut watches = Vec::new();
    loop {
        match session.stat_and_watch(&format!("{prefix}{}", watches.len())).await {
            Ok((_, watch)) => watches.push(watch),
            Err(Error::TooManyWatches { .. }) => return watches.len(),
            Err(error) => panic!("{error}"),
        }
    }
}

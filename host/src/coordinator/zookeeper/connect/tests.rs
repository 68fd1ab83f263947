//! Sessions with ensembles of which a part, or all, does not answer. The servers are small fakes: what a real one says is
//! tried in the tests of the workspace.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::connect_string::ConnectString;
use super::super::resolve::tests::FakeResolver;
use super::*;
use crate::coordinator::Coordinator;
use crate::telemetry::tests::Captured;

const PATIENCE: Duration = Duration::from_secs(20);
/// The library waits for two fifths of it at a silent address: longer than [`PATIENCE`].
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(800);
/// Ample for what answers at all; what doesn't is waited for as long.
const AMPLE: Duration = Duration::from_secs(6);

/// Port 1 of loopback: nobody listens, and no parallel test is given it.
const CLOSED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A listener that accepts connections and never says a word.
async fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that opens sessions, and knows the root if it is `whole`.
async fn serving(whole: bool) -> SocketAddr {
    let (listener, address) = silent().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, whole));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, whole: bool) -> std::io::Result<()> {
    let first = stream.read_u32().await?;
    if first.to_be_bytes() == *b"srvr" {
        return stream.write_all(b"Zookeeper version: 3.8.0\n").await;
    }
    stream.read_exact(&mut vec![0; first as usize]).await?;
    let mut answer =
        [&0_i32.to_be_bytes()[..], &60_000_i32.to_be_bytes(), &7_i64.to_be_bytes(), &16_i32.to_be_bytes()].concat();
    answer.extend([0; 17]);
    loop {
        stream.write_u32(answer.len() as u32).await?;
        stream.write_all(&answer).await?;
        let mut request = vec![0; stream.read_u32().await? as usize];
        stream.read_exact(&mut request).await?;
        let (xid, exists) = (&request[..4], request[4..8] == 3_i32.to_be_bytes());
        let code: i32 = if exists && !whole { -101 } else { 0 };
        answer = [xid, &1_i64.to_be_bytes(), &code.to_be_bytes()].concat();
        answer.extend(vec![0; if exists && whole { 68 } else { 0 }]);
    }
}

fn zookeeper(
    servers: &str,
    session_timeout: Duration,
    resolve: impl FnMut(&str) -> Option<Vec<SocketAddr>> + Send + 'static,
) -> ZooKeeper {
    ZooKeeper::new(servers, session_timeout).unwrap().with_resolver(Arc::new(FakeResolver::new(resolve)))
}

#[tokio::test]
async fn w6_a_silent_address_of_a_name_keeps_nobody_from_the_others() {
    let (_listener, mute) = silent().await;
    let serves = serving(true).await;
    for _ in 0..3 {
        zookeeper("zk", LONG, move |_| Some(vec![mute, serves])).connect(PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn w8_a_server_that_a_session_does_without_is_named() {
    let captured = Captured::default();
    let _capturing = captured.start();
    let (_listener, mute) = silent().await;
    let serves = serving(true).await;
    let servers = format!("nowhere:1,{serves}");
    zookeeper(&servers, LONG, |_| Some(Vec::new())).connect(PATIENCE).await.unwrap();
    let said = "the session does without some servers: nowhere:1: no address for that name servers=";
    assert!(captured.text().contains(said), "{}", captured.text());
    let servers = format!("{mute},{serves}");
    let said = format!("the session does without some servers: {mute}: accepted the connection, and never answered");
    for _ in 0..50 {
        // The library may begin with the one that serves.
        zookeeper(&servers, LONG, |_| None).connect(PATIENCE).await.unwrap();
        if captured.text().contains(&said) {
            return;
        }
    }
    panic!("{}", captured.text());
}

/// An ensemble that has just lost a server, and takes long to open a session.
#[tokio::test]
async fn w6_a_slow_ensemble_is_waited_for_although_a_server_is_gone() {
    for reachable in [true, false] {
        let (_listener, mute) = silent().await;
        let (listener, address) = silent().await;
        let (asked, was_asked) = tokio::sync::watch::channel(0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, mut was_asked) = (asked.clone(), was_asked.clone());
                tokio::spawn(async move {
                    let mut first = [0; 4];
                    stream.peek(&mut first).await?;
                    if first == *b"srvr" {
                        asked.send_modify(|count| *count += 1);
                    } else {
                        // Answers only after the client has probed: a client that gives up at that point never gets a session.
                        let _ = was_asked.wait_for(|count| *count > 0).await;
                        sleep(Duration::from_secs(1)).await;
                    }
                    serve(stream, true).await
                });
            }
        });
        // The other is left out once it is known to be silent.
        let gone = if reachable { CLOSED } else { mute };
        zookeeper(&format!("{gone},{address}"), LONG, |_| None).connect(PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn w6_many_silent_addresses_keep_nobody_from_the_last() {
    let (_listener, mute) = silent().await;
    let (_other, also_mute) = silent().await;
    let serves = serving(true).await;
    let servers = format!("{mute},zk,{also_mute},{serves}");
    zookeeper(&servers, LONG, move |_| Some(vec![also_mute])).connect(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn w6_a_name_without_an_address_is_waited_for() {
    let serves = serving(true).await;
    let mut asked = 0;
    let late = zookeeper("zk", LONG, move |_| {
        asked += 1;
        Some(if asked > 3 { vec![serves] } else { Vec::new() })
    });
    late.connect(PATIENCE).await.unwrap();
    let never = zookeeper("zk.example:1,other", LONG, |_| Some(Vec::new()));
    let error = never.connect(SHORT).await.err().unwrap().to_string();
    let why = "zk.example:1: no address for that name; other:2181: no address for that name";
    assert_eq!(error, format!("no session with `zk.example:1,other:2181` within 800 ms: {why}"));
}

#[tokio::test]
async fn w6_names_are_resolved_anew_for_each_session_and_round() {
    let (first, second) = (serving(true).await, serving(true).await);
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let moves = zookeeper("zk", LONG, move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => Some(vec![first]),
        1 => Some(vec![CLOSED]),
        _ => Some(vec![second]),
    });
    moves.connect(PATIENCE).await.unwrap();
    moves.connect(PATIENCE).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn w8_an_error_names_each_server_with_what_it_answered() {
    let (_listener, mute) = silent().await;
    let refuses = CLOSED;
    let (closing, closes) = silent().await;
    tokio::spawn(async move { while closing.accept().await.is_ok() {} });
    let servers = format!("zk,{refuses},nowhere:1,{closes}");
    let zookeeper =
        zookeeper(&servers, LONG, move |host| Some(if host == "zk" { vec![mute, refuses] } else { Vec::new() }));
    let error = zookeeper.connect(AMPLE).await.err().unwrap().to_string();
    let list = [
        format!("zk:2181 ({mute}): accepted the connection, and never answered"),
        format!("zk:2181 ({refuses}): connection refused"),
        "nowhere:1: no address for that name".to_owned(),
        format!("{closes}: {}", Answer::Closed.describe()),
    ];
    assert_eq!(
        error,
        format!("no session with `zk:2181,{refuses},nowhere:1,{closes}` within 6000 ms: {}", list.join("; "))
    );
}

#[tokio::test]
async fn w8_a_missing_chroot_is_named_with_the_remedy() {
    let (whole, bare) = (serving(true).await, serving(false).await);
    zookeeper(&format!("{whole}/a/b"), LONG, |_| None).connect(PATIENCE).await.unwrap();
    let error = zookeeper(&format!("{bare}/a/b/"), LONG, |_| None).connect(PATIENCE).await.err().unwrap().to_string();
    let why = "the chroot `/a/b` does not exist: create it, or leave it out and use --root";
    assert_eq!(error, format!("refused: servers `{bare}/a/b`: {why}"));
}

/// The endpoints for servers whose names have these addresses.
fn endpoints_of(servers: &[(&str, &[&str])], answers: &[(&str, Answer)], gives_names: bool) -> String {
    let found: Vec<Resolved> = servers
        .iter()
        .map(|(server, addresses)| Resolved {
            server: ConnectString::parse(server).unwrap().servers.remove(0),
            addresses: Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()),
        })
        .collect();
    let answers = answers.iter().map(|(address, answer)| (address.parse().unwrap(), answer.clone())).collect();
    endpoints(&found, &answers, gives_names).join(",")
}

#[test]
fn w6_a_session_keeps_names_and_all_their_addresses() {
    let servers: [(&str, &[&str]); 3] =
        [("a", &["10.0.0.1:2181"]), ("b:1", &["10.0.0.2:1", "[fd00::2]:1"]), ("10.0.0.3", &["10.0.0.3:2181"])];
    assert_eq!(endpoints_of(&servers, &[], true), "a:2181,b:1,10.0.0.2:1,[fd00::2]:1,10.0.0.3:2181");
    assert_eq!(endpoints_of(&servers, &[], false), "10.0.0.0x1:2181,10.0.0.2:1,[fd00::2]:1,10.0.0.3:2181");
    // As long as nobody serves, nothing is better than another.
    let silent = ("10.0.0.2:1", Answer::Silent);
    assert_eq!(endpoints_of(&servers, std::slice::from_ref(&silent), true), endpoints_of(&servers, &[], true));
    let moved = [silent.clone(), ("10.0.0.9:1", Answer::Serves)];
    assert_eq!(endpoints_of(&servers[1..2], &moved, false), "10.0.0.0x2:1,[fd00::2]:1");
    let known = [silent, ("10.0.0.1:2181", Answer::Refused), ("10.0.0.3:2181", Answer::Serves)];
    assert_eq!(endpoints_of(&servers, &known, true), "a:2181,[fd00::2]:1,10.0.0.3:2181");
}

#[test]
fn w8_a_long_report_is_cut() {
    let server = |at: usize| Resolved {
        server: ConnectString::parse(&format!("zk-{at}")).unwrap().servers.remove(0),
        addresses: Err("no address for that name".to_owned()),
    };
    let all: Vec<Resolved> = (0..20).map(server).collect();
    let told = report(&all, &Answers::new(), &BTreeSet::new());
    assert!(told.starts_with("zk-0:2181: no address for that name; "), "{told}");
    assert!(told.ends_with("; zk-15:2181: no address for that name; and 4 more"), "{told}");
}

/// The library tries addresses that fail at once: there is no route to the broadcast address.
#[test]
fn w6_the_library_gives_up_where_every_attempt_fails_at_once() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let servers = unresolved("255.255.255.255:2181".parse().unwrap());
        let connector = Client::connector().with_session_timeout(Duration::from_secs(1));
        let _ = done.send(threads.block_on(connector.connect(&servers)).map(drop));
    });
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Err(ClientError::Timeout)));
}

#[tokio::test]
async fn w6_an_unresolved_address_resolves_to_itself() {
    for address in ["127.0.0.1:2181", "10.200.0.255:1", "[::1]:2181", "[fd00::12]:3"] {
        let address: SocketAddr = address.parse().unwrap();
        let spelled = unresolved(address);
        assert_eq!(spelled.parse::<SocketAddr>().ok().filter(|_| address.is_ipv4()), None);
        let (host, port) = spelled.rsplit_once(':').unwrap();
        let host = host.trim_matches(['[', ']']);
        assert!(host.parse::<std::net::IpAddr>().is_err(), "{host} is parsed");
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port.parse().unwrap())).await.unwrap().collect();
        assert_eq!(found, [address]);
    }
}

#[tokio::test]
async fn w6_an_unreachable_network_is_told_within_patience() {
    let nowhere = zookeeper("255.255.255.255", Duration::from_secs(1), |_| None);
    let error = nowhere.connect(PATIENCE / 5).await.err().unwrap().to_string();
    assert!(error.contains(": 255.255.255.255:2181: Network is unreachable"), "{error}");
}

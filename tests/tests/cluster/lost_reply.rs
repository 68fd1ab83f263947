//! A contender whose create was done and whose reply was lost is found again: one contender, and none left behind.

use std::time::Duration;

use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::proxy::Proxy;
use silverback_tests::wait::await_that;
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/witness";
const QUEUE: &str = "/silverback/elections/acme/witness/";
const ROUNDS: u64 = 5;

#[test]
fn a_create_whose_reply_is_lost_leaves_exactly_one_contender() {
    let server = ZooKeeperServer::start().unwrap();
    let proxy = Proxy::start(server.address()).unwrap();
    let mut cluster = Cluster::start(&proxy.connect_string(), Duration::from_secs(6), &["a"]);
    let mut token = 0;
    for round in 1..=ROUNDS {
        proxy.cut_after_request(1, creates_a_contender);
        if round == 1 {
            cluster.apply(&job::leading_witness(""));
        } else {
            cluster.cli().ok(&["resign", JOB]);
        }
        await_that("a reply to be lost", SOON, || proxy.fired(), |fired| *fired == round);
        let leader = cluster.await_leader("a leader all the same", JOB, SOON, |leader| leader.token > token);
        token = leader.token;
        assert_eq!(contenders(&server), [format!("{QUEUE}{}", leader.znode)], "in round {round}");
    }
}

/// ZooKeeper's request: number, type, then the fields; a create has the path in it, with the name that kazoo too gives. A
/// multi has it too, where it checks or deletes a contender; none creates one.
fn creates_a_contender(frame: &[u8]) -> bool {
    let has = |text: &str| frame.windows(text.len()).any(|window| window == text.as_bytes());
    const CREATE: i32 = 1;
    const CREATE2: i32 = 15;
    let kind = frame.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    matches!(kind, Some(CREATE | CREATE2)) && has(QUEUE) && has("__lock__")
}

/// What stands in the queue, as the server itself tells: the ephemeral nodes of all sessions.
fn contenders(server: &ZooKeeperServer) -> Vec<String> {
    let dump = server.four_letter("dump").unwrap();
    dump.lines().map(str::trim).filter(|line| line.starts_with(QUEUE)).map(str::to_owned).collect()
}

//! How long nobody leads when a leader resigns: two hosts as real processes with real guests, against kazoo's bare lock
//! between two programs, on one ZooKeeper server.
//!
//! Ours counts from the last thing that the old guest does to the first thing that the new one does, each a line in its
//! log: the old guest's stop, the record of its run, the release, the grant and the new guest's start are all within it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::figure::{Row, Target};
use silverback_tests::job;
use silverback_tests::kazoo::locks;
use silverback_tests::terms::Term;
use silverback_tests::times::{Times, ms};
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

/// The two take turns in blocks, so that whatever drifts in the machine drifts for both.
const BLOCKS: usize = 6;
/// How often each job is handed over in a block.
const ROUNDS: usize = 3;
/// A host that resigned stands again only after a while: with many jobs there is always one that two hosts stand for.
const JOBS: usize = 20;
/// How often each of kazoo's two programs passes the lock on in a block.
const PASSES: usize = JOBS * ROUNDS / 2;
/// Between two handovers nothing happens for so long, ours and kazoo's. Short, since processors that sleep deeply wake late,
/// which would hide what either takes.
const REST: Duration = Duration::from_millis(25);
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// `handover`: from the last instruction of the old guest to the first of the new one.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let server = ZooKeeperServer::start()?;
    let servers = server.connect_string();
    let mut cluster = Cluster::start(&servers, SESSION_TIMEOUT, &["a", "b"]);
    let jobs: Vec<String> = (0..JOBS).map(|n| format!("baton-{n}")).collect();
    jobs.iter().for_each(|job| cluster.apply(&job::baton(job)));
    let mut kazoo = Times::default();
    for block in 0..=BLOCKS {
        for _ in 0..ROUNDS {
            jobs.iter().try_for_each(|job| resign(&mut cluster, job))?;
        }
        let kazoo_block = locks::pass(&servers, "/bench/kazoo", PASSES, REST, cluster.dir());
        if block > 0 {
            kazoo.add(kazoo_block);
        }
    }
    let ours: Times = jobs.iter().flat_map(|job| handovers(&mut cluster, job)).collect();
    ensure!(ours.count() >= BLOCKS * ROUNDS * JOBS * 9 / 10, "only {} handovers were seen", ours.count());
    let row = |name, of: fn(&Times) -> Duration| {
        Row::new(name, ms(of(&ours)), "ms").against("kazoo's lock, release to acquired", ms(of(&kazoo)))
    };
    Ok(vec![
        row("handover, p50 (old guest's last instruction to new guest's first)", Times::p50)
            .target(Target::RatioAtMost(1.0)),
        row("handover, p99", Times::p99),
    ])
}

/// Has the job's leader resign, once there is another to take over. Asks as the command does, but not by the command: a
/// process that ends meanwhile would be part of what is measured. The answer is looked at afterwards.
fn resign(cluster: &mut Cluster, job: &str) -> Result<()> {
    let (cli, job) = (cluster.cli(), format!("acme/{job}"));
    await_value(&format!("a leader of {job} and one who waits"), SOON, || {
        let queue = cli.contenders(&job)?;
        if queue.len() == 2 && queue[0].leader { Ok(()) } else { Err(format!("{queue:#?}")) }
    });
    let address = cluster.hosts()[0].address().to_owned();
    let mut connection = TcpStream::connect(&address)?;
    let headers = format!("Host: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection.write_all(format!("POST /v1/jobs/{job}/resign HTTP/1.1\r\n{headers}").as_bytes())?;
    for_a_while(REST, || {});
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "the leader of {job} did not resign: {answer}");
    Ok(())
}

/// How long the job's handovers took, but for the first block's, which warms everything up.
fn handovers(cluster: &mut Cluster, job: &str) -> Vec<Duration> {
    let mut witnesses = Witnesses::of(&format!("acme/{job}"));
    witnesses.look(cluster);
    let terms = witnesses.terms();
    let pairs = terms.windows(2).skip(ROUNDS).filter(|pair| pair[0].ended && pair[0].who != pair[1].who);
    pairs.map(|pair| gap(&pair[0], &pair[1])).collect()
}

fn gap(old: &Term, new: &Term) -> Duration {
    Duration::try_from(new.begin.duration_since(old.last)).expect("terms don't overlap")
}

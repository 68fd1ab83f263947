//! How long nobody leads when a host dies: kill -9 until the first instruction of the guests that follow.
//!
//! The ensemble expires a session T after the last touch that it saw, rounded up to a tick: no client can be followed up
//! sooner, so that is the floor.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::figure::{Row, Target};
use silverback_tests::job;
use silverback_tests::terms::Term;
use silverback_tests::times::{Times, ms};
use silverback_tests::wait::await_value;
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::{TICK, ZooKeeperServer};

const SESSION_TIMEOUT: Duration = Duration::from_secs(4);
/// How often a host is killed.
const KILLS: usize = 10;
/// How many leader jobs die with it.
const JOBS: usize = 20;
/// What may come on top of the floor.
const ROOM: Duration = Duration::from_millis(100);

/// `failover`: from kill -9 of a host to the first instruction of the new guest.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let server = ZooKeeperServer::start()?;
    let mut cluster = Cluster::start(&server.connect_string(), SESSION_TIMEOUT, &["a", "b"]);
    let jobs: Vec<String> = (0..JOBS).map(|n| format!("acme/baton-{n}")).collect();
    (0..JOBS).for_each(|n| cluster.apply(&job::baton(&format!("baton-{n}"))));
    let mut witnesses: Vec<Witnesses> = jobs.iter().map(|job| Witnesses::of(job)).collect();
    let mut times = Times::default();
    for kill in 0..KILLS {
        let (dies, lives) = if kill % 2 == 0 { ("a", "b") } else { ("b", "a") };
        jobs.iter().for_each(|job| await_two(&mut cluster, job));
        let killed = Timestamp::now();
        cluster.host(dies).kill9();
        for witnesses in &mut witnesses {
            times.add(await_term(&mut cluster, witnesses, killed, lives).into_iter().collect());
        }
        cluster.host(dies).restart();
    }
    // All but in the first kill, where each host leads some.
    ensure!(times.count() >= (KILLS - 1) * JOBS, "only {} failovers were seen", times.count());
    let floor = SESSION_TIMEOUT + TICK;
    let row = |name, of: fn(&Times) -> Duration| {
        Row::new(name, ms(of(&times)), "ms").against("session timeout and a tick", ms(floor))
    };
    Ok(vec![
        row("failover, p50 (kill -9 to new guest's first instruction)", Times::p50),
        row("failover, p99", Times::p99).target(Target::AtMost(ms(floor + ROOM))),
    ])
}

fn await_two(cluster: &mut Cluster, job: &str) {
    let cli = cluster.cli();
    await_value(&format!("two contenders of {job}"), SOON, || {
        let queue = cli.contenders(job)?;
        if queue.len() == 2 { Ok(()) } else { Err(format!("{queue:#?}")) }
    });
}

/// Waits for a term of the survivor, and says how long after the kill it began; None where it had led before.
fn await_term(cluster: &mut Cluster, witnesses: &mut Witnesses, killed: Timestamp, lives: &str) -> Option<Duration> {
    let term: Term = await_value(&format!("a term of {lives}"), SOON, || {
        witnesses.look(cluster);
        let last = witnesses.terms().pop();
        last.filter(|term| term.who == lives).ok_or("none yet")
    });
    Duration::try_from(term.begin.duration_since(killed)).ok()
}

//! A hundred thousand scheduled jobs on ten hosts and one server: how long a host takes to start, how much memory it has, how
//! many ephemeral nodes there are, and how much of the server's heap is taken.
//!
//! The jobs are stored before the hosts start, by multis of many jobs: what is measured is having them, not storing them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use silverback_tests::cli::HostRow;
use silverback_tests::cluster::Cluster;
use silverback_tests::crowd::{self, counter};
use silverback_tests::figure::{Row, Target};
use silverback_tests::times::{Times, ms};
use silverback_tests::wait::await_value;
use silverback_tests::zookeeper::ZooKeeperServer;

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const HOSTS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
const TENANTS: usize = 100;
const GROUPS: u32 = 256;
/// Hosts that stand for a group.
const CONTENDERS: u32 = 3;
/// So long a host holds a group before it gives it to another that came.
const GROUP_HOLD: Duration = Duration::from_secs(1);
/// How long all may take until each group has its place.
const HANGS: Duration = Duration::from_secs(300);

/// `crowd`: 100 000 jobs on 10 hosts.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let server = ZooKeeperServer::start()?;
    let mut cluster = Cluster::start_holding(&server.connect_string(), SESSION_TIMEOUT, GROUP_HOLD, &["founder"]);
    crowd::store(&mut cluster, &server.connect_string(), TENANTS)?;
    cluster.host("founder").sigterm();

    let mut starts = Times::default();
    for name in HOSTS {
        let begin = Instant::now();
        cluster.join(name);
        starts.push(begin.elapsed());
    }
    await_value("each host to lead its part of the groups", HANGS, || {
        let rows: Vec<HostRow> = cluster.cli().rows(&["hosts"])?;
        let led: Vec<u32> = rows.iter().map(|row| row.groups_led).collect();
        let placed = rows.iter().map(|row| row.groups).sum::<u32>() == CONTENDERS * GROUPS;
        let fair = led.iter().all(|led| *led >= GROUPS / HOSTS.len() as u32 / 2);
        let spread = placed && fair && led.iter().sum::<u32>() == GROUPS;
        if spread { Ok(()) } else { Err(format!("{led:?}")) }
    });
    let memory = HOSTS.iter().map(|name| cluster.host(name).resident_bytes());
    let largest = memory.collect::<Result<Vec<u64>>>()?.into_iter().max().context("there are hosts")?;
    let ephemerals = counter(&server.four_letter("mntr")?, "zk_ephemerals_count")? as f64;
    let heap = server.heap_bytes()?;
    Ok(vec![
        Row::new("start of a host with 100 000 jobs, the slowest of ten", ms(starts.max()), "ms")
            .target(Target::AtMost(10_000.0)),
        Row::new("resident memory of a host, the largest of ten", mebibytes(largest), "MiB")
            .target(Target::AtMost(150.0)),
        Row::new("ephemeral nodes", ephemerals, "").target(Target::AtMost(f64::from(4 * GROUPS))),
        Row::new("heap of the server that is in use", mebibytes(heap), "MiB").target(Target::AtMost(512.0)),
    ])
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

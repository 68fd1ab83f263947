//! A hundred thousand scheduled jobs on ten hosts and one server: how long a host takes to start, how much memory it has, how
//! many ephemeral nodes there are, and how much of the server's heap is taken.
//!
//! The jobs are stored before the hosts start, by multis of many jobs: what is measured is having them, not storing them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use silverback::config::Layout;
use silverback::coordinator::{Coordinator as _, CreateMode, MultiError, Op, Session, ZooKeeper, ensure_path};
use silverback_tests::cli::HostRow;
use silverback_tests::cluster::Cluster;
use silverback_tests::figure::{Row, Target};
use silverback_tests::host::ROOT;
use silverback_tests::place::guest;
use silverback_tests::times::{Times, ms};
use silverback_tests::wait::await_value;
use silverback_tests::zookeeper::ZooKeeperServer;

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const HOSTS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
const TENANTS: usize = 100;
/// As many as a directory takes.
const JOBS_OF_A_TENANT: usize = 1000;
const GROUPS: u32 = 256;
/// Hosts that stand for a group.
const CONTENDERS: u32 = 3;
/// How many jobs one multi stores.
const AT_ONCE: usize = 250;
/// So long a host holds a group before it gives it to another that came.
const GROUP_HOLD: Duration = Duration::from_secs(1);
/// How long all may take until each group has its place.
const HANGS: Duration = Duration::from_secs(300);

/// `crowd`: 100 000 jobs on 10 hosts.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let server = ZooKeeperServer::start()?;
    let mut cluster = Cluster::start_holding(&server.connect_string(), SESSION_TIMEOUT, GROUP_HOLD, &["founder"]);
    let component = guest("nothing");
    // Stores the component, and makes the directories.
    cluster.apply(&job("tenant-0", "first", &component.display().to_string()));
    let session = ZooKeeper::new(&server.connect_string(), SESSION_TIMEOUT)?;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    threads.block_on(async { store_all(session.connect(SESSION_TIMEOUT).await?.as_ref()).await })?;
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
    let ephemerals = counter(&server.four_letter("mntr")?, "zk_ephemerals_count")?;
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

fn job(tenant: &str, name: &str, component: &str) -> String {
    format!(
        "tenant = \"{tenant}\"\nname = \"{name}\"\ncomponent = \"{component}\"\ntrigger = \"schedule\"\nschedule = \"@every 1h\"\n\
         jitter = \"59m\"\n"
    )
}

async fn store_all(session: &dyn Session) -> Result<()> {
    let layout = Layout::new(ROOT);
    let first = session.get(&layout.job("tenant-0", "first")).await?.0;
    let first: serde_json::Value = serde_json::from_slice(&first)?;
    for tenant in 0..TENANTS {
        let tenant = format!("tenant-{tenant}");
        for parent in layout.parents(&tenant, "job") {
            ensure_path(session, &parent).await?;
        }
        // The first tenant has one already.
        let numbers: Vec<usize> = (usize::from(tenant == "tenant-0")..JOBS_OF_A_TENANT).collect();
        for some in numbers.chunks(AT_ONCE) {
            let mut ops = Vec::new();
            for number in some {
                let name = format!("job-{number}");
                let mut spec = first.clone();
                (spec["tenant"], spec["name"]) = (tenant.clone().into(), name.clone().into());
                let create = |path: String, data: Vec<u8>| Op::Create { path, data, mode: CreateMode::Persistent };
                ops.push(create(layout.job(&tenant, &name), serde_json::to_vec(&spec)?));
                ops.push(create(layout.state(&tenant, &name), Vec::new()));
            }
            session.multi(ops).await.map_err(MultiError::into_error)?;
        }
    }
    // Nothing that anybody could read again alone: all is read again.
    session.set(&layout.registry(), b"", None).await?;
    Ok(())
}

fn counter(mntr: &str, name: &str) -> Result<f64> {
    let value = mntr.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("`{name}` in {mntr}"))?;
    Ok(value.trim().parse()?)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

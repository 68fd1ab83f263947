//! Ten thousand leaders at once: the memory that a live leader function takes, of those that wait for what they lead.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use silverback::clock;
use silverback::coordinator::{Coordinator as _, ZooKeeper};
use silverback::registry::Digest;
use silverback::runtime::{GuestThreads, Runtime, RuntimeSettings};
use silverback_tests::figure::{Row, Target};
use silverback_tests::lone_term::LoneTerm;
use silverback_tests::place::guest;
use silverback_tests::process::{proportional_bytes, resident_bytes};
use silverback_tests::zookeeper::ZooKeeperServer;
use tokio::sync::Semaphore;
use tokio::time::timeout;

const LEADERS: u32 = 10_000;
/// Each has half of a host's places for leaders.
const TENANTS: [&str; 2] = ["acme", "zoo"];
/// They say once that they are alive, and then nothing for as long.
const BEAT_MS: &str = "86400000";
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const HANGS: Duration = Duration::from_secs(120);

/// `live`: 10 000 leader functions, on a server of their own: a coordinator in memory would keep their state in this
/// process, and work on their stacks.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let server = ZooKeeperServer::start()?;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guests = GuestThreads::start()?;
    let lanes = guests.lanes();
    let rows = threads.block_on(async {
        let bytes = fs::read(guest("witness"))?;
        let settings = RuntimeSettings { max_runs: 1, max_terms: LEADERS, ..RuntimeSettings::default() };
        let runtime = Runtime::new(settings, lanes, clock::system())?;
        let component = runtime.prepare(&Digest::of(&bytes).into(), &bytes)?;
        let coordinator = ZooKeeper::new(&server.connect_string(), SESSION_TIMEOUT)?;
        let term = LoneTerm::on(coordinator.connect(SESSION_TIMEOUT).await?).await?;
        let alive = Arc::new(Semaphore::new(0));
        let lead = |number: u32| {
            let alive = alive.clone();
            let log = Arc::new(move |line: silverback::history::LogLine| {
                if line.message.starts_with("alive") {
                    alive.add_permits(1);
                }
            });
            let config = BTreeMap::from([("beat-ms".to_owned(), BEAT_MS.to_owned())]);
            let mut request = term.lead(&format!("leader-{number}"), config, log);
            request.job.tenant = TENANTS[number as usize % TENANTS.len()].to_owned();
            runtime.start(&component, request)
        };
        let held = || anyhow::Ok([resident_bytes(std::process::id())?, proportional_bytes(std::process::id())?]);
        let before = held()?;
        let leaders: Vec<_> = (0..LEADERS).map(lead).collect();
        let all = timeout(HANGS, alive.acquire_many(LEADERS)).await.context("they don't all come to life")??;
        let after = held()?;
        drop((leaders, all));
        let each = |of: usize| (after[of] - before[of]) as f64 / f64::from(LEADERS) / 1024.0;
        let name = "resident memory of a live leader function, of 10 000 in Rust";
        anyhow::Ok(vec![
            Row::new(name, each(0), "KiB").target(Target::AtMost(40.0)),
            Row::new("the same, what they share counted once", each(1), "KiB"),
        ])
    })?;
    guests.shut_down(Duration::from_secs(1));
    Ok(rows)
}

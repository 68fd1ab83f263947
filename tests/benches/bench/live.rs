//! Ten thousand leaders at once: the memory that a live leader function takes, of those that wait for what they lead.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use silverback::clock;
use silverback::coordinator::{Coordinator as _, ZooKeeper};
use silverback::registry::{Build, Digest};
use silverback::runtime::{GuestThreads, Runtime, RuntimeSettings, terms_mapped};
use silverback_tests::child::find_program;
use silverback_tests::figure::{Row, Target};
use silverback_tests::lone_term::LoneTerm;
use silverback_tests::place::guest;
use silverback_tests::process::{proportional_bytes, resident_bytes};
use silverback_tests::zookeeper::ZooKeeperServer;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The first argument of the process that measures one guest.
pub(crate) const CHILD: &str = "live-of";

const LEADERS: u32 = 10_000;
/// So many begin at once: a host that stands in many elections doesn't win them in the same moment.
const AT_ONCE: u32 = 100;
/// Each has half of a host's places for leaders.
const TENANTS: [&str; 2] = ["acme", "zoo"];
/// They say once that they are alive, and then nothing for as long.
const BEAT_MS: &str = "86400000";
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const HANGS: Duration = Duration::from_secs(120);

/// `live`: two leader functions, ten thousand times each where the kernel has mappings for as many, on a server of their own: a
/// coordinator in memory would keep their state in this process.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let leaders = LEADERS.min(terms_mapped(1)? / AT_ONCE * AT_ONCE);
    ensure!(leaders > 0, "the kernel has no mappings for {AT_ONCE} terms of a process: raise vm.max_map_count");
    let [resident, proportional] = apart("beats", leaders)?;
    let [more_resident, more_proportional] = apart("witness", leaders)?;
    let name = |what: &str| format!("{what}, of {leaders} in Rust");
    let once = "the same, what they share counted once";
    Ok(vec![
        Row::new(name("resident memory of a live leader function (README's)"), resident, "KiB")
            .target(Target::AtMost(40.0)),
        Row::new(once, proportional, "KiB"),
        Row::new(name("the same of one that reads its config and keeps JSON"), more_resident, "KiB"),
        Row::new(once, more_proportional, "KiB"),
    ])
}

/// The two figures of a guest, of a process of its own: what another has left would serve its leaders for free.
fn apart(name: &str, leaders: u32) -> Result<[f64; 2]> {
    // It ends with this process, however that ends.
    let mut command = Command::new(find_program("setpriv")?);
    command.args(["--pdeathsig", "KILL", "--"]).arg(std::env::current_exe()?);
    let ended = command.args([CHILD, name, &leaders.to_string()]).output()?;
    let told = String::from_utf8_lossy(&ended.stdout);
    let figures: Vec<f64> = told.split_whitespace().map(str::parse).collect::<Result<_, _>>().unwrap_or_default();
    <[f64; 2]>::try_from(figures)
        .map_err(|_| anyhow!("{name}: {}: {told}{}", ended.status, String::from_utf8_lossy(&ended.stderr)))
}

/// That process.
pub(crate) fn child(name: &str, leaders: &str) -> Result<()> {
    let [resident, proportional] = each(name, leaders.parse()?)?;
    Ok(writeln!(io::stdout(), "{resident} {proportional}")?)
}

/// What a leader function takes, in KiB: of what is resident, and of that with its part of what others have too.
fn each(name: &str, leaders: u32) -> Result<[f64; 2]> {
    let server = ZooKeeperServer::start()?;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guests = GuestThreads::start()?;
    let lanes = guests.lanes();
    let figures = threads.block_on(async {
        let bytes = fs::read(guest(name))?;
        let settings = RuntimeSettings { max_runs: 1, max_terms: leaders, ..RuntimeSettings::default() };
        let runtime = Runtime::new(settings, lanes, clock::system())?;
        let build = Build { digest: Digest::of(&bytes), metered: false, lasting: true };
        let component = runtime.prepare(&build, &bytes)?;
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
        let mut under_way = Vec::new();
        for first in (0..leaders).step_by(AT_ONCE as usize) {
            under_way.extend((first..first + AT_ONCE).map(lead));
            let all = timeout(HANGS, alive.acquire_many(AT_ONCE)).await.context("they don't all come to life")??;
            all.forget();
        }
        let after = held()?;
        drop(under_way);
        anyhow::Ok([0, 1].map(|of: usize| (after[of] - before[of]) as f64 / f64::from(leaders) / 1024.0))
    })?;
    guests.shut_down(Duration::from_secs(1));
    Ok(figures)
}

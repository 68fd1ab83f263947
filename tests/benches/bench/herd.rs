//! A host that leads a thousand elections: what they cost while it lives, and how soon all are led when it dies.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use silverback::coordinator::{Coordinator as _, ZooKeeper};
use silverback_tests::cli::HostRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::figure::{Row, Target};
use silverback_tests::job;
use silverback_tests::times::ms;
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// A host's heartbeats in a session timeout.
const BEATS: u32 = 6;
const JOBS: usize = 1000;
/// For how many heartbeats writes are counted.
const COUNTED: u32 = 20;
/// How long a host may take until it stands in all elections: ample.
const STANDS: Duration = Duration::from_secs(120);

/// `herd`: the writes of a host that leads a thousand elections, and their handover when it dies.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let server = ZooKeeperServer::start()?;
    let servers = server.connect_string();
    // All jobs are of one tenant, which has half of a host's terms.
    let leader_terms = (2 * JOBS).to_string();
    let mut cluster = Cluster::start_with(&servers, SESSION_TIMEOUT, &["--leader-terms", &leader_terms], &["a"]);
    let jobs: Vec<String> = (0..JOBS).map(|n| format!("baton-{n}")).collect();
    apply(&mut cluster, &jobs)?;
    await_led(&mut cluster, "a");
    let beats = writes(&server)? / f64::from(COUNTED);

    cluster.join("b");
    await_value("b to wait in all elections", STANDS, || {
        let stand = server.four_letter("dump").map(|dump| dump.matches("__lock__").count()).unwrap_or(0);
        if stand == 2 * JOBS { Ok(()) } else { Err(stand) }
    });
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ended = threads.block_on(async {
        let witness = ZooKeeper::new(&servers, SESSION_TIMEOUT)?.connect(SESSION_TIMEOUT).await?;
        let (stat, mut gone) = witness.stat_and_watch("/silverback/hosts/a").await?;
        ensure!(stat.is_some(), "host a has no node");
        cluster.host("a").kill9();
        gone.changed().await;
        anyhow::Ok(Timestamp::now())
    })?;
    await_led(&mut cluster, "b");
    let mut last = ended;
    for job in &jobs {
        let mut witnesses = Witnesses::of(&format!("acme/{job}"));
        witnesses.look(&mut cluster);
        let term = witnesses.terms().pop().with_context(|| format!("{job} was never led"))?;
        ensure!(term.who == "b" && term.begin > ended, "{job} was not taken over: {term}");
        last = last.max(term.begin);
    }
    let took = ms(Duration::try_from(last.duration_since(ended))?);
    Ok(vec![
        Row::new("writes of a host that leads 1 000 elections, in a sixth of the session timeout", beats, "writes")
            .target(Target::AtMost(1.0)),
        Row::new(
            "1 000 elections of a dead host, from its session's end to the last guest's first instruction",
            took,
            "ms",
        )
        .target(Target::AtMost(1000.0)),
    ])
}

/// All in one command: a thousand would take longer than what is measured.
fn apply(cluster: &mut Cluster, jobs: &[String]) -> Result<()> {
    let dir = cluster.dir().join("jobs");
    fs::create_dir(&dir)?;
    let mut args = vec!["apply".to_owned()];
    for job in jobs {
        let file = dir.join(format!("{job}.toml"));
        fs::write(&file, job::baton(job))?;
        args.push(file.display().to_string());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    cluster.cli().ok(&args);
    Ok(())
}

/// Waits until the host's guests run, all of them.
fn await_led(cluster: &mut Cluster, host: &str) {
    let cli = cluster.cli();
    await_value(&format!("{host} to lead all elections"), STANDS, || {
        let hosts: Vec<HostRow> = cli.rows(&["hosts"])?;
        let leads = hosts.iter().any(|row| row.host == host && row.elections_led as usize == JOBS);
        if leads { Ok(()) } else { Err(format!("{hosts:#?}")) }
    });
}

/// The server's transactions while so many heartbeats are due. Counted from just after one.
fn writes(server: &ZooKeeperServer) -> Result<f64> {
    let before = zxid(server)?;
    let first = await_value("a heartbeat", SOON, || match zxid(server) {
        Ok(zxid) if zxid > before => Ok(zxid),
        seen => Err(seen),
    });
    // Half a heartbeat more, so that the count doesn't hang on a moment.
    for_a_while(SESSION_TIMEOUT / BEATS * COUNTED + SESSION_TIMEOUT / BEATS / 2, || {});
    Ok((zxid(server)? - first) as f64)
}

fn zxid(server: &ZooKeeperServer) -> Result<i64> {
    let told = server.four_letter("srvr")?;
    let zxid = told.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).context("srvr tells the zxid")?;
    Ok(i64::from_str_radix(zxid.trim(), 16)?)
}

//! Durable runs on schedules: how many a host does in a second, how late they are, and how soon all are begun that are due at
//! the same moment. What was begun and finished is read from the server's transaction log, which has all of it.
//!
//! The floor is the server and our client alone: multis of the same bytes as those of a run, as many at once as there is
//! room for. A run is two of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use silverback::coordinator::{Coordinator as _, CreateMode, Op, ZooKeeper};
use silverback::history::Outcome;
use silverback::registry::{JobId, Schedule, ScheduleSpec};
use silverback::scheduler::plan::{JobState, Phase};
use silverback_tests::child::Child;
use silverback_tests::cluster::Cluster;
use silverback_tests::figure::{Row, Target};
use silverback_tests::job;
use silverback_tests::place::guest;
use silverback_tests::subjects::{Measure, rows_of};
use silverback_tests::times::{Times, ms};
use silverback_tests::txn_log::{Deed, Transaction};
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::zookeeper::ZooKeeperServer;

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long is measured.
const SPAN: Duration = Duration::from_secs(10);
/// From the first ticks until it is measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long storing one job may take: ticks begin when all are stored.
const APPLY: Duration = Duration::from_millis(6);
/// More jobs that tick each second than a host can run.
const TOO_MANY: usize = 14_000;
/// As many as it easily can.
const EASY: usize = 1000;
/// Lateness is measured so often alone and beside the spinner, for so long each, so long after it began or ended.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_secs(1);
const SPINNER: &str = "spinner";
const SPINNER_JOB: &str = "rogue/spinner";
/// Due in the same second.
const AT_ONCE: usize = 10_000;
const TENANTS: usize = 50;
/// Nodes that the floor's multis are about, and how many of those are under way at once.
const NODES: usize = 1000;
const IN_FLIGHT: usize = 256;
/// How long all may take that are due at once, before the bench gives up.
const HANGS: Duration = Duration::from_secs(60);

/// `runs`: throughput, lateness, and a herd. One of them that fails costs the others nothing.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let parts: [(&str, Measure); 3] = [
        ("runs: throughput", throughput_rows),
        ("runs: lateness", lateness_rows),
        ("runs: those that are due at once", herd_rows),
    ];
    Ok(parts.into_iter().flat_map(|(name, measure)| rows_of(name, measure)).collect())
}

fn throughput_rows() -> Result<Vec<Row>> {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (runs, state_bytes) = throughput()?;
    let multis = threads.block_on(floor(state_bytes))?;
    Ok(vec![
        Row::new("durable fenced runs of one host", runs, "runs/s")
            .against("half the rate of raw pipelined multis of the same bytes", multis / 2.0)
            .target(Target::RatioAtLeast(0.8)),
    ])
}

fn lateness_rows() -> Result<Vec<Row>> {
    let Lateness { alone, beside_guest, beside_process } = lateness()?;
    Ok(vec![
        Row::new("from a tick to the end of its guest, at 1 000 runs/s, p50", ms(alone.p50()), "ms"),
        Row::new("the same, p99", ms(alone.p99()), "ms").target(Target::AtMost(25.0)),
        Row::new("the same, p99, beside a tenant whose guest spins", ms(beside_guest.p99()), "ms")
            .against("without it", ms(alone.p99()))
            .target(Target::RatioAtMost(1.2)),
        Row::new("the same, p99, beside a process of the idle class that spins", ms(beside_process.p99()), "ms")
            .against("without it", ms(alone.p99())),
    ])
}

fn herd_rows() -> Result<Vec<Row>> {
    Ok(vec![
        Row::new("10 000 jobs of 50 tenants due in the same second, until the last is begun", ms(herd()?), "ms")
            .target(Target::AtMost(1000.0)),
    ])
}

/// Runs a second of a host that has more to do than it can, and how large the run states are.
fn throughput() -> Result<(f64, usize)> {
    let server = ZooKeeperServer::start()?;
    let mut cluster = Cluster::start(&server.connect_string(), SESSION_TIMEOUT, &["a"]);
    let first = apply(&mut cluster, TOO_MANY, each_second)?;
    let (from, to) = span(first);
    let states = states(&server.transactions()?);
    let measured = states.iter().filter(|seen| seen.at >= from && seen.at < to);
    let finished = measured.clone().filter(|seen| seen.finished()).count();
    let bytes: usize = measured.clone().map(|seen| seen.bytes).sum();
    let count = measured.count();
    ensure!(count > 0, "no run was begun");
    Ok((finished as f64 / SPAN.as_secs_f64(), bytes / count))
}

/// From each tick to the end of its run, where a host runs a thousand a second.
struct Lateness {
    alone: Times,
    /// A tenant's guest never stops to compute.
    beside_guest: Times,
    /// A process does so, which has nothing to do with the host and gives way to it wherever the kernel can tell.
    beside_process: Times,
}

fn lateness() -> Result<Lateness> {
    let server = ZooKeeperServer::start()?;
    let mut cluster = Cluster::start(&server.connect_string(), SESSION_TIMEOUT, &["a"]);
    let first = apply(&mut cluster, EASY, each_second)?;
    for_a_while(until(first + WARM_UP), || {});
    cluster.apply(&job::misbehaving_leader(SPINNER, "spin"));
    let (mut alone, mut beside_guest, mut beside_process) = (Vec::new(), Vec::new(), Vec::new());
    // In turns, so that what else the machine does meets all.
    for _ in 0..ROUNDS {
        cluster.cli().ok(&["pause", SPINNER_JOB]);
        await_value("the spinner to rest", HANGS, || match cluster.cli().contenders(SPINNER_JOB)?.len() {
            0 => Ok(()),
            _ => Err("it stands".to_owned()),
        });
        alone.push(round());
        let spinner = spinner()?;
        beside_process.push(round());
        drop(spinner);
        cluster.cli().ok(&["resume", SPINNER_JOB]);
        cluster.await_leader("the spinner to lead", SPINNER_JOB, HANGS, |_| true);
        beside_guest.push(round());
    }
    let states = states(&server.transactions()?);
    let late = |spans: &[_]| late_within(&states, first, spans);
    Ok(Lateness { alone: late(&alone)?, beside_guest: late(&beside_guest)?, beside_process: late(&beside_process)? })
}

/// A process of the idle class that computes without end, until it is dropped.
fn spinner() -> Result<Child> {
    Child::spawn("chrt", ["--idle", "0", "sh", "-c", "while :; do :; done"], Path::new("/dev/null"))
}

/// Lateness is written in whole milliseconds: what is in one of them is spread evenly over it.
fn late_within(states: &[Seen], first: Timestamp, spans: &[(Timestamp, Timestamp)]) -> Result<Times> {
    let mut late: BTreeMap<u64, u32> = BTreeMap::new();
    let spec = ScheduleSpec { jitter_ms: 999, ..ScheduleSpec::new(&every(first)) };
    let measured = |seen: &&Seen| spans.iter().any(|(from, to)| seen.at >= *from && seen.at < *to);
    for seen in states.iter().filter(measured) {
        if let Some(kept) = seen.state.outcomes.front().filter(|_| seen.finished()) {
            let schedule = Schedule::parse(&spec, Some(&seen.job)).context("the schedule is valid")?;
            let begins = schedule.begins(kept.of.tick().context("a run of a tick")?);
            let ms = kept.ended.duration_since(begins).as_millis().max(0) as u64;
            *late.entry(ms).or_default() += 1;
        }
    }
    let mut times = Times::default();
    for (ms, count) in late {
        (0..count).for_each(|at| times.push(Duration::from_millis(ms) + Duration::from_millis(1) * at / count));
    }
    let expected = EASY * spans.len() * ROUND.as_secs() as usize;
    ensure!(times.count() * 10 > expected * 9, "only {} of {expected} ticks ran", times.count());
    Ok(times)
}

/// From a moment at which all jobs are due until the last of them is begun.
fn herd() -> Result<Duration> {
    let server = ZooKeeperServer::start()?;
    let mut cluster = Cluster::start(&server.connect_string(), SESSION_TIMEOUT, &["a"]);
    let tick = apply(&mut cluster, AT_ONCE, |tick| format!("at = \"{tick}\"\n"))?;
    for_a_while(until(tick), || {});
    let took = await_value("all of a tick to be begun", HANGS, || {
        let states = states(&server.transactions().map_err(|error| error.to_string())?);
        let begun: Vec<Timestamp> =
            states.iter().filter_map(Seen::begun).filter(|(of, _)| *of == tick).map(|(_, at)| at).collect();
        if begun.len() < AT_ONCE {
            return Err(format!("{} are begun", begun.len()));
        }
        let last = begun.into_iter().max().ok_or("none is begun")?;
        Duration::try_from(last.duration_since(tick)).map_err(|error| error.to_string())
    });
    Ok(took)
}

/// Each second from then on, each job at a moment of its own.
fn each_second(first: Timestamp) -> String {
    format!("schedule = \"{}\"\njitter = \"999ms\"\n", every(first))
}

fn every(first: Timestamp) -> String {
    format!("@every 1s from {first}")
}

/// Jobs that do nothing, of fifty tenants, in one command. Gives when they begin to tick, which is when all are stored: a
/// host that is busy with them would take its time.
fn apply(cluster: &mut Cluster, count: usize, lines: impl Fn(Timestamp) -> String) -> Result<Timestamp> {
    let first = Timestamp::from_second((Timestamp::now() + APPLY * count as u32).as_second() + 1)?;
    let lines = lines(first);
    let dir = cluster.dir().join("jobs");
    fs::create_dir(&dir)?;
    let component = guest("nothing");
    let mut args = vec!["apply".to_owned()];
    for number in 0..count {
        let (tenant, file) = (number % TENANTS, dir.join(format!("{number}.toml")));
        let text = format!(
            "tenant = \"tenant-{tenant}\"\nname = \"job-{number}\"\ncomponent = \"{}\"\ntrigger = \"schedule\"\n{lines}",
            component.display()
        );
        fs::write(&file, text)?;
        args.push(file.display().to_string());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    cluster.cli().ok(&args);
    ensure!(Timestamp::now() < first, "storing {count} jobs took longer than {} ms each", APPLY.as_millis());
    Ok(first)
}

/// A while in which lateness is measured, begun when what changed before has settled.
fn round() -> (Timestamp, Timestamp) {
    let from = Timestamp::now() + SETTLE;
    for_a_while(until(from + ROUND), || {});
    (from, from + ROUND)
}

/// Waits for what is measured to be over.
fn span(first: Timestamp) -> (Timestamp, Timestamp) {
    let from = first + WARM_UP;
    for_a_while(until(from + SPAN), || {});
    (from, from + SPAN)
}

fn until(then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(Timestamp::now())).unwrap_or_default()
}

/// A run state that was written.
struct Seen {
    at: Timestamp,
    job: JobId,
    bytes: usize,
    state: JobState,
}

impl Seen {
    /// A run succeeded with this, as the newest of all outcomes.
    fn finished(&self) -> bool {
        self.state.active.is_empty()
            && self.state.outcomes.front().is_some_and(|kept| kept.outcome == Outcome::Succeeded)
    }

    /// A run was begun with this: of which tick, and when.
    fn begun(&self) -> Option<(Timestamp, Timestamp)> {
        let active = self.state.active.first()?;
        match active.phase {
            Phase::Begun { .. } => Some((active.of.tick()?, self.at)),
            Phase::Waiting { .. } => None,
        }
    }
}

fn states(transactions: &[Transaction]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for transaction in transactions {
        let Deed::Wrote(writes) = &transaction.deed else { continue };
        for write in writes {
            let Some(job) = write.path.strip_prefix("/silverback/runs/").and_then(|job| job.parse().ok()) else {
                continue;
            };
            let Ok(state) = JobState::from_bytes(&write.value) else { continue };
            let Ok(at) = Timestamp::from_millisecond(transaction.time_ms) else { continue };
            seen.push(Seen { at, job, bytes: write.value.len(), state });
        }
    }
    seen
}

/// Multis a second: a check of a contender, one of a job, and a run state of so many bytes.
async fn floor(state_bytes: usize) -> Result<f64> {
    let server = ZooKeeperServer::start()?;
    let session = ZooKeeper::new(&server.connect_string(), SESSION_TIMEOUT)?.connect(SESSION_TIMEOUT).await?;
    for directory in ["/floor", "/floor/groups", "/floor/jobs", "/floor/runs"] {
        session.create(directory, b"", CreateMode::Persistent).await?;
    }
    let contender = "/floor/groups/0123456789abcdef__lock__0000000000";
    session.create(contender, b"a", CreateMode::Ephemeral).await?;
    for node in 0..NODES {
        session.create(&format!("/floor/jobs/job-{node}"), b"", CreateMode::Persistent).await?;
        session.create(&format!("/floor/runs/job-{node}"), b"", CreateMode::Persistent).await?;
    }
    let multi = |number: usize| {
        let (session, node) = (session.clone(), number % NODES);
        let check = |path: String, version| Op::Check { path, version };
        let ops = vec![
            check(contender.to_owned(), None),
            check(format!("/floor/jobs/job-{node}"), Some(0)),
            Op::Set { path: format!("/floor/runs/job-{node}"), data: vec![b'x'; state_bytes], version: None },
        ];
        async move { session.multi(ops).await }
    };
    let mut done = stream::iter((0..).map(multi)).buffer_unordered(IN_FLIGHT);
    let (mut count, begin) = (0_u32, Instant::now());
    while begin.elapsed() < SPAN {
        done.next().await.context("there is no end to it")??;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

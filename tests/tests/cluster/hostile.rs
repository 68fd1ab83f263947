//! Components that misbehave end as they should, and nobody beside them notices.

use std::process::Command;
use std::time::Duration;

use jiff::SignedDuration;
use silverback_tests::cli::{HostRow, RunRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::lateness::Lateness;
use silverback_tests::terms::Sighting;
use silverback_tests::wait::await_that;
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

const WITNESS: &str = "acme/witness";
/// A witness speaks every 50 ms. With hostile guests on every core it may be late, not silent. This is for a machine with nothing
/// else to do: what keeps a thread of the test itself from the processor comes on top.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);

#[test]
fn hostile_guests_end_as_they_should_and_nobody_else_notices() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(4), &["a"]);
    let mut witnesses = Witnesses::of(WITNESS);
    cluster.apply(&job::leading_witness(""));
    let leader = cluster.await_leader("the witness to lead", WITNESS, SOON, |_| true);
    witnesses.await_life(&mut cluster, leader.token, 10);
    let session = session(&mut cluster);
    let lateness = Lateness::measure();

    // Once to have been there, and again to see that little stays. What is resident of an idle host goes up and down, and an
    // allocator keeps what the most runs at once took: `attrition` measures it in a long run, and has the same slack in a
    // short one.
    misbehave(&mut cluster, &mut witnesses);
    let before = cluster.hosts()[0].resident_bytes().unwrap();
    misbehave(&mut cluster, &mut witnesses);
    let most = 2 * before;
    let host = &cluster.hosts()[0];
    let resident = || host.resident_bytes().unwrap();
    await_that("no more memory than twice as before", SOON, resident, |resident| *resident <= most);

    witnesses.await_life(&mut cluster, leader.token, 10);
    assert_eq!(witnesses.terms().len(), 1, "the witness was not restarted");
    assert_never_silent(&witnesses.sightings(), lateness.allows(LONGEST_SILENCE));
    assert_eq!(self::session(&mut cluster), session, "the session lived on");
}

/// One run of each way to misbehave, and how it ends.
fn misbehave(cluster: &mut Cluster, witnesses: &mut Witnesses) {
    // What it does, its limits, its outcome, and what the detail must say.
    let cases = [
        ("spin", "time = \"2s\"", "timed-out", "2"),
        ("trap", "", "failed", "unreachable"),
        ("error", "", "failed", "as asked"),
        ("permanent", "", "failed", "permanent"),
        ("allocate", "memory = \"16MiB\"", "failed", "16"),
        ("sleep", "time = \"1s\"", "timed-out", "1"),
        ("flood-log", "time = \"5s\"", "", ""),
        ("keep-keys", "state_keys = 5", "failed", "state_keys 6 is over the limit of 5"),
        ("keep-bytes", "state = \"64KiB\"", "failed", " is over the limit of 64KiB"),
        ("spin", "fuel = 1000000", "failed", "fuel: more than the limit of 1000000"),
    ];
    for (behave, limits, outcome, detail) in cases {
        cluster.apply(&job::misbehaving(behave, limits));
        let run = cluster.run_now(&format!("rogue/{behave}"));
        witnesses.look(cluster);
        if !outcome.is_empty() {
            assert_eq!(run.outcome.as_deref(), Some(outcome), "{behave}: {run:#?}");
        }
        assert!(run.detail.contains(detail), "{behave}: {run:#?}");
        let usage = run.usage.as_ref().unwrap_or_else(|| panic!("{behave}: what it used is told: {run:#?}"));
        assert!(usage.peak_memory_bytes > 0 && usage.wall_us > 0, "{behave}: {run:#?}");
        assert!(usage.cpu_us > 0, "{behave}: {run:#?}");
        assert!(!behave.starts_with("keep") || usage.host_calls > 1, "{behave}: {run:#?}");
        assert_eq!(usage.fuel.is_some(), limits.contains("fuel"), "{behave}: {run:#?}");
        // 2 000 lines at once and 200 a second are taken. On a machine under full load a guest may not get to so many.
        let taken = 2_000 + 200 * (usage.wall_us / 1_000_000 + 1);
        let floods = behave == "flood-log" && usage.host_calls > 2 * taken;
        assert!(!floods || usage.log_lines_dropped > 0, "{behave}: {run:#?}");
    }
}

/// A ticker that shares a thread with guests never gets to stop them where there is one processor.
#[test]
fn a_ticker_of_the_guests_own_threads_deadlocks_on_one_core() {
    let mut cluster = Cluster::embedded();
    let pid = cluster.hosts()[0].pid().to_string();
    let pinned = Command::new("taskset").args(["--all-tasks", "--pid", "--cpu-list", "0", &pid]).output().unwrap();
    assert!(pinned.status.success(), "{pinned:?}");
    cluster.apply(&job::ticking_witness("@every 1s"));
    // Long enough that a tick comes, begins and ends meanwhile on a core that has other work too.
    cluster.apply(&job::misbehaving("spin", "time = \"10s\""));
    let run = cluster.run_now("rogue/spin");
    assert_eq!(run.outcome.as_deref(), Some("timed-out"), "{run:#?}");
    let meanwhile = |tick: &RunRow| tick.started > run.started && tick.ended < run.ended;
    cluster.await_run("a tick beside it", "acme/ticker", SOON, |tick| {
        meanwhile(tick) && tick.outcome.as_deref() == Some("succeeded")
    });
}

#[test]
fn a_leader_that_spins_is_stopped_when_it_must_resign() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(4), &["a"]);
    cluster.apply(&job::misbehaving_leader("spinner", "spin"));
    let leader = cluster.await_leader("the spinner to lead", "rogue/spinner", SOON, |_| true);
    let session = session(&mut cluster);
    cluster.cli().ok(&["resign", "rogue/spinner"]);
    let run = cluster.await_run("the spinner's end", "rogue/spinner", SOON, |run| {
        run.token == leader.token && run.outcome.is_some()
    });
    assert!(!run.detail.is_empty(), "it says why it was stopped: {run:#?}");
    let next = cluster.await_leader("its next term", "rogue/spinner", SOON, |next| next.token != leader.token);
    assert!(next.token > leader.token);
    assert_eq!(self::session(&mut cluster), session, "the session lived on");
}

fn session(cluster: &mut Cluster) -> String {
    let hosts: Vec<HostRow> = cluster.cli().rows(&["hosts"]).unwrap();
    hosts[0].session.clone()
}

#[track_caller]
fn assert_never_silent(sightings: &[Sighting], longest: Duration) {
    let longest = SignedDuration::try_from(longest).unwrap();
    for pair in sightings.windows(2) {
        let silence = pair[1].time.duration_since(pair[0].time);
        assert!(silence < longest, "the witness was silent for {silence:#} of {longest:#}, from {:?}", pair[0]);
    }
}

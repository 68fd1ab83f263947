//! What one tenant does to the others on its host: with its guests' time, and with what its operator lets them have.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use silverback_tests::chores::Chore;
use silverback_tests::cli::{HostRow, RunRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::lateness::Lateness;
use silverback_tests::wait::{await_told, for_a_while};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;
use silverback_tests::{job, soak};

const WITNESS: &str = "acme/witness";
const ROGUES: u32 = 100;
/// A witness speaks every 50 ms, and a command takes some 10. This is for a machine with nothing else to do: what keeps a thread
/// of the test itself from the processor comes on top.
const PROMPT: Duration = Duration::from_secs(1);

#[test]
fn a_hundred_spinning_guests_of_one_tenant_leave_the_others_alone() {
    a_hundred_guests_leave_the_others_alone("spin");
}

/// On the session that the host's own terms and those of all others hang on.
#[test]
fn so_do_a_hundred_that_write_and_read_without_end() {
    a_hundred_guests_leave_the_others_alone("write");
}

/// Through calls that are made on another stack, and lines of which most are dropped.
#[test]
fn so_do_a_hundred_that_log_without_end() {
    a_hundred_guests_leave_the_others_alone("talk");
}

/// Each leads a job of its own, has no limit of time, and never asks whether it should stop.
fn a_hundred_guests_leave_the_others_alone(behave: &str) {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(4), &["a"]);
    let mut witnesses = Witnesses::of(WITNESS);
    let quiet: Vec<Chore> =
        (0..5).map(|at| Chore::new("quiet", &format!("chore-{at}"), "schedule = \"@every 1s\"")).collect();
    cluster.apply(&job::leading_witness(""));
    cluster.apply_all(&quiet.iter().map(Chore::toml).collect::<Vec<_>>());
    let leader = cluster.await_leader("the witness to lead", WITNESS, SOON, |_| true);
    witnesses.await_life(&mut cluster, leader.token, 10);
    let session = session(&mut cluster);

    let rogue = |number| job::misbehaving_leader(&format!("rogue-{number}"), behave);
    cluster.apply_all(&(0..ROGUES).map(rogue).collect::<Vec<_>>());
    let led = || cluster.cli().rows::<HostRow>(&["hosts"]).map(|hosts| hosts[0].jobs_led);
    await_told("all of them to lead", 2 * SOON, led, |led| *led == ROGUES + 1);
    cluster.apply(&sleeper());

    let lateness = Lateness::measure();
    let begun = jiff::Timestamp::now();
    let mut slowest = Duration::ZERO;
    let mut deadlines = 0;
    let end = Instant::now() + soak::span(Duration::from_secs(10), Duration::from_secs(120));
    while Instant::now() < end {
        let asked = Instant::now();
        assert_eq!(self::session(&mut cluster), session, "the session lives on");
        slowest = slowest.max(asked.elapsed());
        cluster.run_now("third/sleeper");
        deadlines += 1;
        for_a_while(Duration::from_millis(500), || {});
    }
    witnesses.look(&mut cluster);
    let said: Vec<_> = witnesses.sightings().into_iter().filter(|sighting| sighting.time > begun).collect();
    let silence = said.windows(2).map(|pair| pair[1].time.duration_since(pair[0].time)).max().unwrap();
    let mut late: Vec<SignedDuration> = Vec::new();
    for chore in &quiet {
        let runs = cluster.cli().runs(&chore.id()).unwrap();
        late.extend(
            runs.iter().filter(|run| run.started > begun).map(|run| run.started.duration_since(run.tick.unwrap())),
        );
    }
    late.sort();
    let overdue = |run: &RunRow| run.ended.unwrap().duration_since(run.started) - SignedDuration::from_millis(500);
    let sleepers = cluster.cli().runs("third/sleeper").unwrap();
    let overdue = sleepers.iter().filter(|run| run.ended.is_some()).map(overdue).max().unwrap();
    let prompt = lateness.allows(PROMPT);
    println!(
        "{deadlines} deadlines, at most {overdue} late; {} ticks, at most {} late; the API answers within {slowest:?}; a leader is \
         silent for {silence} at most",
        late.len(),
        late.last().unwrap()
    );
    println!("a thread of the test itself was {:?} late at most: all must come within {prompt:?}", lateness.worst());
    assert!(slowest < prompt, "the API takes {slowest:?}");
    let prompt = SignedDuration::try_from(prompt).unwrap();
    assert!(silence < prompt, "a leader is silent for {silence}");
    assert!(overdue < prompt, "a deadline is kept {overdue} late");
    assert!(late.len() > 20 && late[late.len() * 95 / 100] < prompt, "{late:?}");
    assert_eq!(witnesses.terms().len(), 1, "the witness was not restarted");
}

/// A job whose runs end by their limit of time.
fn sleeper() -> String {
    let job = job::misbehaving("sleep", "time = \"500ms\"");
    job.replace("\"rogue\"", "\"third\"").replace("name = \"sleep\"", "name = \"sleeper\"")
}

/// Neither job asks for a limit: what holds is what its tenant was set, for runs and for terms alike.
#[test]
fn what_an_operator_allows_a_tenant_holds_for_its_runs_and_its_terms() {
    let mut cluster = Cluster::embedded();
    cluster.cli().ok(&["tenant", "rogue", "--limit", "memory=8MiB"]);
    cluster.apply(&job::misbehaving("allocate", ""));
    cluster.apply(&job::misbehaving_leader("greedy", "allocate"));
    cluster.trigger("rogue/allocate");
    for job in ["rogue/allocate", "rogue/greedy"] {
        let run = cluster.await_run("a run that wants more", job, SOON, |run| run.outcome.is_some());
        assert_eq!(run.outcome.as_deref(), Some("failed"), "{run:#?}");
        assert!(run.detail.contains("is over the limit of 8MiB"), "{run:#?}");
        assert!(run.usage.as_ref().unwrap().peak_memory_bytes <= 8 << 20, "{run:#?}");
    }
    cluster.cli().ok(&["tenant", "rogue", "--limit", "memory=12MiB"]);
    let wider = |run: &RunRow| run.detail.contains("is over the limit of 12MiB");
    cluster.await_run("a later term under the new limit", "rogue/greedy", SOON, wider);
}

/// A term that finds none fails, so that another host's contender is next; others have theirs.
#[test]
fn a_tenant_has_half_of_the_places_for_terms_that_its_operator_gave_a_host() {
    let mut cluster = Cluster::embedded_with(&["--leader-terms", "2"]);
    cluster.apply(&job::misbehaving_leader("first", "sleep"));
    cluster.await_run("a first term", "rogue/first", SOON, |run| run.outcome.is_none());
    cluster.apply(&job::misbehaving_leader("second", "sleep"));
    let refused = cluster.await_run("a term too many", "rogue/second", SOON, |run| run.outcome.is_some());
    let why =
        "leader terms of tenant `rogue`'s guests on this host 2 is over the limit of 1 (silverback up --leader-terms)";
    assert_eq!((refused.outcome.as_deref(), refused.detail.contains(why)), (Some("failed"), true), "{refused:#?}");
    cluster.apply(&job::leading_witness(""));
    let leader = cluster.await_leader("another tenant's leader", WITNESS, SOON, |_| true);
    Witnesses::of(WITNESS).await_life(&mut cluster, leader.token, 3);
}

fn session(cluster: &mut Cluster) -> String {
    let hosts: Vec<HostRow> = cluster.cli().rows(&["hosts"]).unwrap();
    hosts[0].session.clone()
}

//! Faults that other schedulers shipped, each a test named after its ticket. What happened is read from the servers' logs.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use silverback::history::Outcome;
use silverback_tests::chores::Chore;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::lateness::Lateness;
use silverback_tests::ledger::{Ledger, Story};
use silverback_tests::oracle::Ran;
use silverback_tests::soak;
use silverback_tests::wait::{await_that, await_value, for_a_while};
use silverback_tests::zookeeper::{Ensemble, ZooKeeperServer};

const ROOT: &str = "/silverback";
const TIMEOUT: Duration = Duration::from_secs(4);
const AT_LEAST_ONCE: &str = "delivery = \"at-least-once\"\n";

/// quartznet#2817: a node that lived was declared dead. It stands still in a run for longer than its session; another takes
/// over, and what the first has to say of the run is refused.
#[test]
fn quartznet_2817_a_live_node_is_declared_dead() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), TIMEOUT, &["a", "b"]);
    let chore = Chore::new("acme", "chore", "schedule = \"@every 2s\"").with("[config]\ntakes-ms = \"1500\"");
    cluster.apply(&chore.toml());
    for _ in 0..soak::times(2, 10) {
        let (leader, frozen) = await_value("a run to be under way", SOON, || {
            let leader = cluster.await_leader("a leader", &chore.id(), SOON, |_| true);
            let found = ledger(&server).of(&chore.id()).under_way().map(|ran| ran.tick);
            found.map(|tick| (leader, tick)).ok_or("none is")
        });
        cluster.host(&leader.identifier).sigstop();
        await_that("the end that another writes", SOON, || ended(&server, &chore, frozen, 1), Option::is_some);
        cluster.host(&leader.identifier).sigcont();
        await_value("the thawed host to stand again", SOON, || {
            let queue = cluster.cli().contenders(&chore.id())?;
            let again = queue.iter().any(|row| row.identifier == leader.identifier && row.znode != leader.znode);
            if again { Ok(()) } else { Err(format!("{queue:#?}")) }
        });
        // It may have ended just before its host stood still.
        let end = ended(&server, &chore, frozen, 1);
        assert!(matches!(end, Some(Outcome::Unknown | Outcome::Succeeded)), "{end:?}");
        if end == Some(Outcome::Unknown) {
            let told = cluster.await_run("what is told of it", &chore.id(), SOON, |run| {
                run.tick == Some(frozen) && run.outcome.is_some()
            });
            assert_ne!(told.outcome.as_deref(), Some("succeeded"), "{told:?}");
        }
    }
    let ledger = kept(&server);
    let story = ledger.of(&chore.id());
    assert!(story.ended_as(Outcome::Unknown) > 0, "no run was lost, so nothing was at stake: {story}");
}

/// elasticjob#687: when the ZooKeeper leader changed, running jobs were failed over and ran twice.
#[test]
fn elasticjob_687_a_change_of_the_servers_leader_triggers_failover() {
    let mut ensemble = Ensemble::start(3).unwrap();
    let mut cluster = Cluster::start(&ensemble.connect_string(), Duration::from_secs(10), &["a", "b"]);
    let keys = format!("schedule = \"@every 2s\"\n{AT_LEAST_ONCE}");
    let chores: Vec<Chore> = (0..4)
        .map(|at| Chore::new("acme", &format!("chore-{at}"), &keys).with("[config]\ntakes-ms = \"3000\""))
        .collect();
    cluster.apply_all(&chores.iter().map(Chore::toml).collect::<Vec<_>>());
    let read = |ensemble: &Ensemble| Ledger::read(ROOT, &ensemble.transactions().unwrap());
    for _ in 0..soak::times(2, 10) {
        let running = await_that(
            "all to run",
            SOON,
            || {
                let ledger = read(&ensemble);
                chores.iter().filter_map(|chore| Some(ledger.find(&chore.id())?.under_way()?.tick)).collect()
            },
            |running: &Vec<Timestamp>| running.len() == chores.len(),
        );
        let killed = ensemble.leader().unwrap();
        ensemble.kill(killed);
        await_that(
            "their ends",
            SOON,
            || {
                let ledger = read(&ensemble);
                let ended = |(chore, tick): (&Chore, &Timestamp)| {
                    ledger.of(&chore.id()).runs().any(|ran| ran.tick == *tick && ran.ended.is_some())
                };
                chores.iter().zip(&running).filter(|of| ended(*of)).count()
            },
            |ended| *ended == chores.len(),
        );
        ensemble.restart(killed).unwrap();
    }
    let until = Timestamp::now();
    let ledger = settled_in(|| read(&ensemble), until);
    let verdict = ledger.verdict(until);
    verdict.assert_kept();
    let of_all: Vec<&Ran> = ledger.stories.values().flat_map(Story::runs).collect();
    let other = |ran: &&&Ran| ran.attempt > 1 || ran.ended.is_some_and(|(_, end)| end != Outcome::Succeeded);
    assert_eq!(of_all.iter().filter(other).count(), 0, "each ran once, to its end: {verdict}");
}

/// elasticjob#1857: after a long outage of ZooKeeper jobs never ran again.
#[test]
fn elasticjob_1857_jobs_die_on_an_outage() {
    let mut server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), TIMEOUT, &["a", "b"]);
    let chores = Chore::mixture(1);
    cluster.apply_all(&chores.iter().map(Chore::toml).collect::<Vec<_>>());
    await_that("the first runs", SOON, || ledger(&server).verdict(Timestamp::now()).ran, |ran| *ran > 10);
    server.kill();
    for_a_while(3 * TIMEOUT, || {});
    server.restart().unwrap();
    let back = Timestamp::now() + SignedDuration::from_secs(1);
    // What paused itself meanwhile does so for a reason of its own.
    await_value("every job to tick again", 2 * SOON, || {
        let ledger = ledger(&server);
        let ticks = |story: &&Story| story.state.paused.is_some() || story.is_settled(back);
        let dead: Vec<String> =
            ledger.stories.values().filter(|story| !ticks(story)).map(|it| it.to_string()).collect();
        if dead.is_empty() { Ok(()) } else { Err(dead) }
    });
    let ledger = ledger(&server);
    for story in ledger.stories.values().filter(|story| story.state.paused.is_none()) {
        let report = story.judge(back);
        assert_eq!((report.findings, &story.broken), (vec![], &vec![]), "{story}");
    }
}

/// nomad#11052: whoever became the leader ran jobs that had run already, or not at all.
#[test]
fn nomad_11052_a_new_leader_force_runs_jobs() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), TIMEOUT, &["a", "b"]);
    let chore = Chore::new("acme", "chore", &format!("schedule = \"@every 1s\"\n{AT_LEAST_ONCE}"));
    cluster.apply(&chore.toml());
    let mut token = 0;
    for _ in 0..50 {
        token = cluster.await_leader("another leader", &chore.id(), SOON, |leader| leader.token > token).token;
        cluster.cli().ok(&["resign", &chore.id(), "--group"]);
    }
    let ledger = kept(&server);
    let story = ledger.of(&chore.id());
    let report = story.judge(story.state.cursor.unwrap());
    assert!(report.ticks >= 5, "{report:?}");
    assert_eq!((report.ran, story.runs().count()), (report.ticks, report.ticks), "runs = ticks: {story}");
}

/// dkron#1210: a tick close to the leader's death was lost. Of jobs that tick in each second of ten, some are a second from
/// their tick when their host dies, and some come until five seconds later.
#[test]
fn dkron_1210_ticks_are_lost_at_failover() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(2), &["a", "b"]);
    let keys = |at: usize| format!("schedule = \"{at}-59/10 * * * * *\"\n{AT_LEAST_ONCE}");
    let chores: Vec<Chore> = (0..10)
        .flat_map(|at| {
            ["x", "y"].map(|of| Chore::new(of, &format!("chore-{at}"), &keys(at)).with("[config]\ntakes-ms = \"300\""))
        })
        .collect();
    cluster.apply_all(&chores.iter().map(Chore::toml).collect::<Vec<_>>());
    await_that("the first runs", SOON, || ledger(&server).verdict(Timestamp::now()).ran, |ran| *ran > 5);
    for name in ["a", "b"] {
        cluster.host(name).kill9();
        for_a_while(Duration::from_secs(6), || {});
        cluster.host(name).restart();
    }
    let until = Timestamp::now();
    let ledger = settled(&server, until);
    let verdict = ledger.verdict(until);
    verdict.assert_kept();
    assert_eq!((verdict.ran, verdict.skipped), (verdict.ticks, 0), "{verdict}");
    println!("{verdict}");
}

/// dkron#541: after a stall everything ran twice.
#[test]
fn dkron_541_everything_runs_twice_after_a_stall() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(6), &["a", "b"]);
    let chores = [("chore-0", ""), ("chore-1", AT_LEAST_ONCE), ("chore-2", AT_LEAST_ONCE), ("chore-3", "")]
        .map(|(name, keys)| Chore::new("acme", name, &format!("schedule = \"@every 1s\"\n{keys}")));
    cluster.apply_all(&chores.each_ref().map(Chore::toml));
    await_that("the first runs", SOON, || ledger(&server).verdict(Timestamp::now()).ran, |ran| *ran > 5);
    for name in ["a", "b"] {
        cluster.host(name).sigstop();
        for_a_while(Duration::from_secs(2), || {});
        cluster.host(name).sigcont();
    }
    let until = Timestamp::now() + SignedDuration::from_secs(1);
    let ledger = settled(&server, until);
    ledger.verdict(until).assert_kept();
    for story in ledger.stories.values() {
        let twice = story.runs().find(|ran| ran.attempt > 1);
        assert_eq!(twice, None, "no session was lost: {story}");
    }
}

/// Dkron keeps the back-off in its leader's memory, and it dies with it. Here the retry comes after its pause, on another host.
#[test]
fn dkron_a_backoff_dies_with_the_leader() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(2), &["a", "b"]);
    // The component is compiled first, which may take long: the tick must be still to come when its job is applied.
    cluster.apply(&Chore::new("acme", "earlier", "schedule = \"0 0 1 1 *\"").toml());
    let tick = Timestamp::from_second(Timestamp::now().as_second() + 6).unwrap();
    let backoff = SignedDuration::from_secs(8);
    let chore = Chore::new("acme", "chore", &format!("at = \"{tick}\"")).with(
        "[retry]\ncount = 1\nbackoff = \"8s\"\nmax_backoff = \"8s\"\n\
         [config]\nfails = \"retryably\"\nuntil-attempt = \"2\"",
    );
    cluster.apply(&chore.toml());
    await_that("the first attempt", SOON, || ended(&server, &chore, tick, 1), Option::is_some);
    let leader = cluster.await_leader("its leader", &chore.id(), SOON, |_| true);
    cluster.host(&leader.identifier).kill9();
    await_that("the second attempt", SOON, || ended(&server, &chore, tick, 2), Option::is_some);
    let ledger = ledger(&server);
    let story = ledger.of(&chore.id());
    let [first, second] = story.runs().collect::<Vec<_>>()[..] else { panic!("two attempts: {story}") };
    let (failed, outcome) = first.ended.unwrap();
    assert_eq!((outcome, second.ended.unwrap().1), (Outcome::Failed, Outcome::Succeeded), "{story}");
    let pause = second.began.duration_since(failed);
    assert!(pause >= backoff, "the second attempt came after {pause}: {story}");
    let run = cluster.await_run("its record", &chore.id(), SOON, |run| run.attempt == 2);
    assert_ne!(run.host, leader.identifier);
    assert_eq!(story.judge(tick + 2 * backoff).findings, []);
}

/// elasticjob#1841: one long job delayed all others. Here a tenant's jobs spin in all of a host's processors.
#[test]
fn elasticjob_1841_one_long_job_delays_others() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), TIMEOUT, &["a"]);
    let quiet: Vec<Chore> =
        (0..5).map(|at| Chore::new("quiet", &format!("chore-{at}"), "schedule = \"@every 1s\"")).collect();
    let spin = "[limits]\ntime = \"900ms\"\n[config]\nfails = \"spinning\"";
    let spinning: Vec<Chore> = (0..8)
        .map(|at| Chore::new("spinning", &format!("chore-{at}"), "schedule = \"@every 1s\"").with(spin))
        .collect();
    let lateness = Lateness::measure();
    cluster.apply_all(&quiet.iter().chain(&spinning).map(Chore::toml).collect::<Vec<_>>());
    let begun = Timestamp::now();
    for_a_while(soak::span(Duration::from_secs(10), Duration::from_secs(120)), || {});
    let until = Timestamp::now();
    let ledger = settled(&server, until);
    ledger.verdict(until).assert_kept();
    let (mut late, mut ticks, mut ran) = (Vec::new(), 0, 0);
    for story in quiet.iter().map(|chore| ledger.of(&chore.id())) {
        let report = story.judge(until);
        (ticks, ran) = (ticks + report.ticks, ran + report.ran);
        late.extend(report.lateness);
    }
    // One that was passed over had the next one to wait for.
    late.resize(ticks, SignedDuration::from_secs(1));
    late.sort();
    println!("{ran} of {ticks} ticks beside spinning ones ran since {begun}, at most {} late", late.last().unwrap());
    // Its own next tick, a second later, was still to come. What kept a thread of the test itself from the processor is the
    // machine's part.
    let most = SignedDuration::try_from(lateness.allows(Duration::from_millis(500))).unwrap();
    assert!(late[late.len() * 95 / 100] < most, "{late:?}, and {most} is allowed");
    let spun = spinning.iter().map(|chore| ledger.of(&chore.id()).ended_as(Outcome::TimedOut)).sum::<usize>();
    assert!(spun > 10, "{spun} spun");
}

/// dkron#1296: executions of a node that died stayed "running" for ever.
#[test]
fn dkron_1296_history_is_stuck_at_running() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(2), &["a", "b"]);
    let chores: Vec<Chore> = [("chore-0", ""), ("chore-1", AT_LEAST_ONCE), ("chore-2", ""), ("chore-3", AT_LEAST_ONCE)]
        .iter()
        .map(|(name, keys)| {
            let keys = format!("schedule = \"@every 1s\"\n{keys}");
            Chore::new("acme", name, &keys).with("[limits]\ntime = \"1s\"\n[config]\ntakes-ms = \"400\"")
        })
        .collect();
    cluster.apply_all(&chores.iter().map(Chore::toml).collect::<Vec<_>>());
    for name in ["a", "b", "a"] {
        let begun = Instant::now();
        await_that("runs", SOON, || ledger(&server).verdict(Timestamp::now()).attempts, |runs| *runs > 8);
        cluster.host(name).kill9();
        for_a_while(Duration::from_secs(3).saturating_sub(begun.elapsed()), || {});
        cluster.host(name).restart();
    }
    let until = Timestamp::now();
    settled(&server, until).verdict(until).assert_kept();
    // And so do people read it, on whichever host the run began.
    for chore in &chores {
        await_value("every run to have an end on record", SOON, || {
            let runs = cluster.cli().runs(&chore.id())?;
            let open = |run: &&silverback_tests::cli::RunRow| {
                run.outcome.is_none() && run.tick.is_some_and(|tick| tick <= until)
            };
            let open: Vec<_> = runs.iter().filter(open).collect();
            if open.is_empty() { Ok(()) } else { Err(format!("{open:#?}")) }
        });
    }
}

fn ledger(server: &ZooKeeperServer) -> Ledger {
    Ledger::read(ROOT, &server.transactions().unwrap())
}

/// How an attempt at a tick ended, where it has.
fn ended(server: &ZooKeeperServer, chore: &Chore, tick: Timestamp, attempt: u32) -> Option<Outcome> {
    let ledger = ledger(server);
    let of = |ran: &&Ran| (ran.tick, ran.attempt) == (tick, attempt);
    ledger.find(&chore.id())?.runs().find(of)?.ended.map(|(_, outcome)| outcome)
}

/// Once all that came by `until` has its end.
#[track_caller]
fn settled(server: &ZooKeeperServer, until: Timestamp) -> Ledger {
    settled_in(|| ledger(server), until)
}

#[track_caller]
fn settled_in(read: impl Fn() -> Ledger, until: Timestamp) -> Ledger {
    await_value("all ticks to come to their end", 2 * SOON, || {
        let ledger = read();
        let open = ledger.stories.values().find(|story| !story.is_settled(until)).map(ToString::to_string);
        open.map_or(Ok(ledger), Err)
    })
}

/// All that was committed, once it has come to its end, with every promise kept.
#[track_caller]
fn kept(server: &ZooKeeperServer) -> Ledger {
    let until = Timestamp::now();
    let ledger = settled(server, until);
    ledger.verdict(until).assert_kept();
    ledger
}

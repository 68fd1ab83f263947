//! What an operator, or a job's own rules, may do with leadership: delay it, bound it, hand it over, take it away.

use std::time::{Duration, Instant};

use silverback::registry::{DEFAULT_GROUPS, JobId, group_of};
use silverback_tests::chores::Chore;
use silverback_tests::cli::{Cli, ContenderRow, HostRow, RunRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::kazoo::KazooContender;
use silverback_tests::place;
use silverback_tests::refusal::{last_line, refusal_of};
use silverback_tests::wait::{await_that, await_told, await_value};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/witness";
const NAMES: [&str; 2] = ["a", "b"];
const HOURLY: &str = "schedule = \"@hourly\"";

#[test]
fn the_lock_delay_is_waited_after_a_kill_and_not_after_a_drain() {
    // Much longer than the session timeout, which passes after a kill in any case.
    let delay = Duration::from_secs(12);
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(4), &["a", "b", "c"]);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness("lock_delay = \"12s\"\n"));
    let first = cluster.await_leader("a first leader", JOB, SOON, |_| true);
    witnesses.await_life(&mut cluster, first.token, 5);

    let killed = jiff::Timestamp::now();
    cluster.host(&first.identifier).kill9();
    let second = cluster.await_leader("a leader after the kill", JOB, SOON, |leader| leader.token != first.token);
    witnesses.await_life(&mut cluster, second.token, 5);
    cluster.host(&second.identifier).ask_to_end();
    let third = cluster.await_leader("a leader after the drain", JOB, SOON, |leader| leader.token > second.token);
    witnesses.await_life(&mut cluster, third.token, 5);

    let terms = witnesses.terms();
    assert_eq!(terms.len(), 3, "{terms:#?}");
    assert!(terms[1].begin > killed + delay, "killed at {killed}, and the next guest began too soon: {terms:#?}");
    let run = ended(&mut cluster, JOB, second.token);
    let why = format!("host `{}` began {JOB}/term-{}", first.identifier, first.token);
    assert!(run.detail.contains("lock delay of 12000 ms") && run.detail.contains(&why), "{run:#?}");
    cluster.cli().ok(&["resign", JOB]);
    let run = ended(&mut cluster, JOB, third.token);
    assert!(!run.detail.contains("lock delay"), "a clean end was followed up with a delay: {run:#?}");
}

#[test]
fn a_term_is_handed_over_when_it_has_lasted_as_long_as_the_job_lets_it() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(6), &NAMES);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness("max_term = \"4s\"\n"));
    // Until both stand there is no next one in the queue.
    let leader = both_stand(&cluster.cli()).remove(0);
    let terms = await_value("the term and the next one", SOON, || {
        witnesses.look(&mut cluster);
        let terms = witnesses.terms();
        let from = terms.iter().position(|term| term.token == leader.token && term.ended);
        from.map(|from| terms[from..].to_vec()).filter(|terms| terms.len() >= 2).ok_or(terms)
    });
    assert_ne!(terms[0].who, terms[1].who, "the next in the queue leads: {terms:#?}");
    let lasted = Duration::try_from(terms[0].last.duration_since(terms[0].begin)).unwrap();
    // The term begins a moment before its guest.
    assert!(lasted > Duration::from_secs(2) && terms[0].ended, "it lasted {lasted:?}: {terms:#?}");
    let run = ended(&mut cluster, JOB, terms[0].token);
    assert_eq!(run.outcome.as_deref(), Some("succeeded"));
    assert!(run.detail.contains("max_term"), "{run:#?}");
}

#[test]
fn a_guest_that_does_not_stop_has_the_grace_of_its_job() {
    let hosts_own = Duration::from_secs(60);
    let mut cluster = Cluster::embedded_with(&["--drain-grace", "60s"]);
    let text = job::misbehaving_leader("spinner", "spin");
    cluster.apply(&text.replace("trigger = \"leader\"\n", "trigger = \"leader\"\ngrace = \"100ms\"\n"));
    let leader = cluster.await_leader("the spinner to lead", "rogue/spinner", SOON, |_| true);
    let asked = Instant::now();
    cluster.cli().ok(&["resign", "rogue/spinner"]);
    let took = asked.elapsed();
    assert!(took < hosts_own, "it took {took:?}, as long as the host's own grace");
    let run = ended(&mut cluster, "rogue/spinner", leader.token);
    assert_eq!(run.outcome.as_deref(), Some("lost-leadership"));
    assert!(run.detail.contains("resign"), "{run:#?}");
}

#[test]
fn a_drained_host_hands_over_and_answers_and_stands_again_when_it_is_undrained() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(6), &NAMES);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness(""));
    cluster.apply(&job::ticking_witness("@every 1s"));
    let first = cluster.await_leader("a first leader", JOB, SOON, |_| true);
    witnesses.await_life(&mut cluster, first.token, 5);
    let other = if first.identifier == "a" { "b" } else { "a" };
    let through_other = cluster.host(other).cli();

    let said = through_other.ok(&["drain", &first.identifier]);
    assert!(said.contains(&first.identifier), "{said}");
    for job in [JOB, "acme/ticker"] {
        await_told(
            "the other alone to stand",
            SOON,
            || through_other.contenders(job),
            |queue| identifiers(queue) == [other],
        );
    }
    through_other.ok(&["drain", &first.identifier]);
    let drained = cluster.host(&first.identifier).cli();
    await_told(
        "the host to say that it is drained",
        SOON,
        || drained.rows(&["hosts"]).map(|hosts: Vec<HostRow>| drained_hosts(&hosts)),
        |hosts| *hosts == [first.identifier.clone()],
    );
    let second = cluster.await_leader("the other to lead", JOB, SOON, |leader| leader.identifier == other);
    witnesses.await_life(&mut cluster, second.token, 5);
    let terms = witnesses.terms();
    assert!(terms.len() == 2 && terms[0].ended, "the guest was asked to stop, and did: {terms:#?}");

    let unknown = drained.run(&["drain", "nobody"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("nobody"), "{unknown:#?}");
    drained.ok(&["undrain", &first.identifier]);
    both_stand(&drained);
    drained.ok(&["resign", JOB]);
    cluster.await_leader("the undrained host to lead", JOB, SOON, |leader| leader.identifier == first.identifier);
}

#[test]
fn a_host_that_hangs_is_evicted_without_its_help_and_stands_again_when_it_lives() {
    let timeout = Duration::from_secs(40);
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), timeout, &NAMES);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness(""));
    let first = cluster.await_leader("a first leader", JOB, SOON, |_| true);
    witnesses.await_life(&mut cluster, first.token, 5);
    let other = if first.identifier == "a" { "b" } else { "a" };
    let through_other = cluster.host(other).cli();
    both_stand(&through_other);

    cluster.host(&first.identifier).sigstop();
    let hangs = Instant::now();
    let said = through_other.ok(&["evict", JOB, &first.identifier]);
    assert!(said.contains(&first.identifier) && said.contains(JOB), "{said}");
    let second = await_value("the other to lead", SOON, || {
        let queue = through_other.contenders(JOB)?;
        queue.iter().find(|row| row.leader && row.identifier == other).cloned().ok_or(format!("{queue:#?}"))
    });
    assert!(hangs.elapsed() < timeout / 2, "the session did not end: it was {:?}", hangs.elapsed());
    let again = through_other.run(&["evict", JOB, &first.identifier]);
    assert!(again.code == Some(1) && again.err.contains(&format!("but `{other}`")), "{again:#?}");

    cluster.host(&first.identifier).sigcont();
    let run = ended(&mut cluster, JOB, first.token);
    assert_eq!(run.outcome.as_deref(), Some("lost-leadership"), "{run:#?}");
    assert!(run.detail.contains("removed from the election"), "{run:#?}");
    let queue = both_stand(&through_other);
    assert_eq!((queue[0].token, queue[1].identifier.as_str()), (second.token, first.identifier.as_str()), "{queue:#?}");
}

#[test]
fn a_foreign_contender_is_evicted_by_its_identifier() {
    const PATH: &str = "/electionpath";
    let server = ZooKeeperServer::start().unwrap();
    let servers = server.connect_string();
    let mut cluster = Cluster::start(&servers, Duration::from_secs(6), &["a"]);
    let dir = cluster.dir().to_owned();
    let _kazoo = KazooContender::start("k1", &servers, PATH, Duration::from_secs(3600), &dir);
    cluster.apply(&job::leading_witness(&format!("election = \"{PATH}\"\n")));
    await_told(
        "kazoo to lead before the host",
        SOON,
        || cluster.cli().contenders(JOB),
        |queue| identifiers(queue) == ["k1", "a"],
    );
    cluster.cli().ok(&["evict", JOB, "k1"]);
    cluster.await_leader("the host to lead", JOB, SOON, |leader| leader.identifier == "a");
}

#[test]
fn settings_that_leave_no_lease_are_refused_at_start_with_the_numbers() {
    // Nobody listens there: a host that opened a session first would try for ever.
    for (settings, said) in [
        ("--session-timeout 3s", ["3000 ms", "2000 ms"]),
        ("--clock-drift 101", ["101 per mille", "100 per mille"]),
        ("--lease-margin 5s", ["5000 ms", "6000 ms"]),
        ("--stop-budget 4s", ["4000 ms", "6000 ms"]),
    ] {
        assert_refused("127.0.0.1:1", settings, &said);
    }
    // What was asked for is fine, and the server doesn't grant it.
    let server = ZooKeeperServer::start().unwrap();
    let settings = "--session-timeout 120s --tick-time 31s";
    assert_refused(&server.connect_string(), settings, &["60000 ms", "31000 ms"]);
}

#[track_caller]
fn assert_refused(servers: &str, settings: &str, said: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let options = ["--zookeeper", servers, "--data", data.to_str().unwrap()];
    let settings: Vec<&str> = settings.split(' ').collect();
    let up = [&["up", "--listen", "127.0.0.1:0"], &options[..], &settings].concat();
    // The ZooKeeper library may panic before, in the thread whose session is dropped: what counts is the line at the end.
    let why = last_line(&refusal_of(&place::silverback(), &up));
    assert!(said.iter().all(|number| why.contains(number)), "{settings:?}: {why}");
}

/// The run of this token, once it has ended.
#[track_caller]
fn ended(cluster: &mut Cluster, job: &str, token: i64) -> RunRow {
    cluster.await_run("the term's end", job, SOON, |run| run.token == token && run.outcome.is_some())
}

/// Waits until two hosts stand for the witness, and returns the queue.
#[track_caller]
fn both_stand(cli: &Cli) -> Vec<ContenderRow> {
    await_told("both to stand", SOON, || cli.contenders(JOB), |queue| queue.len() == 2)
}

fn identifiers(queue: &[ContenderRow]) -> Vec<&str> {
    queue.iter().map(|row| row.identifier.as_str()).collect()
}

fn drained_hosts(hosts: &[HostRow]) -> Vec<String> {
    hosts.iter().filter(|host| host.drained).map(|host| host.host.clone()).collect()
}

#[test]
fn s4_a_groups_leader_resigns_only_if_the_group_is_meant() {
    let mut cluster = Cluster::embedded();
    let group = |tenant: &str, name: &str| group_of(&JobId::new(tenant, name).unwrap(), DEFAULT_GROUPS);
    let neighbour = (0..).map(|at| format!("chore-{at}")).find(|name| group("other", name) == group("acme", "chore"));
    let chores = [Chore::new("acme", "chore", HOURLY), Chore::new("other", &neighbour.unwrap(), HOURLY)];
    chores.iter().for_each(|chore| cluster.apply(&chore.toml()));
    let leader = cluster.await_leader("a leader", &chores[0].id(), SOON, |_| true);
    let cli = cluster.cli();
    let whom = format!("2 jobs of 2 tenants in group {}", group("acme", "chore"));
    for args in [&["resign", "acme/chore"][..], &["evict", "acme/chore", &leader.identifier]] {
        let refused = await_that("both jobs to be followed", SOON, || cli.run(args), |said| said.err.contains(&whom));
        assert!(refused.code == Some(1) && refused.err.contains("--group"), "{refused:?}");
    }
    assert_eq!(cli.contenders("acme/chore").unwrap()[0].token, leader.token);
    let said = cli.ok(&["resign", "acme/chore", "--group"]);
    assert_eq!(said, format!("the leader of {whom} has resigned\n"));
    let next = cluster.await_leader("a new term", &chores[1].id(), SOON, |next| next.token > leader.token);
    let said = cli.ok(&["evict", "acme/chore", &next.identifier, "--group"]);
    assert!(said.ends_with(&format!("from the election of {whom}\n")), "{said}");
    cluster.await_leader("one more term", &chores[0].id(), SOON, |last| last.token > next.token);
}

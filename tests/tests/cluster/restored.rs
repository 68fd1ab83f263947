//! An ensemble that is restored from an older state: nothing is led there until an operator confirms, tokens go on rising, and
//! what is recorded is never told otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use silverback_tests::cli::{HostRow, RunRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::kazoo::KazooContender;
use silverback_tests::wait::{await_that, await_told, await_value, for_a_while};
use silverback_tests::zookeeper::{Ensemble, ZooKeeperServer};

const TICKER: &str = "acme/ticker";
const WITNESS: &str = "acme/witness";
const ELECTION: &str = "/electionpath";
const TIMEOUT: Duration = Duration::from_secs(4);
const RESUME: [&str; 2] = ["cluster", "resume-after-restore"];

fn start(names: &[&str]) -> (ZooKeeperServer, Cluster) {
    let server = ZooKeeperServer::start().unwrap();
    let cluster = start_on(&server.connect_string(), names);
    (server, cluster)
}

fn start_on(servers: &str, names: &[&str]) -> Cluster {
    let mut cluster = Cluster::start(servers, TIMEOUT, names);
    cluster.apply(&format!("{}catch_up = \"all\"\nmax_catch_up = 32\n", job::ticking_witness("@every 1s")));
    cluster.apply(&job::leading_witness(&format!("election = \"{ELECTION}\"\n")));
    cluster
}

/// Waits until this many runs whose tick is after `from` have succeeded.
#[track_caller]
fn await_runs(cluster: &mut Cluster, from: Timestamp, count: usize) -> Vec<RunRow> {
    await_value("runs that succeed", SOON, || {
        let runs = cluster.cli().runs(TICKER)?;
        let done =
            runs.iter().filter(|run| run.tick > Some(from) && run.outcome.as_deref() == Some("succeeded")).count();
        if done >= count { Ok(runs) } else { Err(format!("{done}")) }
    })
}

/// Waits until every host says that it leads nothing because of what it, or another, has seen.
#[track_caller]
fn await_held(cluster: &mut Cluster, hosts: usize) {
    await_value("all hosts to say why they lead nothing", SOON, || {
        let rows: Vec<HostRow> = cluster.cli().rows(&["hosts"])?;
        let held = |row: &&HostRow| row.problem.as_deref().is_some_and(|why| why.contains("resume-after-restore"));
        if rows.iter().filter(held).count() == hosts { Ok(()) } else { Err(format!("{rows:#?}")) }
    });
}

fn ended(runs: &[RunRow]) -> BTreeMap<(String, u32), String> {
    let outcome = |run: &RunRow| Some(((run.run.clone(), run.attempt), run.outcome.clone()?));
    runs.iter().filter_map(outcome).filter(|(_, outcome)| outcome == "succeeded").collect()
}

/// Lets the cluster go on, and sees that its tokens are above `token`, and that nothing that had `ended` before is told otherwise or
/// runs again.
#[track_caller]
fn goes_on_once_confirmed(cluster: &mut Cluster, token: i64, before: &BTreeMap<(String, u32), String>) {
    let said = cluster.cli().ok(&RESUME);
    assert!(said.contains("the cluster goes on"), "{said}");
    let resumed = Timestamp::now();
    let next = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    assert!(next.token > token, "{next:?} after {token}");
    let runs = await_runs(cluster, resumed, 3);
    let after = ended(&runs);
    let lost: Vec<_> = before.keys().filter(|run| !after.contains_key(*run)).collect();
    assert!(lost.is_empty(), "records were rewritten: {lost:?} in {runs:#?}");
    let twice = |run: &&RunRow| before.contains_key(&(run.run.clone(), run.attempt)) && run.started > resumed;
    let again: Vec<&RunRow> = runs.iter().filter(twice).collect();
    assert!(again.is_empty(), "what had run ran again: {again:#?}");
}

#[test]
fn w7_a_restored_ensemble_is_led_only_after_an_operator_confirms() {
    let (mut server, mut cluster) = start(&["a", "b"]);
    await_runs(&mut cluster, Timestamp::UNIX_EPOCH, 3);
    let backup = server.back_up().unwrap();
    let backed_up = Timestamp::now();
    let runs = await_runs(&mut cluster, backed_up, 8);
    cluster.cli().ok(&["resign", WITNESS]);
    let leader = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    let before = ended(&runs);

    server.restore(&backup).unwrap();
    await_held(&mut cluster, 2);
    let told = cluster.cli().problem(TICKER).unwrap().unwrap_or_default();
    assert!(told.contains("the ensemble was restored from an older state"), "{told}");
    assert!(cluster.host("a").log().contains("this host leads nothing"), "{}", cluster.host("a").log());
    // The contenders that were restored go with their sessions, and no other comes.
    let nobody = |dump: &String| !dump.contains("__lock__");
    await_told("nobody to stand", SOON, || server.four_letter("dump"), nobody);
    for_a_while(Duration::from_secs(3), || {
        let dump = server.four_letter("dump").unwrap();
        assert!(nobody(&dump), "somebody stands: {dump}");
    });
    // A host that has seen nothing is held by what the others have seen, and so is one that is started again.
    cluster.join("c");
    cluster.host("b").restart();
    await_held(&mut cluster, 3);

    goes_on_once_confirmed(&mut cluster, leader.token, &before);
    let answer = cluster.cli().run(&RESUME);
    assert!(answer.code == Some(1) && answer.err.contains("nothing is to be resumed"), "{answer:#?}");
}

/// The leader that the servers elect then numbers its transactions from above all that were before.
#[test]
fn w7_a_restored_ensemble_whose_numbers_rise_is_led_only_after_an_operator_confirms() {
    let mut ensemble = Ensemble::start(3).unwrap();
    let mut cluster = start_on(&ensemble.connect_string(), &["a", "b"]);
    await_runs(&mut cluster, Timestamp::UNIX_EPOCH, 3);
    let backup = ensemble.copy_data().unwrap();
    let runs = await_runs(&mut cluster, Timestamp::now(), 8);
    cluster.cli().ok(&["resign", WITNESS]);
    let leader = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    let newest = ensemble.newest_transaction().unwrap();

    ensemble.restore(&backup).unwrap();
    assert!(ensemble.newest_transaction().unwrap() > newest, "its numbers alone tell that it was restored");
    await_held(&mut cluster, 2);
    let told = cluster.cli().problem(TICKER).unwrap().unwrap_or_default();
    assert!(told.contains("the ensemble was restored from an older state"), "{told}");
    // Nor does a host lead that is started again, or one that has seen nothing.
    cluster.host("b").restart();
    cluster.join("c");
    await_held(&mut cluster, 3);
    goes_on_once_confirmed(&mut cluster, leader.token, &ended(&runs));
    let answer = cluster.cli().run(&RESUME);
    assert!(answer.code == Some(1) && answer.err.contains("nothing is to be resumed"), "{answer:#?}");
}

#[test]
fn w7_a_wiped_ensemble_is_led_with_higher_tokens_once_confirmed() {
    let (mut server, mut cluster) = start(&["a"]);
    await_runs(&mut cluster, Timestamp::UNIX_EPOCH, 2);
    let leader = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    server.wipe().unwrap();
    await_held(&mut cluster, 1);
    cluster.cli().ok(&RESUME);
    let next = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    assert!(next.token > leader.token, "{next:?} after {leader:?}");
    await_runs(&mut cluster, Timestamp::now(), 2);
}

#[test]
fn w7_kazoo_counts_in_the_queue_of_a_restored_ensemble() {
    let (mut server, mut cluster) = start(&["a"]);
    let backup = server.back_up().unwrap();
    let leader = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    await_runs(&mut cluster, Timestamp::now(), 2);
    server.restore(&backup).unwrap();
    await_held(&mut cluster, 1);
    let servers = server.connect_string();
    let term = Duration::from_millis(200);
    let kazoo = KazooContender::start("k1", &servers, ELECTION, term, cluster.dir());
    await_that("kazoo to lead while we don't", SOON, || kazoo.sightings().len(), |seen| *seen >= 2);
    cluster.cli().ok(&RESUME);
    let next = cluster.await_leader("our turn", WITNESS, SOON, |leader| leader.host.is_some());
    assert!(next.token > leader.token, "{next:?} after {leader:?}");
    cluster.cli().ok(&["resign", WITNESS]);
    let seen = kazoo.sightings().len();
    await_that("kazoo's turn after ours", SOON, || kazoo.sightings().len(), |now| *now > seen);
}

#[test]
fn w7_the_folder_of_another_cluster_is_not_led_with() {
    let (server, mut cluster) = start(&["a"]);
    await_runs(&mut cluster, Timestamp::UNIX_EPOCH, 1);
    let other = ZooKeeperServer::start().unwrap();
    let mut elsewhere = Cluster::start(&other.connect_string(), TIMEOUT, &["z"]);
    elsewhere.host("z").kill9();
    cluster.host("a").kill9();
    let kept = |cluster: &mut Cluster, name: &str| cluster.host(name).data().join("cluster.json");
    let (from, to) = (kept(&mut cluster, "a"), kept(&mut elsewhere, "z"));
    std::fs::copy(from, to).unwrap();
    elsewhere.host("z").restart();
    // It is told with a heartbeat, and the host is listed before the first one.
    let told = await_value("a problem", SOON, || {
        let rows: Vec<HostRow> = elsewhere.cli().rows(&["hosts"])?;
        rows.iter().find_map(|row| row.problem.clone()).ok_or(format!("{rows:#?}"))
    });
    assert!(told.contains("the data folder of this host belongs to cluster"), "{told}");
    drop(server);
}

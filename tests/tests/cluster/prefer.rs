//! A job that prefers a host is led there, whenever that host is up to it.

use std::time::Duration;

use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::wait::await_told;
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/witness";

#[test]
fn leadership_moves_to_the_preferred_host_when_it_comes_and_starts_nowhere_in_between() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(4), &["c"]);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness("prefer = [\"a\"]\nprefer_after = \"2s\"\n"));
    let first = cluster.await_leader("the only host to lead", JOB, SOON, |_| true);
    witnesses.await_life(&mut cluster, first.token, 5);
    cluster.join("b");
    await_told("both to stand", SOON, || cluster.cli().contenders(JOB), |queue| queue.len() == 2);

    cluster.join("a");
    let second = cluster.await_leader("the preferred host to lead", JOB, SOON, |leader| leader.identifier == "a");
    witnesses.await_life(&mut cluster, second.token, 5);
    let led = |witnesses: &Witnesses| witnesses.terms().into_iter().map(|term| term.who).collect::<Vec<_>>();
    assert_eq!(led(&witnesses), ["c", "a"]);
    let given_up =
        cluster.await_run("the first term's end", JOB, SOON, |run| run.token == first.token && run.outcome.is_some());
    assert_eq!(given_up.outcome.as_deref(), Some("succeeded"), "it was asked to stop, and did: {given_up:#?}");
    assert!(given_up.detail.contains("a preferred host stands in the queue"), "{given_up:#?}");
    let passed_on = cluster.await_run("the term in between", JOB, SOON, |run| run.host == "b");
    assert!(first.token < passed_on.token && passed_on.token < second.token, "{passed_on:#?}");
    assert_eq!(passed_on.outcome.as_deref(), Some("skipped"), "{passed_on:#?}");
    assert!(passed_on.detail.contains("a preferred host stands in the queue"), "{passed_on:#?}");

    cluster.host("a").kill9();
    let third = cluster.await_leader("another to lead", JOB, SOON, |leader| leader.identifier != "a");
    witnesses.await_life(&mut cluster, third.token, 5);
    cluster.host("a").restart();
    let fourth = cluster.await_leader("the preferred host again", JOB, SOON, |leader| {
        leader.identifier == "a" && leader.token > third.token
    });
    witnesses.await_life(&mut cluster, fourth.token, 5);
    assert_eq!(led(&witnesses), ["c", "a", third.identifier.as_str(), "a"]);
}

//! One leads; when its host dies or drains, another does, with a higher token and never beside it.

use std::time::Duration;

use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::wait::{await_that, for_a_while};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/witness";
const NAMES: [&str; 3] = ["a", "b", "c"];

#[test]
fn after_a_kill_another_leads_with_a_higher_token() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(4), &NAMES);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness(""));
    let first = cluster.await_leader("a first leader", JOB, SOON, |_| true);
    witnesses.await_life(&mut cluster, first.token, 10);

    cluster.host(&first.identifier).kill9();
    let second = cluster.await_leader("a leader after the kill", JOB, SOON, |leader| leader.token != first.token);
    witnesses.await_life(&mut cluster, second.token, 10);

    let terms = witnesses.terms();
    let seen: Vec<(i64, &str)> = terms.iter().map(|term| (term.token, term.who.as_str())).collect();
    assert_eq!(seen, [(first.token, first.identifier.as_str()), (second.token, second.identifier.as_str())]);
    assert!(!terms[0].ended, "who was killed said no farewell: {:?}", terms[0]);
}

#[test]
fn a_drain_hands_over_without_waiting_for_the_session_to_time_out() {
    let timeout = Duration::from_secs(40);
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), timeout, &NAMES);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness(""));
    let first = cluster.await_leader("a first leader", JOB, SOON, |_| true);
    witnesses.await_life(&mut cluster, first.token, 10);

    let status = cluster.host(&first.identifier).sigterm();
    assert_eq!(status.code(), Some(0), "a drain ends well");
    let second = cluster.await_leader("a leader after the drain", JOB, SOON, |leader| leader.token != first.token);
    witnesses.await_life(&mut cluster, second.token, 5);

    let terms = witnesses.terms();
    assert_eq!(terms.len(), 2, "{terms:#?}");
    assert!(terms[0].ended, "the guest was told to stop and returned: {:?}", terms[0]);
    let gap = Duration::try_from(terms[1].begin.duration_since(terms[0].last)).unwrap();
    assert!(gap < timeout / 2, "handed over after {gap:?}, with a session timeout of {timeout:?}");
}

#[test]
fn exactly_one_of_three_leads_and_any_host_tells_the_same() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(6), &NAMES);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness(""));
    cluster.await_leader("a leader", JOB, SOON, |_| true);
    let clis: Vec<_> = NAMES.iter().map(|name| cluster.host(name).cli()).collect();

    let queue = await_that(
        "three contenders",
        SOON,
        || clis[0].contenders(JOB),
        |queue| queue.as_ref().is_ok_and(|queue| queue.len() == 3 && queue[0].leader),
    )
    .unwrap();
    assert_eq!(queue.iter().filter(|contender| contender.leader).count(), 1, "{queue:#?}");
    for cli in &clis {
        assert_eq!(cli.contenders(JOB).unwrap(), queue);
        let names =
            |rows: Vec<silverback_tests::cli::HostRow>| rows.into_iter().map(|row| row.host).collect::<Vec<_>>();
        assert_eq!(names(cli.rows(&["hosts"]).unwrap()), NAMES);
        let jobs: Vec<silverback_tests::cli::JobRow> = cli.rows(&["jobs"]).unwrap();
        assert_eq!(jobs[0].election.as_deref(), Some("/silverback/elections/acme/witness"));
        let runs = cli.runs(JOB).unwrap();
        assert_eq!((runs.len(), runs[0].token, &runs[0].outcome), (1, queue[0].token, &None), "{runs:#?}");
    }
    for_a_while(Duration::from_secs(2), || witnesses.look(&mut cluster));
    assert_eq!(witnesses.terms().len(), 1);
}

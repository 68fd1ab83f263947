//! An ensemble that loses its leader goes on; so do the guests.

use std::time::Duration;

use silverback_tests::cli::{Cli, HostRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::soak;
use silverback_tests::wait::{await_that, await_value, for_a_while};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::Ensemble;

const JOB: &str = "acme/witness";

#[test]
fn killing_the_ensembles_leader_again_and_again_restarts_no_guest_and_makes_no_second() {
    let mut ensemble = Ensemble::start(3).unwrap();
    let mut cluster = Cluster::start(&ensemble.connect_string(), Duration::from_secs(10), &["a", "b", "c"]);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness(""));
    let leader = cluster.await_leader("a leader", JOB, SOON, |_| true);
    witnesses.await_life(&mut cluster, leader.token, 10);
    let sessions_before = sessions(&cluster.cli()).unwrap();

    for _ in 0..soak::times(3, 20) {
        let killed = await_value("a server to lead the ensemble", SOON, || ensemble.leader());
        ensemble.kill(killed);
        await_that("another server to lead the ensemble", SOON, || ensemble.leader().ok(), Option::is_some);
        witnesses.await_life(&mut cluster, leader.token, 60);
        ensemble.restart(killed).unwrap();
    }
    for_a_while(Duration::from_secs(2), || witnesses.look(&mut cluster));

    let terms = witnesses.terms();
    assert_eq!(terms.len(), 1, "the guest went on under its token: {terms:#?}");
    let now = cluster.await_leader("the leader after the failovers", JOB, SOON, |_| true);
    assert_eq!(now, leader);
    assert_eq!(sessions(&cluster.cli()).unwrap(), sessions_before, "no host lost its session");
}

fn sessions(cli: &Cli) -> Result<Vec<(String, String)>, String> {
    Ok(cli.rows::<HostRow>(&["hosts"])?.into_iter().map(|row| (row.host, row.session)).collect())
}

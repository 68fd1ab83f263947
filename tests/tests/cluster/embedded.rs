//! One host on the embedded coordinator: a small installation that is real, and keeps what it was given.

use silverback_tests::cli::{JobRow, RunRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::refusal::refusal_of;
use silverback_tests::wait::await_that;
use silverback_tests::witness::Witnesses;
use silverback_tests::{job, place};

const WITNESS: &str = "acme/witness";
const TICKER: &str = "acme/ticker";

#[test]
fn everything_is_still_there_after_a_kill_and_a_restart() {
    let mut cluster = Cluster::embedded();
    let mut witnesses = Witnesses::of(WITNESS);
    cluster.apply(&job::leading_witness(""));
    cluster.apply(&job::ticking_witness("@every 1s"));
    let first = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    witnesses.await_life(&mut cluster, first.token, 20);
    let run = cluster.await_run("a tick that succeeded", TICKER, SOON, |run| run.outcome.is_some());
    assert_eq!(run.outcome.as_deref(), Some("succeeded"), "{run:#?}");
    let count = counted(&mut cluster);

    cluster.host("solo").restart();
    let jobs: Vec<JobRow> = cluster.cli().rows(&["jobs"]).unwrap();
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["ticker", "witness"]);
    // What a run used stands in its host's own records alone, of which a kill may cost the newest.
    let as_kept = |run: &RunRow| RunRow { usage: None, ..run.clone() };
    let told = cluster.cli().runs(TICKER).unwrap();
    assert!(told.iter().any(|told| as_kept(told) == as_kept(&run)), "the run is still told of: {run:#?} in {told:#?}");
    let second = cluster.await_leader("a leader after the restart", WITNESS, SOON, |leader| leader.leader);
    assert!(second.token > first.token, "{second:?} after {first:?}");
    witnesses.await_life(&mut cluster, second.token, 5);
    assert_eq!(witnesses.terms().len(), 2);
    await_that("the count to go on", SOON, || counted(&mut cluster), |now| *now > count);
}

#[test]
fn a_host_says_one_line_when_it_is_ready_and_ends_well_when_told_to() {
    let mut cluster = Cluster::embedded();
    let solo = cluster.host("solo");
    let out = solo.out();
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.contains("solo") && out.contains("embedded") && out.contains("one process"), "{out}");
    assert_eq!(solo.sigterm().code(), Some(0));
    assert_eq!(solo.out(), out, "nothing more is said on standard output");
}

#[test]
fn a_listener_for_strangers_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let up = ["up", "--name", "open", "--listen", "0.0.0.0:17070", "--data", data];
    let said = refusal_of(&place::silverback(), &up);
    assert!(said.err.contains("0.0.0.0:17070") && said.err.contains("loopback"), "{said:#?}");
}

fn counted(cluster: &mut Cluster) -> u64 {
    cluster.cli().state(TICKER, "count").and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

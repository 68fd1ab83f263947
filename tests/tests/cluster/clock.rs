//! quartz#463, quartz#548: a host whose clock is wrong runs jobs at the wrong times. Here it says so and leads no groups, and no
//! tick runs twice.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use silverback_tests::cli::{HostRow, JobRow, RunRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::fake_clock::FakeClock;
use silverback_tests::job;
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::zookeeper::ZooKeeperServer;

use crate::ticks;

const TICKER: &str = "acme/ticker";
const WITNESS: &str = "acme/witness";
/// How long a wrong clock stays so: the other host's ticks meanwhile are in what is asserted at the end.
const WHILE: Duration = Duration::from_secs(6);

#[test]
fn quartz_463_and_548_a_host_whose_clock_is_wrong_says_so_and_leads_no_groups_until_it_is_right() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(4), &[]);
    let clocks = ["a", "b"].map(|name| (name, cluster.join_with_clock(name)));
    cluster.apply(&job::ticking_witness("@every 1s"));
    cluster.apply(&job::leading_witness(""));
    let leading = cluster.await_leader("a leader job's term", WITNESS, SOON, |_| true);
    cluster.await_run("a tick", TICKER, SOON, |run| run.outcome.as_deref() == Some("succeeded"));

    for ahead_s in [5, -5] {
        let wrong = cluster.await_leader("a leader of the ticks", TICKER, SOON, |_| true).identifier;
        let clock = clock_of(&clocks, &wrong);
        clock.set_ahead(ahead_s);
        await_host(&mut cluster, &wrong, |host| {
            host.clock_wrong && host.clock_offset_ms.is_some_and(|ms| (ms - ahead_s * 1000).abs() < 500)
        });
        let log = cluster.host(&wrong).log();
        assert!(log.contains("this host's clock and the ensemble's differ by more than the bound"), "{log}");
        cluster.await_leader("the other host to lead", TICKER, SOON, |leader| leader.identifier != wrong);
        for_a_while(WHILE, || {
            // What can't be told at the moment is asked again.
            let queue = cluster.cli().contenders(TICKER).unwrap_or_default();
            assert!(queue.iter().all(|contender| contender.identifier != wrong), "it stands: {queue:#?}");
        });
        clock.set_ahead(0);
        await_host(&mut cluster, &wrong, |host| !host.clock_wrong);
        await_value("it to stand again", SOON, || {
            let queue = cluster.cli().contenders(TICKER)?;
            let stands = queue.iter().any(|contender| contender.identifier == wrong);
            if stands { Ok(()) } else { Err(format!("{queue:#?}")) }
        });
    }

    cluster.cli().ok(&["pause", TICKER]);
    let (runs, count) = ticks::settled(&mut cluster);
    let succeeded = ticks::assert_every_tick_accounted_for(&runs);
    assert!(succeeded >= 10, "{succeeded} of {} runs succeeded", runs.len());
    assert_eq!(count, succeeded, "what the runs wrote and what is told of them is the same");
    let still = cluster.await_leader("the leader job", WITNESS, SOON, |_| true);
    assert_eq!(still, leading, "the lease of a leader job doesn't hang on the time on the wall");
}

fn clock_of<'a>(clocks: &'a [(&str, FakeClock)], name: &str) -> &'a FakeClock {
    clocks.iter().find_map(|(host, clock)| (*host == name).then_some(clock)).expect("each host has a clock of its own")
}

#[track_caller]
fn await_host(cluster: &mut Cluster, name: &str, holds: impl Fn(&HostRow) -> bool) {
    await_value("what the host says of its clock", SOON, || {
        let hosts: Vec<HostRow> = cluster.cli().rows(&["hosts"])?;
        let found = hosts.iter().any(|host| host.host == name && holds(host));
        if found { Ok(()) } else { Err(format!("{hosts:#?}")) }
    });
}

#[test]
fn w9_a_clock_that_was_ahead_for_a_while_is_told_and_put_right() {
    let mut cluster = Cluster::embedded_without_hosts();
    let clock = cluster.join_with_clock("solo");
    cluster.apply(&job::ticking_witness("@every 1s"));
    cluster.await_run("a tick", TICKER, SOON, |run| run.outcome.as_deref() == Some("succeeded"));
    clock.set_ahead(3 * 3600);
    let later = Timestamp::now() + SignedDuration::from_hours(2);
    cluster.await_run("a tick three hours ahead", TICKER, SOON, |run| run.tick > Some(later));
    clock.set_ahead(0);

    let told = await_value("the problem", SOON * 3, || cluster.cli().problem(TICKER)?.ok_or("none".to_owned()));
    assert!(told.contains("because the clock of a host was ahead") && told.contains("silverback set-cursor"), "{told}");
    let jobs: Vec<JobRow> = cluster.cli().rows(&["jobs"]).unwrap();
    assert!(jobs[0].next_tick > Some(later), "`jobs` tells a tick that won't run: {jobs:#?}");
    let next = cluster.cli().ok(&["next", TICKER, "-n", "1", "--output", "json"]);
    let next: Vec<serde_json::Value> = serde_json::from_str(&next).unwrap();
    let tick: Timestamp = next[0]["tick"].as_str().unwrap().parse().unwrap();
    assert!(tick > later, "`next` tells a tick that won't run: {tick}");
    let log = cluster.host("solo").log();
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("yet to come")), "{log}");

    let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);
    let refused = cluster.cli().run(&["set-cursor", TICKER, "--to", &tomorrow.to_string()]);
    assert!(refused.code == Some(1) && refused.err.contains("which is in the future"), "{refused:#?}");
    let now = Timestamp::now();
    cluster.cli().ok(&["set-cursor", TICKER]);
    let is_now = |run: &RunRow| run.tick.is_some_and(|tick| tick > now && tick < later);
    cluster.await_run("a tick of now", TICKER, SOON, |run| is_now(run) && run.outcome.as_deref() == Some("succeeded"));
    assert_eq!(cluster.cli().problem(TICKER), Ok(None));
}

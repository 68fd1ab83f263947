//! Ticks through the death of their leader: none begun twice, none missing without a word.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use silverback_tests::cli::RunRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/ticker";
const SPAN: Duration = Duration::from_secs(60);
const EVERY: SignedDuration = SignedDuration::from_secs(1);

#[test]
fn every_tick_of_a_minute_with_two_kills_is_run_once_or_accounted_for() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(4), &["a", "b", "c"]);
    cluster.apply(&job::ticking_witness("@every 1s"));
    let start = Instant::now();
    for (second, heir) in [(15, "d"), (35, "e")] {
        let until = start + Duration::from_secs(second);
        for_a_while(until.saturating_duration_since(Instant::now()), || {});
        let leader = cluster.await_leader("a leader of the ticks", JOB, SOON, |leader| leader.host.is_some());
        cluster.host(&leader.identifier).kill9();
        cluster.join(heir);
    }
    for_a_while((start + SPAN).saturating_duration_since(Instant::now()), || {});
    cluster.cli().ok(&["pause", JOB]);
    let (runs, count) = settled(&mut cluster);

    let succeeded = assert_every_tick_accounted_for(&runs);
    assert!(runs.len() >= 50, "{} ticks in a minute", runs.len());
    assert!(succeeded >= 30, "{succeeded} of {} runs succeeded", runs.len());
    assert_eq!(count, succeeded, "what the runs wrote and what is told of them is the same");
}

/// Every tick between the first and the last run has one record, and one that says why where it didn't run. Gives how many
/// succeeded.
#[track_caller]
pub(crate) fn assert_every_tick_accounted_for(runs: &[RunRow]) -> usize {
    let ticks = by_tick(runs);
    let (first, last) = (*ticks.keys().next().unwrap(), *ticks.keys().last().unwrap());
    let mut tick = first;
    while tick <= last {
        accounted_for(tick, ticks.get(&tick).map_or(&[], Vec::as_slice));
        tick += EVERY;
    }
    let span = last.duration_since(first);
    assert_eq!(ticks.len() as i64, span.as_secs() + 1, "every tick is a whole second after the first");
    runs.iter().filter(|run| run.outcome.as_deref() == Some("succeeded")).count()
}

/// All runs and the count that they kept, once nothing is under way.
pub(crate) fn settled(cluster: &mut Cluster) -> (Vec<RunRow>, usize) {
    await_value("all runs to have an outcome", SOON, || {
        let runs = cluster.cli().runs(JOB)?;
        let open: Vec<&RunRow> = runs.iter().filter(|run| run.outcome.is_none()).collect();
        if !open.is_empty() {
            return Err(format!("{open:#?}"));
        }
        let count = cluster.cli().state(JOB, "count").ok_or("no key `count`")?;
        Ok((runs, count.trim().parse().expect("the witness keeps a number")))
    })
}

fn by_tick(runs: &[RunRow]) -> BTreeMap<Timestamp, Vec<&RunRow>> {
    let mut ticks: BTreeMap<Timestamp, Vec<&RunRow>> = BTreeMap::new();
    for run in runs {
        let tick = run.tick.unwrap_or_else(|| panic!("a scheduled run has a nominal time: {run:?}"));
        assert_eq!(run.run, format!("{JOB}/{tick}"));
        ticks.entry(tick).or_default().push(run);
    }
    ticks
}

#[track_caller]
fn accounted_for(tick: Timestamp, records: &[&RunRow]) {
    let [record] = records else {
        panic!("tick {tick} has {} records instead of one: {records:#?}", records.len());
    };
    match record.outcome.as_deref() {
        Some("succeeded") => assert_eq!(record.attempt, 1, "{record:?}"),
        Some("skipped" | "unknown" | "lost-leadership") => {
            assert!(!record.detail.is_empty(), "tick {tick} is missing without a reason: {record:?}");
        }
        _ => panic!("tick {tick} ended in a way that nothing here explains: {record:?}"),
    }
}

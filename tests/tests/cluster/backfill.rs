//! A span that is past is filled in, whoever is asked, and also where its leader dies meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use silverback_tests::chores::Chore;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::wait::await_value;
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/ticker";
/// Ticks of the span: fewer than the runs that are kept of a job.
const TICKS: usize = 180;
/// How many of them have run when the leader is killed, at least.
const BEFORE: usize = 30;
const FROM: &str = "2025-03-01T00:00:00Z";
/// Ticks at New Year only: nothing but the back-fill runs.
const YEARLY: &str = "0 0 1 1 *";

#[test]
fn a_span_is_filled_in_once_also_where_its_leader_is_killed() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(4), &["a", "b"]);
    // Each run takes a moment: whoever is to kill the leader has to see it in the middle.
    let chore = Chore::new("acme", "ticker", "schedule = \"0 * * * *\"").with("[config]\ntakes-ms = \"50\"");
    cluster.apply(&chore.toml());
    let leader = cluster.await_leader("a leader", JOB, SOON, |_| true).identifier;
    let other = if leader == "a" { "b" } else { "a" };
    let first: Timestamp = FROM.parse().unwrap();
    let to = first + SignedDuration::from_hours(TICKS as i64 - 1);

    let said = cluster.host(other).cli().ok(&["backfill", JOB, "--from", FROM, "--to", &to.to_string()]);
    assert!(said.contains(&TICKS.to_string()), "{said}");
    let again = cluster.cli().run(&["backfill", JOB, "--from", FROM, "--to", FROM]);
    assert!(again.code == Some(1) && again.err.contains(&format!("`{to}` are being filled in")), "{again:?}");
    let ran_before = await_value("the first ticks to have run", SOON, || {
        let count = cluster.cli().state(JOB, "count").ok_or("no key `count`")?;
        let count: usize = count.trim().parse().expect("the chore keeps a number");
        if count >= BEFORE { Ok(count) } else { Err(format!("{count} runs")) }
    });
    cluster.host(&leader).kill9();
    assert!(ran_before < TICKS, "it was over before its leader was killed");

    let prefix = format!("{JOB}/backfill-");
    let runs = await_value("the last tick to have run", SOON * 2, || {
        let runs = cluster.host(other).cli().runs(JOB)?;
        let last = format!("{prefix}{to}");
        let over = runs.iter().any(|run| run.run == last && run.outcome.is_some());
        if over { Ok(runs) } else { Err(format!("{} runs", runs.len())) }
    });
    let mut outcomes = BTreeMap::new();
    for run in &runs {
        let Some(tick) = run.run.strip_prefix(&prefix) else { continue };
        let outcome = run.outcome.clone().unwrap_or_else(|| panic!("it is over: {run:?}"));
        let twice = outcomes.insert(tick.parse::<Timestamp>().unwrap(), outcome);
        assert!(twice.is_none(), "a run has two records: {run:?}");
    }
    let ticks: Vec<Timestamp> = (0..TICKS as i64).map(|hour| first + SignedDuration::from_hours(hour)).collect();
    assert_eq!(outcomes.keys().copied().collect::<Vec<_>>(), ticks);
    let lost = outcomes.values().filter(|outcome| *outcome != "succeeded").collect::<Vec<_>>();
    assert!(lost.is_empty() || lost == ["unknown"], "at most the run under way was lost: {lost:?}");
    let count = cluster.cli().state(JOB, "count").expect("it has counted");
    let by_schedule =
        runs.iter().filter(|run| !run.run.starts_with(&prefix) && run.outcome.as_deref() == Some("succeeded"));
    assert_eq!(count.trim(), (TICKS - lost.len() + by_schedule.count()).to_string(), "each run is counted once");
}

#[test]
fn a_span_that_can_not_be_filled_in_is_refused_with_its_field_and_nothing_runs() {
    let mut cluster = Cluster::embedded();
    cluster.apply(&job::ticking_witness(YEARLY));
    cluster.apply(&job::ticking("second"));
    cluster.await_leader("a leader", JOB, SOON, |_| true);
    let refused = [
        (JOB, "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "to: `2026-01-01T00:00:00Z` is before from"),
        (JOB, "2026-01-02T00:00:00Z", "2200-01-01T00:00:00Z", "to: `2200-01-01T00:00:00Z` is still to come"),
        (JOB, "2025-01-02T00:00:00Z", "2025-12-31T00:00:00Z", "from, to: the job has no tick"),
        // Ten years of seconds.
        ("acme/second", "2015-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "from, to: the job has more than 1000 ticks"),
    ];
    for (job, from, to, why) in refused {
        let answer = cluster.cli().run(&["backfill", job, "--from", from, "--to", to]);
        assert!(answer.code == Some(1) && answer.err.contains(why), "{answer:?}");
    }
    let unreadable = cluster.cli().run(&["backfill", JOB, "--from", "yesterday", "--to", FROM]);
    assert!(unreadable.code == Some(2) && unreadable.err.contains("yesterday"), "{unreadable:?}");
    let runs = cluster.cli().runs(JOB).unwrap();
    assert!(runs.is_empty(), "{runs:#?}");
}

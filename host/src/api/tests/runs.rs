//! Whose word about a run counts.

use super::*;
use crate::scheduler::plan::{Holder, JobState, Kept, Occasion};

#[tokio::test]
async fn any_store_tells_of_a_host_that_is_gone_and_a_live_host_has_the_last_word_on_its_own_runs() {
    let sessions = sessions().await;
    let (a, b) = (host("a", &sessions).await, host("b", &sessions).await);
    let job = a.apply("acme", "publisher").await.id;
    let (lost, mistaken) = ("2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z");
    for (tick, gone) in [(lost, "gone"), (mistaken, "b")] {
        let mut record = begun(&job, tick, gone);
        (record.ended, record.outcome) = (Some(record.started), Some(Outcome::Unknown));
        a.history.record(&job, record, KEPT_RUNS);
    }
    assert!(a.history.settle(PATIENCE).await);
    b.ran(&job, mistaken, &[]).await;

    for host in [&a, &b] {
        let runs = host.get("/v1/jobs/acme/publisher/runs").await;
        let told = [&runs[0], &runs[1]].map(|run| (run["host"].as_str().unwrap(), run["outcome"].as_str().unwrap()));
        assert_eq!(told, [("b", "succeeded"), ("gone", "unknown")]);
        assert_eq!(runs.as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_run_whose_record_was_lost_with_its_host_is_told_of_as_the_coordinator_has_it() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    let job = a.apply("acme", "publisher").await.id;
    let lost = |seconds: i64, of| Kept {
        of,
        attempt: 1,
        outcome: Outcome::Failed,
        ended: Timestamp::from_second(1_767_225_600 + seconds).unwrap(),
        took_ms: 250,
        detail: "no such table".to_owned(),
    };
    let tick = "2026-01-01T00:01:00Z";
    let (order, long_ago) =
        (Occasion::Order("manual-1".to_owned()), Occasion::Tick("2026-01-01T00:00:50Z".parse().unwrap()));
    let state = JobState {
        holder: Some(Holder { host: "gone".to_owned(), token: 77 }),
        own: 3,
        outcomes: [lost(61, order), lost(60, Occasion::Tick(tick.parse().unwrap())), lost(50, long_ago)].into(),
        ..JobState::default()
    };
    write_state(&sessions, &job, &state.to_bytes()).await;
    let runs = a.get("/v1/jobs/acme/publisher/runs").await;
    let row = |run: &str, tick: Option<&str>, started: &str, ended: &str| {
        json!({
            "run": format!("acme/publisher/{run}"), "attempt": 1, "tick": tick, "host": "gone", "token": 77,
            "started": started, "ended": ended, "outcome": "failed", "detail": "no such table",
        })
    };
    let by_order = row("manual-1", None, "2026-01-01T00:01:00.75Z", "2026-01-01T00:01:01Z");
    assert_eq!(runs, json!([by_order, row(tick, Some(tick), "2026-01-01T00:00:59.75Z", tick)]));
}

#[tokio::test]
async fn a_run_whose_record_lacks_an_end_that_was_written_has_it() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    let job = a.apply("acme", "publisher").await.id;
    let (written, unwritten) = ("2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z");
    for tick in [written, unwritten] {
        a.history.record(&job, RunRecord { outcome: Some(Outcome::Unknown), ..begun(&job, tick, "gone") }, KEPT_RUNS);
    }
    assert!(a.history.settle(PATIENCE).await);
    succeeded(&sessions, &job, written).await;
    let runs = a.get("/v1/jobs/acme/publisher/runs").await;
    let told = [&runs[0], &runs[1]].map(|run| (run["tick"].as_str().unwrap(), run["outcome"].as_str().unwrap()));
    assert_eq!(told, [(unwritten, "unknown"), (written, "succeeded")]);
}

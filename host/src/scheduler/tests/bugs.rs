//! Faults that other schedulers shipped, each a test named after its ticket. Those that need processes or servers to die are
//! with the tests of clusters.

use super::*;
use crate::registry::{Delivery, PolicySpec};

/// elasticjob#529: a host stood still after its run had ended, lost its session, and the run was run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elasticjob_529_a_finished_job_is_run_again_after_a_pause() {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
        let place = Place::new(clock.clone()).await;
        let digest = place.put(quick()).await;
        let policies = PolicySpec { delivery, ..PolicySpec::default() };
        let trigger = Trigger::Schedule { times: ScheduleSpec::new("@every 1h"), policies: policies.into() };
        let job = place.apply_spec(JobSpec { trigger, ..spec("report", "", digest, Limits::SCHEDULED) }).await;
        clock.set(at("2026-01-01T10:00:00Z"));
        let first = place.lead("a").await;
        place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
        place.embedded.expire(first.session.id()).await.unwrap();
        clock.set(at("2026-01-01T11:00:00Z"));
        let second = place.lead("b").await;
        let state = place.until(&job, |state| state.outcomes.len() > 1 && state.active.is_empty()).await;
        let succeeded = |tick| (Some(at(tick)), Outcome::Succeeded);
        assert_eq!(ring(&state), [succeeded("2026-01-01T11:00:00Z"), succeeded("2026-01-01T10:00:00Z")]);
        assert!(state.outcomes.iter().all(|kept| kept.attempt == 1), "{state:?}");
        second.drain().await;
        first.gate.ask_stop();
        soon("the end of the duty", first.serving).await.unwrap();
        assert_eq!(place.state(&job).await, state);
    }
}

/// temporal#4332: after an outage all that was missed began at once. Here each job runs its latest tick alone, and a tenant's
/// jobs take turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporal_4332_a_catch_up_storm() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let mut jobs = Vec::new();
    for number in 0..30 {
        jobs.push(place.apply(&format!("report-{number}"), "@every 1h", patient()).await);
    }
    clock.set(at("2026-01-02T09:10:00Z"));
    let led = place.lead("a").await;
    // Of eight places one tenant leaves two to others.
    soon("as many runs as one tenant may have", async {
        while led.scheduling.turns.load() != (6, 24) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    led.drain().await;
    let mut runs = 0;
    for job in &jobs {
        let state = place.state(job).await;
        let ran: Vec<_> = ring(&state).into_iter().filter(|(_, outcome)| *outcome == Outcome::Succeeded).collect();
        assert!(ran.is_empty() || ran == [(Some(at("2026-01-02T09:00:00Z")), Outcome::Succeeded)], "{state:?}");
        assert_eq!(state.active, []);
        runs += ran.len();
    }
    assert!(runs >= 6, "{runs}");
}

//! Jobs whose nodes somebody deletes by other means than the API.

use super::policies::{failing, kept};
use super::*;
use crate::registry::PolicySpec;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_a_job_that_had_paused_itself_stays_so_when_its_node_is_made_again() {
    let policies = PolicySpec { pause_after_failures: Some(1), ..PolicySpec::default() };
    let (place, clock, job) = kept(policies, failing()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    let paused = place.until(&job, |state| state.paused.is_some()).await.paused;
    let before = place.jobs.borrow()[&job].clone();
    clock.set(at("2026-01-01T12:30:00Z"));
    place.onlooker.delete(&place.layout.job("acme", "report"), None).await.unwrap();
    place.missing.report(&job);
    let again = |jobs: &Jobs| jobs.get(&job).is_some_and(|job| job.mzxid != before.mzxid);
    soon("the node", place.jobs.clone().wait_for(again)).await.unwrap();
    // A trigger runs also what has paused itself. Its run is begun under the node that is there now.
    let run = soon("a run", async {
        loop {
            match led.scheduling.trigger(&job).await {
                Ok(run) => return run,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    led.ended(&job, &run).await;
    led.drain().await;
    let state = place.state(&job).await;
    assert_eq!((&state.paused, count(&state, Outcome::Skipped)), (&paused, 0), "it goes on");
}

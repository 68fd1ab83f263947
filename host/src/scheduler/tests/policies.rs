//! What a job says of its runs is done.

use super::*;
use crate::registry::{CatchUpRule, OverlapRule, PolicySpec, RetryOn, RetrySpec};
use crate::runtime::StateWrite;
use crate::scheduler::TriggerError;
use crate::scheduler::plan::{Active, Phase};

/// A job with policies, and the clock that it is kept by.
pub(super) async fn kept(policies: PolicySpec, component: Vec<u8>) -> (Place, Arc<SetClock>, JobId) {
    kept_every("1h", policies, component).await
}

async fn kept_every(time: &str, policies: PolicySpec, component: Vec<u8>) -> (Place, Arc<SetClock>, JobId) {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let digest = place.put(component).await;
    let trigger = Trigger::Schedule { times: ScheduleSpec::new(&format!("@every {time}")), policies: policies.into() };
    let job = place.apply_spec(JobSpec { trigger, ..spec("report", "@every 1h", digest, Limits::SCHEDULED) }).await;
    (place, clock, job)
}

/// Fails by a trap.
pub(super) fn failing() -> Vec<u8> {
    guest("(unreachable)")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_is_tried_again_after_its_back_off_and_the_retry_survives_its_host() {
    let retry = RetrySpec { count: 1, backoff_ms: Some(600_000), on: RetryOn::All, ..RetrySpec::default() };
    let (place, clock, job) = kept(PolicySpec { retry: Some(retry), ..PolicySpec::default() }, failing()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let first = place.lead("a").await;
    place.until(&job, |state| count(state, Outcome::Failed) == 1).await;
    first.drain().await;
    clock.set(at("2026-01-01T10:09:59Z"));
    place.lead("b").await.drain().await;
    assert_eq!(place.state(&job).await.outcomes.len(), 1, "it was tried again too early");
    clock.set(at("2026-01-01T10:10:00Z"));
    let second = place.lead("c").await;
    let state = place.until(&job, |state| count(state, Outcome::Failed) == 2).await;
    assert_eq!((state.outcomes[0].attempt, state.outcomes[0].of.tick()), (2, Some(at("2026-01-01T10:00:00Z"))));
    assert_eq!((state.active.len(), state.failures), (0, 1));
    second.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_tick_takes_the_place_of_the_run_where_it_is_to_cancel_it() {
    let policies = PolicySpec { overlap: OverlapRule::CancelRunning, ..PolicySpec::default() };
    let (place, clock, job) = kept_every("10s", policies, endless()).await;
    clock.set(at("2026-01-01T09:30:10Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| !state.active.is_empty()).await;
    clock.set(at("2026-01-01T09:30:20Z"));
    // The clock was set under the host's feet: it looks again when anything happens to the job.
    assert_eq!(led.scheduling.trigger(&job).await, Err(TriggerError::UnderWay));
    let record = led.ended(&job, "acme/report/2026-01-01T09:30:10Z").await;
    assert_eq!(record.detail, "stopped: a later tick took its place");
    let state = place.until(&job, |state| state.active.len() == 1 && state.outcomes.len() == 1).await;
    assert_eq!(state.active[0].of.tick(), Some(at("2026-01-01T09:30:20Z")));
    led.gate.end();
    soon("the end of the duty", led.serving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_failed_too_often_pauses_itself_until_it_is_resumed() {
    let policies = PolicySpec { pause_after_failures: Some(1), ..PolicySpec::default() };
    let (place, clock, job) = kept(policies, failing()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| state.paused.is_some()).await;
    led.drain().await;
    clock.set(at("2026-01-01T12:00:00Z"));
    place.lead("b").await.drain().await;
    assert_eq!(place.state(&job).await.outcomes.len(), 1, "it ran though it was paused");
    clock.set(at("2026-01-01T12:30:00Z"));
    place.registry.resume(&job, PassedOver::Skipped).await.unwrap();
    let resumed = |jobs: &Jobs| jobs[&job].version == 1;
    soon("the change", place.jobs.clone().wait_for(resumed)).await.unwrap();
    clock.set(at("2026-01-01T13:00:00Z"));
    let led = place.lead("c").await;
    let state = place.until(&job, |state| count(state, Outcome::Failed) == 2).await;
    assert_eq!(state.outcomes[0].of.tick(), Some(at("2026-01-01T13:00:00Z")));
    led.drain().await;
}

/// A host that kept it all the while and one that takes it over do the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pause_passed_over_is_caught_up_with_where_that_is_asked_for() {
    for kept_on in [true, false] {
        let policies = PolicySpec {
            catch_up: CatchUpRule::All,
            overlap: OverlapRule::QueueAll,
            pause_after_failures: Some(1),
            ..PolicySpec::default()
        };
        let (place, clock, job) = kept(policies, failing()).await;
        clock.set(at("2026-01-01T10:00:00Z"));
        let mut led = place.lead("a").await;
        place.until(&job, |state| state.paused.is_some()).await;
        clock.set(at("2026-01-01T12:30:00Z"));
        if !kept_on {
            led.drain().await;
            led = place.lead("b").await;
        }
        place.registry.resume(&job, PassedOver::CaughtUp).await.unwrap();
        // The first one of those fails, and it pauses itself again before the other.
        let state = place.until(&job, |state| count(state, Outcome::Failed) == 2 && state.active.is_empty()).await;
        led.drain().await;
        let [ten, eleven] = ["10", "11"].map(|hour| Some(at(&format!("2026-01-01T{hour}:00:00Z"))));
        assert_eq!(ring(&state), [(eleven, Outcome::Failed), (ten, Outcome::Failed)], "kept on: {kept_on}");
        assert_eq!(Vec::from(state.queue), [at("2026-01-01T12:00:00Z")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_is_filled_in_beside_the_schedule() {
    let (place, clock, job) = kept(PolicySpec::default(), quick()).await;
    clock.set(at("2026-01-01T09:45:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| state.cursor.is_some()).await;
    let (from, to) = (at("2026-01-01T03:00:00Z"), at("2026-01-01T05:30:00Z"));
    assert_eq!(soon("an answer", led.scheduling.backfill(&job, from, to)).await, Ok(3));
    let state = place.until(&job, |state| count(state, Outcome::Succeeded) == 3).await;
    let ticks = ["05", "04", "03"].map(|hour| Some(at(&format!("2026-01-01T{hour}:00:00Z"))));
    assert_eq!(ring(&state), ticks.map(|tick| (tick, Outcome::Succeeded)));
    led.ended(&job, "acme/report/backfill-2026-01-01T04:00:00Z").await;
    let refused = led.scheduling.backfill(&job, to, from).await;
    assert!(matches!(refused, Err(TriggerError::Backfill(_))), "{refused:?}");
    led.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_run_that_is_to_be_run_at_least_once_is_begun_again_by_the_successor() {
    let policies = PolicySpec { delivery: crate::registry::Delivery::AtLeastOnce, ..PolicySpec::default() };
    let (place, clock, job) = kept(policies, patient()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let first = place.lead("a").await;
    place.until(&job, |state| !state.active.is_empty()).await;
    place.embedded.expire(first.session.id()).await.unwrap();
    let second = place.lead("b").await;
    // First it waits for its time: a drain would leave it at that.
    let again = |active: &Active| active.attempt == 2 && matches!(active.phase, Phase::Begun { .. });
    let state = place.until(&job, |state| state.active.iter().any(again)).await;
    assert_eq!(ring(&state), [(Some(at("2026-01-01T10:00:00Z")), Outcome::Unknown)]);
    second.drain().await;
    let state = place.state(&job).await;
    assert_eq!((state.outcomes[0].attempt, state.outcomes[0].outcome), (2, Outcome::Succeeded));
    first.gate.ask_stop();
    soon("the end of the duty", first.serving).await.unwrap();
}

#[test]
fn a_write_is_counted_with_its_path() {
    let write = StateWrite { path: "/a/b".to_owned(), value: Some(vec![0; 6]), added: None };
    let change = crate::scheduler::change::Change {
        path: "/c".to_owned(),
        data: vec![0; 3],
        version: None,
        job: String::new(),
        recreates: false,
        condition: None,
        writes: vec![write],
    };
    assert_eq!((change.ops(), change.bytes()), (3, 15));
}

//! What a term leaves to the next.

use super::*;
use crate::scheduler::kept;

/// A group whose leader has begun the tick of ten o'clock.
async fn begun(component: Vec<u8>) -> (Place, Arc<SetClock>, JobId, Led) {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", component).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| !state.active.is_empty() || !state.outcomes.is_empty()).await;
    (place, clock, job, led)
}

const RUN: &str = "acme/report/2026-01-01T10:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_an_earlier_term_began_is_unknown_and_never_runs_again() {
    let (place, _clock, job, first) = begun(patient()).await;
    // The ensemble drops the first; its host knows nothing of that yet, and its guest goes on.
    place.embedded.expire(first.session.id()).await.unwrap();
    let second = place.lead("b").await;
    let state = place.until(&job, |state| state.active.is_empty()).await;
    assert_eq!(ring(&state), [(Some(at("2026-01-01T10:00:00Z")), Outcome::Unknown)]);
    assert_eq!(state.outcomes[0].detail, "host `a` did not say how it ended");
    second.drain().await;

    // What the deposed host's guest leaves is refused.
    first.gate.ask_stop();
    soon("the end of the duty", first.serving).await.unwrap();
    assert_eq!(place.state(&job).await, state);
    let runs = first.scheduling.history.own_runs(&job, 10).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert!(runs[0].outcome != Some(Outcome::Succeeded), "{runs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_after_its_contender_is_gone_has_lost_its_leadership() {
    let (place, _clock, job, led) = begun(patient()).await;
    place.onlooker.delete(led.gate.contender(), None).await.unwrap();
    let begun = place.state(&job).await;
    led.gate.ask_stop();
    let record = led.ended(&job, RUN).await;
    assert_eq!(record.outcome, Some(Outcome::LostLeadership));
    assert_eq!(record.detail, "it ended as `succeeded` after the term was over, and nothing of it was kept");
    soon("the end of the duty", led.serving).await.unwrap();
    assert_eq!(place.state(&job).await, begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_the_run_return_and_keeps_its_outcome() {
    let (place, _clock, job, led) = begun(patient()).await;
    led.drain().await;
    let state = place.state(&job).await;
    assert_eq!(ring(&state), [(Some(at("2026-01-01T10:00:00Z")), Outcome::Succeeded)]);
    assert_eq!(state.active, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_term_stops_the_run_and_says_so_while_it_still_can() {
    let (place, _clock, job, led) = begun(endless()).await;
    led.gate.end();
    soon("the end of the duty", led.serving).await.unwrap();
    let state = place.state(&job).await;
    assert_eq!(ring(&state), [(Some(at("2026-01-01T10:00:00Z")), Outcome::LostLeadership)]);
    soon("the last guest's end", led.gate.vacated()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_term_goes_on_where_the_last_one_ended() {
    let (place, clock, job, led) = begun(quick()).await;
    place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    led.drain().await;
    place.lead("b").await.drain().await;
    assert_eq!(place.state(&job).await.outcomes.len(), 1, "a tick ran twice");
    clock.set(at("2026-01-01T11:00:00Z"));
    let led = place.lead("c").await;
    let state = place.until(&job, |state| count(state, Outcome::Succeeded) == 2).await;
    assert_eq!(state.outcomes[0].of.tick(), Some(at("2026-01-01T11:00:00Z")));
    led.drain().await;
}

/// A host that dies just after the last write of a run leaves no record of it, and the run state forgets it by and by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_term_ran_last_is_told_again_by_the_next() {
    let clock = SetClock::at(at("2026-01-01T09:59:59Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 2s from 2026-01-01T00:00:00Z", quick()).await;
    let mut before = None;
    // So soon after each other that what a host ran is as near to what the next ran as to its own end.
    for (runs, host) in ["a", "b", "c"].into_iter().enumerate() {
        let tick = at("2026-01-01T10:00:00Z") + Duration::from_secs(2 * runs as u64);
        clock.set(tick);
        let led = place.lead(host).await;
        let state = place.until(&job, |state| count(state, Outcome::Succeeded) == runs + 1).await;
        let own = led.ended(&job, &format!("{job}/{tick}")).await;
        let own = RunRecord { usage: None, ..own };
        assert_eq!(
            (kept(&job, &state), own.host.as_str()),
            (vec![own.clone()], host),
            "so short a run's record is whole, but for what it used"
        );
        let told = led.scheduling.history.own_runs(&job, 100).await.unwrap();
        let told: Vec<_> = told.into_iter().map(|record| RunRecord { usage: None, ..record }).collect();
        assert_eq!(told, [own.clone()].into_iter().chain(before.replace(own)).collect::<Vec<_>>());
        led.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_replies_lose_no_run_and_repeat_none() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    // The take-over, the begin and the finish, or as many of them as are still to come.
    place.embedded.lose_replies(led.session.id(), 3).await.unwrap();
    let state = place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    led.drain().await;
    assert_eq!(place.state(&job).await, state);
    assert_eq!(ring(&state), [(Some(at("2026-01-01T10:00:00Z")), Outcome::Succeeded)]);
}

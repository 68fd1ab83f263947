//! Which ticks run, and what becomes of the others.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tick_runs_once() {
    let place = Place::new(clock::system()).await;
    let job = place.apply("report", "@every 1s", quick()).await;
    let led = place.lead("a").await;
    let state = place.until(&job, |state| count(state, Outcome::Succeeded) >= 3).await;
    led.drain().await;
    assert_eq!(state.active, []);
    // On a machine that stands still for a second, the ticks of that second are skipped.
    assert_eq!(count(&state, Outcome::Succeeded) + count(&state, Outcome::Skipped), state.outcomes.len());
    for (later, earlier) in state.outcomes.iter().zip(state.outcomes.iter().skip(1)) {
        let gap = later.of.tick().unwrap().duration_since(earlier.of.tick().unwrap());
        assert_eq!(gap.as_secs(), 1, "{:?}", ring(&state));
    }
    let history = History::new(place.store(), "b", clock::system());
    for record in history.stored_runs(&job, "a", 100).await.unwrap() {
        assert_eq!(record.run, format!("{job}/{}", record.tick.unwrap()));
        assert!(record.started >= record.tick.unwrap(), "it ran before its time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_ticks_that_were_missed_the_latest_runs_and_the_others_are_recorded() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    clock.set(at("2026-01-01T13:10:00Z"));
    let led = place.lead("a").await;
    let state = place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    let skipped = |tick| (Some(at(tick)), Outcome::Skipped);
    assert_eq!(
        ring(&state),
        [
            (Some(at("2026-01-01T13:00:00Z")), Outcome::Succeeded),
            skipped("2026-01-01T12:00:00Z"),
            skipped("2026-01-01T11:00:00Z"),
            skipped("2026-01-01T10:00:00Z"),
        ]
    );
    assert_eq!(state.outcomes[1].detail, "no host led the job's group then, or the job was paused");
    assert_eq!(state.cursor, Some(at("2026-01-01T13:00:00Z")));
    let record = led.ended(&job, "acme/report/2026-01-01T11:00:00Z").await;
    assert_eq!(record.outcome, Some(Outcome::Skipped));
    led.drain().await;
    assert_eq!(place.state(&job).await, state, "nothing runs twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jittered_run_begins_late_under_its_nominal_time() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let times = ScheduleSpec { jitter_ms: 1_800_000, ..ScheduleSpec::new("@every 1h") };
    let digest = Artifacts::new(place.store()).put(quick().into()).await.unwrap();
    let trigger = Trigger::Schedule { times: times.clone(), policies: KeptPolicies::default() };
    let job = place.apply_spec(JobSpec { trigger, ..spec("report", "@every 1h", digest, Limits::SCHEDULED) }).await;
    let tick = at("2026-01-01T10:00:00Z");
    let begins = crate::registry::Schedule::parse(&times, Some(&job)).unwrap().begins(tick);
    assert!(begins > tick + jiff::SignedDuration::from_mins(1), "{begins}");

    clock.set(begins - jiff::SignedDuration::from_millis(1));
    let led = place.lead("a").await;
    let state = place.until(&job, |state| state.cursor.is_some()).await;
    assert!(state.outcomes.is_empty() && state.active.is_empty() && state.cursor < Some(tick), "{state:?}");
    led.drain().await;

    clock.set(begins);
    let led = place.lead("a").await;
    let state = place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    assert_eq!(ring(&state), [(Some(tick), Outcome::Succeeded)]);
    led.ended(&job, &format!("{job}/{tick}")).await;
    led.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_that_come_during_a_run_are_skipped_with_the_reason() {
    let clock = SetClock::at(at("2026-01-01T09:59:55Z"));
    let place = Place::new(clock.clone()).await;
    // It must go on until the clock is set.
    let limits = Limits { time_ms: Some(2000), ..Limits::SCHEDULED };
    let job = place.apply_with("report", "@every 10s", endless(), limits).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| !state.active.is_empty()).await;
    clock.set(at("2026-01-01T10:00:20Z"));
    let state = place.until(&job, |state| state.outcomes.len() == 3).await;
    // They are skipped when somebody looks: while it runs, or when it has ended.
    let mut outcomes: Vec<_> = state.outcomes.iter().map(|kept| (kept.outcome.to_string(), &*kept.detail)).collect();
    outcomes.sort();
    let skipped = ("skipped".to_owned(), "the run before was still under way");
    let timed_out = ("timed-out".to_owned(), "ran longer than its limit of 2000 ms");
    assert_eq!(outcomes, [skipped.clone(), skipped, timed_out]);
    assert_eq!(state.cursor, Some(at("2026-01-01T10:00:20Z")));
    led.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_whose_component_is_nowhere_is_skipped_with_the_reason() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let digest = Digest::of(b"nobody has it");
    let job = place.apply_spec(spec("report", "@every 1h", digest.clone(), Limits::SCHEDULED)).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    let state = place.until(&job, |state| !state.outcomes.is_empty()).await;
    assert_eq!(ring(&state), [(Some(at("2026-01-01T10:00:00Z")), Outcome::Skipped)]);
    let reason = format!("component `{digest}` is neither in this host's store nor on a live host");
    assert_eq!(state.outcomes[0].detail, "its component can't be had at the moment");
    let record = led.ended(&job, "acme/report/2026-01-01T10:00:00Z").await;
    assert_eq!(record.detail, reason);
    led.drain().await;
}

#[test]
fn a_tick_that_comes_between_two_looks_at_the_clock_is_not_slept_over() {
    use crate::scheduler::desk::nap;
    let tick = at("2026-01-01T10:00:00Z");
    assert_eq!(nap(Some(tick), at("2026-01-01T10:00:00.000001Z")), Duration::ZERO);
    assert_eq!(nap(Some(tick), at("2026-01-01T09:59:59.5Z")), Duration::from_millis(500));
    assert_eq!(nap(Some(tick), at("2026-01-01T08:00:00Z")), Duration::from_secs(30));
    assert_eq!(nap(None, tick), Duration::from_secs(30));
}

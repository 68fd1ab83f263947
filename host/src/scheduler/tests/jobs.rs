//! Jobs that are changed, deleted or triggered while their group is led.

use super::*;
use crate::registry::PauseOrder;
use crate::scheduler::TriggerError;
use crate::scheduler::plan::Occasion;

/// For orders that are refused however long they wait.
const BRIEFLY: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_new_or_was_edited_does_not_fire_for_what_was_before() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    led.drain().await;

    clock.set(at("2026-01-01T12:30:00Z"));
    place.apply("report", "@every 10m", quick()).await;
    let led = place.lead("b").await;
    let state = place.until(&job, |state| state.cursor == Some(at("2026-01-01T12:30:00Z"))).await;
    let (ran, missed) = (at("2026-01-01T10:00:00Z"), at("2026-01-01T11:00:00Z"));
    assert_eq!(ring(&state), [(Some(missed), Outcome::Skipped), (Some(ran), Outcome::Succeeded)]);
    let record = led.ended(&job, &format!("{job}/{missed}")).await;
    assert_eq!(
        record.detail,
        "all ticks from 2026-01-01T11:00:00Z until before 2026-01-01T12:40:00Z: \
         the job was changed, paused or resumed meanwhile"
    );
    led.drain().await;
    assert_eq!(place.state(&job).await, state);
}

/// dkron#1296 where the job rests meanwhile: nobody begins anything of it, and what was begun is settled all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_a_job_that_was_paused_is_settled_where_its_host_dies() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", endless()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| !state.active.is_empty()).await;
    let pause = PauseOrder::default().at(clock.wall(), "report").unwrap();
    place.registry.pause(&job, pause).await.unwrap();
    soon("the pause", place.jobs.clone().wait_for(|jobs| jobs[&job].spec.paused.is_some())).await.unwrap();
    place.onlooker.delete(led.gate.contender(), None).await.unwrap();
    let next = place.lead("b").await;
    let state = place.until(&job, |state| state.active.is_empty()).await;
    assert_eq!(ring(&state), [(Some(at("2026-01-01T10:00:00Z")), Outcome::Unknown)]);
    let record = next.ended(&job, "acme/report/2026-01-01T10:00:00Z").await;
    assert_eq!((record.outcome, record.host.as_str()), (Some(Outcome::Unknown), "a"));
    assert_eq!(next.scheduling.trigger_within(&job, BRIEFLY).await, Err(TriggerError::NotHere));
    clock.set(at("2026-01-01T12:00:00Z"));
    next.drain().await;
    assert_eq!(place.state(&job).await, state, "nothing of it was begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_jobs_run_is_stopped_and_leaves_nothing() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", endless()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| !state.active.is_empty()).await;
    place.registry.delete(&job).await.unwrap();
    let record = led.ended(&job, "acme/report/2026-01-01T10:00:00Z").await;
    assert_eq!(record.outcome, Some(Outcome::Failed));
    assert_eq!(record.detail, "stopped: the job was changed or deleted");
    led.drain().await;
    let path = place.layout.run_state(&job.tenant, &job.name);
    assert_eq!(place.onlooker.stat(&path).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_jobs_run_goes_on_to_its_end() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let limits = Limits { time_ms: Some(500), ..Limits::SCHEDULED };
    let job = place.apply_with("report", "@every 1h", endless(), limits).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| !state.active.is_empty()).await;
    place.apply("report", "@every 1h", quick()).await;
    let state = place.until(&job, |state| state.active.is_empty()).await;
    assert_eq!(ring(&state), [(Some(at("2026-01-01T10:00:00Z")), Outcome::TimedOut)]);
    // From then on it is the new one: its component is the quick one.
    let run = triggered(&led, &job).await.unwrap();
    assert_eq!(led.ended(&job, &run).await.outcome, Some(Outcome::Succeeded));
    led.drain().await;
}

/// Triggers a job as soon as it is kept here.
async fn triggered(led: &Led, job: &JobId) -> Result<String, TriggerError> {
    soon("a keeper", async {
        loop {
            match led.scheduling.trigger(job).await {
                Err(TriggerError::NotHere) => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_triggered_run_is_one_beside_the_schedule_and_does_not_overlap() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", patient()).await;
    let led = place.lead("a").await;
    let run = triggered(&led, &job).await.unwrap();
    assert_eq!(run, "acme/report/manual-2026-01-01T09:30:00.000Z");
    let of = Occasion::Order("manual-2026-01-01T09:30:00.000Z".to_owned());
    assert_eq!(place.state(&job).await.active[0].of, of, "told before it was begun");
    assert_eq!(led.scheduling.trigger(&job).await, Err(TriggerError::UnderWay));
    let other = JobId::new("acme", "other").unwrap();
    assert_eq!(led.scheduling.trigger_within(&other, BRIEFLY).await, Err(TriggerError::NotHere));
    let scheduling = led.scheduling.clone();
    led.drain().await;
    assert_eq!(scheduling.trigger_within(&job, BRIEFLY).await, Err(TriggerError::NotHere));
    let state = place.state(&job).await;
    assert_eq!(ring(&state), [(None, Outcome::Succeeded)]);
    assert_eq!(state.cursor, Some(at("2026-01-01T09:30:00Z")), "it moved the schedule");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_whose_component_is_nowhere_is_refused_and_records_nothing() {
    let place = Place::new(SetClock::at(at("2026-01-01T09:30:00Z"))).await;
    let digest = Digest::of(b"nobody has it");
    let job = place.apply_spec(spec("report", "@every 1h", digest, Limits::SCHEDULED)).await;
    let led = place.lead("a").await;
    let refused = triggered(&led, &job).await;
    assert!(matches!(&refused, Err(TriggerError::Refused(why)) if why.contains("neither in this host's store")));
    assert!(place.state(&job).await.outcomes.is_empty());
    led.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_job_does_not_tick_and_a_resumed_one_does() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    let pause = PauseOrder::default().at(clock.wall(), "report").unwrap();
    place.registry.pause(&job, pause).await.unwrap();
    let paused = |jobs: &Jobs| jobs[&job].spec.paused.is_some();
    soon("the pause", place.jobs.clone().wait_for(paused)).await.unwrap();
    clock.set(at("2026-01-01T10:10:00Z"));
    let led = place.lead("a").await;
    assert_eq!(led.scheduling.trigger_within(&job, BRIEFLY).await, Err(TriggerError::NotHere));
    place.until(&job, |state| state.cursor == Some(at("2026-01-01T09:30:00Z"))).await;
    place.registry.resume(&job, PassedOver::Skipped).await.unwrap();
    let resumed = at("2026-01-01T10:10:00Z");
    let state = place.until(&job, |state| state.cursor == Some(resumed)).await;
    led.drain().await;
    let missed = Some(at("2026-01-01T10:00:00Z"));
    assert_eq!(ring(&state), [(missed, Outcome::Skipped)], "what passed during the pause is told and not made up for");
    let pause = PauseOrder::default().at(clock.wall(), "report").unwrap();
    place.registry.pause(&job, pause).await.unwrap();
    clock.set(at("2026-01-01T12:10:00Z"));
    place.registry.resume(&job, PassedOver::CaughtUp).await.unwrap();
    let known = |jobs: &Jobs| jobs[&job].version == 4;
    soon("the change", place.jobs.clone().wait_for(known)).await.unwrap();
    let led = place.lead("b").await;
    let state = place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    led.drain().await;
    let [eleven, twelve] = ["11", "12"].map(|hour| Some(at(&format!("2026-01-01T{hour}:00:00Z"))));
    let caught_up = [(twelve, Outcome::Succeeded), (eleven, Outcome::Skipped), (missed, Outcome::Skipped)];
    assert_eq!(ring(&state), caught_up, "but where that is asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_its_turn_while_its_job_is_changed_is_one_of_the_new_component() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let limits = Limits { time_ms: Some(500), ..Limits::SCHEDULED };
    let job = place.apply_with("report", "@every 1h", endless(), limits).await;
    let led = place.lead("a").await;
    place.until(&job, |state| state.cursor.is_some()).await;
    // All turns of the host are taken: a tenant's first run may take the last free one, and no more.
    let turns: Vec<_> = (0..8).map(|tenant| led.scheduling.turns.take(&format!("tenant-{tenant}"))).collect();
    let scheduling = led.scheduling.clone();
    let waiting = tokio::spawn({
        let job = job.clone();
        async move { scheduling.trigger(&job).await }
    });
    while led.scheduling.turns.load() != (8, 1) {
        tokio::task::yield_now().await;
    }
    place.apply("report", "@every 1h", quick()).await;
    drop(turns);
    match soon("an answer", waiting).await.unwrap() {
        Ok(run) => assert_eq!(led.ended(&job, &run).await.outcome, Some(Outcome::Succeeded), "the old component ran"),
        // Its turn came before the group heard of the change.
        Err(refused) => assert_eq!(refused, TriggerError::Refused("the job has changed".to_owned())),
    }
    led.drain().await;
}

/// Somebody's hand, or a clean-up tool: a directory with all run states in it goes.
async fn delete_run_states(place: &Place) {
    let directory = place.layout.runs("acme");
    for name in place.onlooker.list(&directory).await.unwrap() {
        place.onlooker.delete(&format!("{directory}/{name}"), None).await.unwrap();
    }
    place.onlooker.delete(&directory, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_a_run_state_that_was_deleted_is_written_again_with_all_it_had() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    delete_run_states(&place).await;
    clock.set(at("2026-01-01T11:00:00Z"));
    // This also has the group look at its alarms.
    assert!(led.scheduling.trigger(&job).await.is_ok());
    let (first, second) = (at("2026-01-01T10:00:00Z"), at("2026-01-01T11:00:00Z"));
    let state = place.until(&job, |state| state.cursor == Some(second) && count(state, Outcome::Succeeded) == 2).await;
    assert!(ring(&state).contains(&(Some(first), Outcome::Succeeded)), "{state:?}");
    led.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_a_run_that_ends_after_its_run_state_was_deleted_is_kept() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", patient()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| !state.active.is_empty()).await;
    delete_run_states(&place).await;
    led.gate.ask_stop();
    let state = place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    assert!(state.active.is_empty(), "{state:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_without_its_run_state_a_job_ticks_from_now_on() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    clock.set(at("2026-01-01T12:30:00Z"));
    delete_run_states(&place).await;
    let led = place.lead("a").await;
    let state = place.until(&job, |state| state.cursor.is_some()).await;
    assert_eq!((state.cursor, ring(&state)), (Some(at("2026-01-01T12:30:00Z")), vec![]));
    led.drain().await;
    clock.set(at("2026-01-01T13:00:00Z"));
    let led = place.lead("b").await;
    place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    led.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_the_run_state_of_a_deleted_job_is_not_made_again() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", patient()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| !state.active.is_empty()).await;
    place.registry.delete(&job).await.unwrap();
    led.drain().await;
    let path = place.layout.run_state("acme", "report");
    assert_eq!(place.onlooker.stat(&path).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w9_a_cursor_that_is_ahead_is_told_and_an_operator_sets_it() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    clock.set(at("2026-01-01T15:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| state.cursor == Some(at("2026-01-01T15:00:00Z"))).await;
    place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    led.drain().await;

    clock.set(at("2026-01-01T12:30:00Z"));
    let led = place.lead("b").await;
    let told = || led.scheduling.problems.list().iter().map(|problem| problem.text.clone()).collect::<Vec<_>>();
    soon("the problem", async {
        while told().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(told()[0].starts_with("its ticks until 2026-01-01T15:00:00Z count as decided"), "{:?}", told());
    let future = at("2026-01-01T13:00:00Z");
    let refused = led.scheduling.set_cursor(&job, future).await;
    assert_eq!(refused, Err(TriggerError::Future { to: future, now: clock.wall() }));
    let now = clock.wall();
    clock.set(at("2026-01-01T13:00:00Z"));
    assert_eq!(led.scheduling.set_cursor(&job, now).await, Ok(now));
    place.until(&job, |state| count(state, Outcome::Succeeded) == 2).await;
    assert_eq!(told(), [""; 0]);
}

/// A version that refuses more than the one that stored the job: the job stays, doesn't tick, and the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_a_stored_schedule_that_is_refused_stops_its_job_alone() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let refused = place.apply("refused", "0 0 31 2 *", quick()).await;
    let edited = place.apply("edited", "@every 1h", quick()).await;
    let report = place.apply("report", "@every 1h", quick()).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    for job in [&edited, &report] {
        place.until(job, |state| count(state, Outcome::Succeeded) == 1).await;
    }
    assert_eq!(led.scheduling.trigger_within(&refused, BRIEFLY).await, Err(TriggerError::NotHere));
    place.apply("edited", "0 0 31 2 *", quick()).await;
    clock.set(at("2026-01-01T11:00:00Z"));
    // Whatever the group hears of, it looks at the time too. Mended, the first one ticks.
    place.apply("refused", "@every 30m", quick()).await;
    place.until(&report, |state| count(state, Outcome::Succeeded) == 2).await;
    clock.set(at("2026-01-01T11:30:00Z"));
    place.apply("another", "@every 1h", quick()).await;
    place.until(&refused, |state| count(state, Outcome::Succeeded) == 1).await;
    let stored = place.jobs.borrow()[&edited].clone();
    assert_eq!(stored.spec.schedule().unwrap().unwrap_err().reason, "it never ticks");
    assert_eq!(count(&place.state(&edited).await, Outcome::Succeeded), 1);
    assert_eq!(led.scheduling.trigger_within(&edited, BRIEFLY).await, Err(TriggerError::NotHere));
    led.drain().await;
}

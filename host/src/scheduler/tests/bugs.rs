//! Faults that other schedulers shipped, each a test named after its ticket. Those that need processes or servers to die are
//! with the tests of clusters.

use super::*;
use crate::registry::PauseOrder;
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

/// And temporal#4866: whatever is done to a job, and whether or not somebody leads it then, each tick that it had runs or is
/// told as skipped, and none that it didn't have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubernetes_63371_an_edit_fires_retroactively_or_loses_a_tick() {
    let (ran, skipped) = (Outcome::Succeeded, Outcome::Skipped);
    let every_hour = [("10", ran), ("11", skipped), ("12", ran)].to_vec();
    for (edit, led_meanwhile, wanted) in [
        (Edit::None, true, &every_hour),
        (Edit::None, false, &every_hour),
        (Edit::Pause, true, &every_hour),
        (Edit::Pause, false, &every_hour),
        (Edit::Resume, true, &every_hour),
        (Edit::Resume, false, &every_hour),
        // From 10:30 on it has no tick at 11:00; at 11:30 it had one.
        (Edit::EvenHours, true, &[("10", ran), ("12", ran)].to_vec()),
        (Edit::EvenHours, false, &every_hour),
    ] {
        let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
        let place = Place::new(clock.clone()).await;
        let job = place.apply("report", "@every 1h", quick()).await;
        clock.set(at("2026-01-01T10:00:00Z"));
        let led = place.lead("a").await;
        place.until(&job, |state| count(state, ran) == 1).await;
        if led_meanwhile {
            let edited = at("2026-01-01T10:30:00Z");
            clock.set(edited);
            place.edit(&job, edit).await;
            place.until(&job, |state| matches!(edit, Edit::None) || state.cursor >= Some(edited)).await;
            led.drain().await;
        } else {
            led.drain().await;
            clock.set(at("2026-01-01T11:30:00Z"));
            place.edit(&job, edit).await;
        }
        let noon = at("2026-01-01T12:00:00Z");
        clock.set(noon);
        let led = place.lead("b").await;
        let state = place.until(&job, |state| state.cursor == Some(noon) && state.active.is_empty()).await;
        led.drain().await;
        let told = ring(&state).into_iter().rev();
        let hours: Vec<_> = told.map(|(tick, outcome)| (tick.unwrap().strftime("%H").to_string(), outcome)).collect();
        let wanted: Vec<_> = wanted.iter().map(|(hour, outcome)| ((*hour).to_owned(), *outcome)).collect();
        assert_eq!(hours, wanted, "{edit:?}, led meanwhile: {led_meanwhile}");
    }
}

/// What is done to a job that ticks every hour.
#[derive(Clone, Copy, Debug)]
enum Edit {
    /// It is stored as it is.
    None,
    /// It has other times.
    EvenHours,
    /// It is paused, and resumed at once.
    Pause,
    /// It is resumed, and was not paused.
    Resume,
}

impl Place {
    async fn edit(&self, job: &JobId, edit: Edit) {
        let rests = |rests: bool| {
            let (mut jobs, job) = (self.jobs.clone(), job.clone());
            async move {
                let known = |jobs: &Jobs| jobs[&job].spec.paused.is_some() == rests;
                soon("the change", jobs.wait_for(known)).await.unwrap();
            }
        };
        match edit {
            Edit::None => drop(self.apply(&job.name, "@every 1h", quick()).await),
            Edit::EvenHours => drop(self.apply(&job.name, "0 */2 * * *", quick()).await),
            Edit::Resume => drop(self.registry.resume(job, PassedOver::Skipped).await.unwrap()),
            Edit::Pause => {
                let pause = PauseOrder::default().at(self.clock.wall(), &job.name).unwrap();
                self.registry.pause(job, pause).await.unwrap();
                rests(true).await;
                self.registry.resume(job, PassedOver::Skipped).await.unwrap();
                rests(false).await;
            }
        }
    }
}

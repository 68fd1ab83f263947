//! Orders that come before their group's term has begun, or before this host has heard of their job.

use std::pin::pin;

use futures::poll;
use tokio::time::Instant;

use super::*;
use crate::scheduler::TriggerError;

/// A host that hears of jobs when it is told.
struct Lagging {
    place: Place,
    tell: watch::Sender<Jobs>,
    scheduling: Arc<Scheduling>,
    known: JobId,
    new: JobId,
}

impl Lagging {
    /// It knows one of two jobs.
    async fn new() -> Self {
        let place = Place::new(SetClock::at(at("2026-01-01T09:30:00Z"))).await;
        let known = place.apply("known", "@every 1h", quick()).await;
        let tell = watch::Sender::new(place.jobs.borrow().clone());
        let new = place.apply("new", "@every 1h", quick()).await;
        let scheduling = place.scheduling("a", tell.subscribe());
        Lagging { place, tell, scheduling, known, new }
    }

    /// Returns once the group has taken in all that it was told before.
    async fn taken_in(&self) {
        let run = soon("a run", self.scheduling.trigger_within(&self.known, AMPLE)).await;
        assert!(run.is_ok(), "{run:?}");
    }

    fn hear_of_all(&self) {
        self.tell.send_replace(self.place.jobs.borrow().clone());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_from_before_the_term_is_carried_out_once_it_has_begun() {
    let place = Place::new(SetClock::at(at("2026-01-01T09:30:00Z"))).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    let scheduling = place.scheduling("a", place.jobs.clone());
    let (to, asked) = (at("2026-01-01T09:00:00Z"), scheduling.clone());
    let mut triggered = pin!(scheduling.trigger_within(&job, AMPLE));
    let mut set = pin!(asked.set_cursor_within(&job, to, AMPLE));
    assert!(poll!(triggered.as_mut()).is_pending() && poll!(set.as_mut()).is_pending());
    let led = place.lead_with(scheduling.clone()).await;
    assert_eq!(soon("the cursor", set).await, Ok(to));
    let run = soon("the run", triggered).await.unwrap();
    assert_eq!(led.ended(&job, &run).await.outcome, Some(Outcome::Succeeded));
    led.drain().await;
    assert_eq!(ring(&place.state(&job).await), [(None, Outcome::Succeeded)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_for_a_job_that_the_host_has_not_heard_of_is_carried_out_once_it_has() {
    let lagging = Lagging::new().await;
    let led = lagging.place.lead_with(lagging.scheduling.clone()).await;
    let mut triggered = pin!(lagging.scheduling.trigger_within(&lagging.new, AMPLE));
    assert!(poll!(triggered.as_mut()).is_pending());
    lagging.taken_in().await;
    lagging.hear_of_all();
    let run = soon("the run", triggered).await.unwrap();
    assert_eq!(led.ended(&lagging.new, &run).await.outcome, Some(Outcome::Succeeded));
    led.drain().await;
    assert_eq!(ring(&lagging.place.state(&lagging.new).await), [(None, Outcome::Succeeded)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_waits_while_the_term_ends_is_carried_out_in_the_next_one() {
    let lagging = Lagging::new().await;
    let led = lagging.place.lead_with(lagging.scheduling.clone()).await;
    let mut triggered = pin!(lagging.scheduling.trigger_within(&lagging.new, AMPLE));
    assert!(poll!(triggered.as_mut()).is_pending());
    lagging.taken_in().await;
    led.drain().await;
    assert!(poll!(triggered.as_mut()).is_pending());
    lagging.hear_of_all();
    let led = lagging.place.lead_with(lagging.scheduling.clone()).await;
    let run = soon("the run", triggered).await.unwrap();
    assert_eq!(led.ended(&lagging.new, &run).await.outcome, Some(Outcome::Succeeded));
    led.drain().await;
    assert_eq!(ring(&lagging.place.state(&lagging.new).await), [(None, Outcome::Succeeded)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_refused_or_that_nobody_waits_for_is_never_carried_out() {
    let lagging = Lagging::new().await;
    let led = lagging.place.lead_with(lagging.scheduling.clone()).await;
    let refused = lagging.scheduling.trigger_within(&lagging.new, Duration::from_millis(50)).await;
    assert_eq!(refused, Err(TriggerError::NotHere));
    {
        let mut given_up = pin!(lagging.scheduling.trigger_within(&lagging.new, AMPLE));
        assert!(poll!(given_up.as_mut()).is_pending());
        lagging.taken_in().await;
    }
    lagging.hear_of_all();
    let settled = lagging.place.until(&lagging.new, |state| state.cursor.is_some()).await;
    led.drain().await;
    assert_eq!(lagging.place.state(&lagging.new).await, settled);
    assert!(settled.outcomes.is_empty() && settled.active.is_empty(), "{settled:?}");
}

#[tokio::test]
async fn an_order_to_a_host_that_never_leads_is_refused_when_it_has_waited() {
    let place = Place::new(SetClock::at(at("2026-01-01T09:30:00Z"))).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    let scheduling = place.scheduling("a", place.jobs.clone());
    tokio::time::pause();
    let begun = Instant::now();
    assert_eq!(scheduling.trigger(&job).await, Err(TriggerError::NotHere));
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    let said = TriggerError::NotHere.to_string();
    assert!(said.contains("does not lead") && said.contains("try again"), "{said}");
}

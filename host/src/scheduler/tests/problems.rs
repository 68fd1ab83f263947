//! What keeps a job from going on is told for as long as it does, and what was done is logged once it is done.

use super::*;
use crate::capability::fakes::{FakeSession, term};
use crate::coordinator::Stat;
use crate::registry::{CatchUpRule, Job, JobMap, PolicySpec};
use crate::telemetry::tests::Captured;

fn told(scheduling: &Scheduling) -> Vec<String> {
    scheduling.problems.list().into_iter().map(|problem| problem.text).collect()
}

async fn until_told(scheduling: &Scheduling, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    soon("the problems", async {
        loop {
            let told = told(scheduling);
            if wanted(&told) {
                return told;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_can_not_run_is_told_until_the_job_has_another() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let nowhere = Digest::of(b"nobody has it");
    let job = place.apply_spec(spec("report", "@every 1h", nowhere.clone(), Limits::SCHEDULED)).await;
    clock.set(at("2026-01-01T10:00:00Z"));
    let led = place.lead("a").await;
    place.until(&job, |state| count(state, Outcome::Skipped) == 1).await;
    let problem = told(&led.scheduling);
    assert!(problem.len() == 1 && problem[0].starts_with("its component can't run"), "{problem:?}");
    // Another schedule doesn't mend it.
    let changed = at("2026-01-01T10:00:01Z");
    clock.set(changed);
    place.apply_spec(spec("report", "@every 2h", nowhere, Limits::SCHEDULED)).await;
    place.until(&job, |state| state.cursor >= Some(changed)).await;
    assert_eq!(told(&led.scheduling), problem);
    place.apply("report", "@every 2h", quick()).await;
    until_told(&led.scheduling, <[_]>::is_empty).await;
    led.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w9_a_cursor_that_is_ahead_is_told_until_its_time_has_come() {
    let clock = SetClock::at(at("2026-01-01T09:30:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    let other = place.apply("other", "0 0 1 1 *", quick()).await;
    let ahead = at("2026-01-01T15:00:00Z");
    clock.set(ahead);
    let led = place.lead("a").await;
    place.until(&job, |state| state.cursor == Some(ahead) && count(state, Outcome::Succeeded) == 1).await;
    led.drain().await;
    clock.set(at("2026-01-01T12:30:00Z"));
    let led = place.lead("b").await;
    until_told(&led.scheduling, |told| !told.is_empty()).await;
    clock.set(ahead);
    // This has the group look at its alarms.
    assert!(led.scheduling.trigger(&other).await.is_ok());
    until_told(&led.scheduling, <[_]>::is_empty).await;
    assert_eq!(place.state(&job).await.cursor, Some(ahead), "a tick has come meanwhile");
    led.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w9_a_cursor_that_was_set_stays_so_though_the_job_was_applied_by_a_clock_that_was_ahead() {
    let clock = SetClock::at(at("2026-01-01T15:00:00Z"));
    let place = Place::new(clock.clone()).await;
    let job = place.apply("report", "@every 1h", quick()).await;
    let led = place.lead("a").await;
    place.until(&job, |state| state.cursor == Some(at("2026-01-01T15:00:00Z"))).await;
    led.drain().await;
    let now = at("2026-01-01T12:30:00Z");
    clock.set(now);
    let led = place.lead("b").await;
    assert_eq!(led.scheduling.set_cursor_within(&job, now, AMPLE).await, Ok(now));
    led.drain().await;
    clock.set(at("2026-01-01T14:00:00Z"));
    let led = place.lead("c").await;
    let state = place.until(&job, |state| count(state, Outcome::Succeeded) == 1).await;
    // What was missed is told as missed.
    let [one, two] = ["13", "14"].map(|hour| Some(at(&format!("2026-01-01T{hour}:00:00Z"))));
    assert_eq!(ring(&state), [(two, Outcome::Succeeded), (one, Outcome::Skipped)]);
    assert!(state.outcomes[1].detail.starts_with("no host led"), "{state:?}");
    led.drain().await;
}

/// One job, as its node at `path` is.
async fn jobs_of(spec: JobSpec, session: &FakeSession, path: &str) -> Jobs {
    let Stat { czxid: born, mzxid, version, .. } = session.stat(path).await.unwrap().unwrap();
    let mut jobs = JobMap::default();
    jobs.insert(Arc::new(Job { spec, version, born, mzxid, mtime_ms: 0, ticks_from_ms: None }));
    Arc::new(jobs)
}

/// A group of one job, led on a coordinator that may deny writes.
struct Denied {
    _place: Place,
    scheduling: Arc<Scheduling>,
    session: Arc<FakeSession>,
    gate: Arc<Gate>,
    job: String,
    run_state: String,
    jobs: watch::Sender<Jobs>,
}

impl Denied {
    /// All of its ticks from before are to be skipped. Time runs when nothing else does.
    async fn new(run_state: Option<&str>) -> Self {
        let place = Place::new(SetClock::at(at("2026-01-01T12:30:00Z"))).await;
        let policies = PolicySpec { catch_up: CatchUpRule::None, ..PolicySpec::default() };
        let trigger = Trigger::Schedule { times: ScheduleSpec::new("@every 1h"), policies: policies.into() };
        let spec = JobSpec { trigger, ..spec("report", "", Digest::of(b""), Limits::SCHEDULED) };
        let (gate, session) = term(clock::system(), AMPLE);
        let [job, path] = [place.layout.job("acme", "report"), place.layout.run_state("acme", "report")];
        session.put(&job, b"spec");
        match run_state {
            Some(run_state) => session.put(&path, run_state.as_bytes()),
            None => session.put(path.rsplit_once('/').unwrap().0, b""),
        }
        let jobs = watch::Sender::new(jobs_of(spec, &session, &job).await);
        let scheduling = place.scheduling("a", jobs.subscribe());
        tokio::time::pause();
        Denied { _place: place, scheduling, session, gate, job, run_state: path, jobs }
    }

    /// The job's node is written, and the host hears of it.
    async fn touch_job(&self) {
        self.session.put(&self.job, b"spec");
        let spec = self.jobs.borrow()[&JobId::new("acme", "report").unwrap()].spec.clone();
        self.jobs.send_replace(jobs_of(spec, &self.session, &self.job).await);
    }

    fn lead(&self) -> JoinHandle<Served> {
        let (duty, gate) = (GroupDuty { group: 0, scheduling: self.scheduling.clone() }, self.gate.clone());
        tokio::spawn(async move { duty.serve(gate).await })
    }

    async fn until_written(&self) -> JobState {
        soon("the run state", async {
            loop {
                let (found, mut watch) = self.session.get_and_watch(&self.run_state).await.unwrap();
                let state = found.map(|(value, _)| JobState::from_bytes(&value).unwrap());
                if let Some(state) = state.filter(|state| state.holder.is_some()) {
                    return state;
                }
                watch.changed().await;
            }
        })
        .await
    }

    async fn until_nothing_is_told(&self) {
        soon("the end of the problem", async {
            while !told(&self.scheduling).is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_write_that_is_denied_again_and_again_is_one_problem_until_it_is_taken() {
    let denied = Denied::new(Some(r#"{"cursor":"2026-01-01T09:30:00Z","next":1767261600,"outcomes":[]}"#)).await;
    let captured = Captured::default();
    let _capturing = captured.start();
    let mut refusals = denied.session.refuse_multis();
    let serving = denied.lead();
    soon("a refusal", refusals.wait_for(|count| *count >= Some(1))).await.unwrap();
    soon("further refusals", refusals.wait_for(|count| *count >= Some(4))).await.unwrap();
    let problem = told(&denied.scheduling);
    assert!(problem.len() == 1 && problem[0].contains("writes are denied"), "{problem:?}");
    let log = captured.text();
    assert_eq!(log.matches("a schedule can't be kept, trying again").count(), 1, "{log}");
    denied.session.accept_multis();
    assert_eq!(denied.until_written().await.cursor, Some(at("2026-01-01T12:00:00Z")));
    denied.until_nothing_is_told().await;
    denied.gate.ask_stop();
    soon("the end of the duty", serving).await.unwrap();
}

#[tokio::test]
async fn w12_a_run_state_that_is_made_anew_is_logged_once_and_when_it_is_made() {
    let denied = Denied::new(None).await;
    let captured = Captured::default();
    let _capturing = captured.start();
    let mut refusals = denied.session.refuse_multis();
    let serving = denied.lead();
    soon("refusals", refusals.wait_for(|count| *count >= Some(3))).await.unwrap();
    let log = captured.text();
    assert!(!log.contains("from now on"), "{log}");
    denied.session.accept_multis();
    assert_eq!(denied.until_written().await.cursor, Some(at("2026-01-01T12:30:00Z")));
    denied.until_nothing_is_told().await;
    let log = captured.text();
    assert_eq!(log.matches("the job ticks from now on").count(), 1, "{log}");
    denied.gate.ask_stop();
    soon("the end of the duty", serving).await.unwrap();
}

#[tokio::test]
async fn w2_a_run_state_that_is_known_is_made_again_as_it_was_though_that_is_refused_at_first() {
    let denied = Denied::new(Some(r#"{"cursor":"2026-01-01T09:30:00Z","next":1767261600,"outcomes":[]}"#)).await;
    let captured = Captured::default();
    let _capturing = captured.start();
    let serving = denied.lead();
    let before = denied.until_written().await;
    let mut refusals = denied.session.refuse_multis();
    denied.session.remove(&denied.run_state);
    denied.touch_job().await;
    soon("refusals", refusals.wait_for(|count| *count >= Some(3))).await.unwrap();
    denied.session.accept_multis();
    assert_eq!(denied.until_written().await, before);
    denied.until_nothing_is_told().await;
    let log = captured.text();
    assert_eq!(log.matches("made again with all that it held").count(), 1, "{log}");
    denied.gate.ask_stop();
    soon("the end of the duty", serving).await.unwrap();
}

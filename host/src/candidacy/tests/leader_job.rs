//! What a leader job's term leaves in the job's run state.

use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use tokio::runtime::Handle;

use super::*;
use crate::candidacy::{LeaderJob, leader_run_id};
use crate::config::Layout;
use crate::history::{History, Outcome, RunRecord, RunState, Running};
use crate::registry::{Build, JobId, JobSpec, Limits, Names, OnReturn, Secrets, TermRules, Trigger};
use crate::runtime::tests::{OK, guest};
use crate::runtime::{Runtime, RuntimeSettings};

const RUNS: &str = "/zoo/runs/acme/job";

fn job(store: &tempfile::TempDir, lock_delay: Duration) -> LeaderJob {
    let rules = TermRules { lock_delay_ms: lock_delay.as_millis() as u64, ..TermRules::default() };
    let runtime =
        Runtime::new(RuntimeSettings { max_runs: 2, ..RuntimeSettings::default() }, Handle::current(), clock::system());
    let runtime = runtime.unwrap();
    let digest = runtime.admit(&guest(OK)).unwrap().digest;
    let lasting = Build { digest: digest.clone(), metered: false, lasting: true };
    let store = Arc::new(LocalFileSystem::new_with_prefix(store.path()).unwrap());
    LeaderJob {
        spec: JobSpec {
            id: JobId::new("acme", "job").unwrap(),
            component: digest,
            trigger: Trigger::Leader { election: None, names: Names::Kazoo, on_return: OnReturn::Stop, rules },
            limits: Limits::LEADER,
            config: Default::default(),
            secrets: Default::default(),
            http: Default::default(),
            paused: None,
        },
        component: runtime.prepare(&lasting, &guest(OK)).unwrap(),
        election: ELECTION.to_owned(),
        host: "a".to_owned(),
        runtime,
        history: History::new(store, "a", clock::system()),
        layout: Layout::new("/zoo"),
        secrets: Secrets::new(None, Layout::new("/zoo")),
        tenants: tokio::sync::watch::channel(Default::default()).1,
        clock: clock::system(),
    }
}

/// The run that a host began in a term that it never told the end of.
fn abandoned() -> RunState {
    let record = RunRecord {
        run: "acme/job/term-1".to_owned(),
        attempt: 1,
        tick: None,
        host: "gone".to_owned(),
        token: 1,
        started: Timestamp::UNIX_EPOCH,
        ended: None,
        outcome: None,
        detail: String::new(),
        usage: None,
    };
    RunState { running: Some(Running { record, nonce: String::new() }), ..RunState::default() }
}

/// A place whose job has this run state, a host that stands for it, and what it keeps.
struct Job {
    place: Place,
    host: Host,
    history: History,
    candidate: Candidate,
    _store: tempfile::TempDir,
}

impl Job {
    /// The host's next `lost` replies are lost.
    async fn stand(timeout: Duration, state: RunState, lock_delay: Duration, lost: u32) -> Self {
        Job::stand_in(Place::new(timeout).await, state, lock_delay, lost, Host::candidacy).await
    }

    async fn stand_in(
        place: Place,
        state: RunState,
        lock_delay: Duration,
        lost: u32,
        candidacy: impl FnOnce(&Host) -> Candidacy,
    ) -> Self {
        let store = tempfile::tempdir().unwrap();
        ensure_path(place.onlooker.as_ref(), RUNS).await.unwrap();
        place.onlooker.set(RUNS, &state.to_bytes(), None).await.unwrap();
        let host = place.host("a").await;
        let candidacy = Candidacy { on_return: silverback_election::OnReturn::Stop, ..candidacy(&host) };
        let job = Arc::new(job(&store, lock_delay));
        let history = job.history.clone();
        // The contender is made first: its reply may be lost too, and is no matter here.
        place.embedded.lose_replies(host.session(), lost).await.unwrap();
        let candidate = Candidate::stand(host.member.clone(), candidacy, job);
        Job { place, host, history, candidate, _store: store }
    }

    async fn until_led(&self) {
        until(&self.candidate, |standing| matches!(standing, Standing::Leading { .. })).await;
    }

    async fn state(&self) -> (RunState, i32) {
        let (value, stat) = self.place.onlooker.get(RUNS).await.unwrap();
        (RunState::from_bytes(&value).unwrap(), stat.version)
    }

    /// The newest record that this host has of the job, once it has one that ended.
    async fn record(&self) -> RunRecord {
        soon("a record", async {
            loop {
                assert!(self.history.settle(HANGS).await);
                let newest = self.history.own_runs(&id(), 1).await.unwrap().pop();
                if let Some(record) = newest.filter(|record| record.ended.is_some()) {
                    return record;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

fn id() -> JobId {
    JobId::new("acme", "job").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terms_end_is_told_and_the_one_before_that_was_not_is_unknown_whatever_reply_is_lost() {
    for (lost, lock_delay_ms) in [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 1)] {
        let case = format!("{lost} lost, {lock_delay_ms} ms");
        let job = Job::stand(CALM, abandoned(), Duration::from_millis(lock_delay_ms), lost).await;
        soon("the end", job.candidate.ended()).await;

        let (state, version) = job.state().await;
        let told: Vec<_> = state.outcomes.iter().map(|record| (record.run.as_str(), record.outcome.unwrap())).collect();
        let run = leader_run_id(&id(), state.outcomes[0].token);
        assert_eq!(told, [(run.as_str(), Outcome::Succeeded), ("acme/job/term-1", Outcome::Unknown)], "{case}");
        assert_eq!((state.running, version), (None, 3), "{case}");
        assert!(job.history.settle(HANGS).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_unclean_end_the_guest_starts_a_lock_delay_after_the_grant_and_its_record_says_why() {
    let lock_delay = Duration::from_millis(400);
    let job = Job::stand(CALM, abandoned(), lock_delay, 0).await;
    job.until_led().await;
    let granted = clock::system().boot();
    assert_eq!(job.state().await, (abandoned(), 1), "nothing is begun while it waits");
    soon("the end", job.candidate.ended()).await;
    // The grant was a moment before we heard of it.
    assert!(clock::system().boot() - granted >= lock_delay * 9 / 10);
    let why = "host `gone` began acme/job/term-1 and did not release it in order";
    let detail = format!("(started after the lock delay of 400 ms, since {why})");
    let record = job.record().await;
    assert!(record.detail.ends_with(&detail), "{record:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clean_end_nobody_waits() {
    let record = RunRecord { outcome: Some(Outcome::Succeeded), ..abandoned().running.unwrap().record };
    let clean = RunState { outcomes: [record].into(), ..RunState::default() };
    let job = Job::stand(CALM, clean, HANGS * 10, 0).await;
    soon("the end", job.candidate.ended()).await;
    assert_eq!(job.record().await.outcome, Some(Outcome::Succeeded));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_while_it_waits_starts_no_guest_and_leaves_the_wait_to_the_next() {
    let job = Job::stand(CALM, abandoned(), HANGS * 10, 0).await;
    job.until_led().await;
    job.candidate.leave();
    soon("the end", job.candidate.ended()).await;
    assert_eq!(job.state().await, (abandoned(), 1));
    assert_eq!(job.place.queue().await, [""; 0]);
    let record = job.record().await;
    assert_eq!(record.outcome, Some(Outcome::Skipped));
    assert!(record.detail.contains("lock delay of 200000 ms") && record.detail.contains("drains"), "{record:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_whose_beginning_cannot_be_written_in_time_starts_no_guest() {
    let job = Job::stand(Duration::from_secs(1), abandoned(), Duration::from_millis(100), 0).await;
    job.until_led().await;
    job.place.embedded.disconnect(job.host.session()).await.unwrap();
    until(&job.candidate, |standing| *standing == Standing::Leaving).await;
    let record = job.record().await;
    assert_eq!(record.outcome, Some(Outcome::Skipped));
    assert!(record.detail.contains("lease ran out"), "{record:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_that_is_passed_on_leaves_a_record_that_says_why_and_the_run_state_as_it_was() {
    let place = Place::new(CALM).await;
    let _seen = place.host("b").await;
    let (first, _) = place.foreign("k__lock__").await;
    let job = Job::stand_in(place, abandoned(), HANGS, 0, |host| host.preferring(&["b"], HANGS * 10)).await;
    until(&job.candidate, waits).await;
    let (_preferred, _) = job.place.foreign_as("p__lock__", "b").await;
    first.close().await;
    let record = job.record().await;
    assert_eq!(record.outcome, Some(Outcome::Skipped));
    assert_eq!(record.detail, "the guest was not started: a preferred host stands in the queue");
    // Though a function that returns is not run again.
    job.place.until_queue(&["b", "a"]).await;
    assert_eq!(job.state().await, (abandoned(), 1));
}

//! What a leader job's term leaves in the job's run state.

use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use tokio::runtime::Handle;

use super::*;
use crate::candidacy::{LeaderJob, leader_run_id};
use crate::config::Layout;
use crate::history::{History, Outcome, RunRecord, RunState, Running};
use crate::registry::{JobId, JobSpec, Limits, OnReturn, Trigger};
use crate::runtime::tests::{OK, guest};
use crate::runtime::{Runtime, RuntimeSettings};

const RUNS: &str = "/zoo/runs/acme/job";

fn job(store: &tempfile::TempDir) -> LeaderJob {
    let runtime =
        Runtime::new(RuntimeSettings { max_runs: 2, ..RuntimeSettings::default() }, Handle::current(), clock::system());
    let runtime = runtime.unwrap();
    let digest = runtime.admit(&guest(OK)).unwrap().digest;
    let store = Arc::new(LocalFileSystem::new_with_prefix(store.path()).unwrap());
    LeaderJob {
        spec: JobSpec {
            id: JobId::new("acme", "job").unwrap(),
            component: digest.clone(),
            trigger: Trigger::Leader { election: None, on_return: OnReturn::Stop },
            limits: Limits::LEADER,
            config: Default::default(),
            paused: false,
        },
        component: runtime.prepared(&digest).unwrap(),
        election: ELECTION.to_owned(),
        host: "a".to_owned(),
        runtime,
        history: History::new(store, "a", clock::system()),
        layout: Layout::new("/zoo"),
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
    };
    RunState { running: Some(Running { record, nonce: String::new() }), ..RunState::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terms_end_is_told_and_the_one_before_that_was_not_is_unknown_whatever_reply_is_lost() {
    for lost in [0, 1, 2] {
        let (place, store) = (Place::new(CALM).await, tempfile::tempdir().unwrap());
        ensure_path(place.onlooker.as_ref(), RUNS).await.unwrap();
        place.onlooker.set(RUNS, &abandoned().to_bytes(), None).await.unwrap();
        let host = place.host("a").await;
        let candidacy = Candidacy { on_return: silverback_election::OnReturn::Stop, ..host.candidacy() };
        let job = Arc::new(job(&store));
        let history = job.history.clone();
        // The contender is made first: its reply may be lost too, and is no matter here.
        place.embedded.lose_replies(host.session(), lost).await.unwrap();
        let candidate = Candidate::stand(host.member.clone(), candidacy, job);
        soon("the end", candidate.ended()).await;

        let (value, stat) = place.onlooker.get(RUNS).await.unwrap();
        let state = RunState::from_bytes(&value).unwrap();
        let told: Vec<_> = state.outcomes.iter().map(|record| (record.run.as_str(), record.outcome.unwrap())).collect();
        let run = leader_run_id(&JobId::new("acme", "job").unwrap(), state.outcomes[0].token);
        assert_eq!(told, [(run.as_str(), Outcome::Succeeded), ("acme/job/term-1", Outcome::Unknown)], "{lost} lost");
        assert_eq!((state.running, stat.version), (None, 3), "{lost} lost");
        assert!(history.settle(HANGS).await);
    }
}

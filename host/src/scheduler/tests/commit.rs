//! A run state that is changed on a connection that breaks, beside others.

use super::*;
use crate::capability::fakes::{CONTENDER, Cut, FakeSession, TOKEN, term};
use crate::coordinator::{Error, Op};
use crate::history::Running;
use crate::runtime::StateWrite;
use crate::scheduler::finish::finish;
use crate::scheduler::ledger::{Ledger, Setback};

const STATE: &str = "/zoo/runs/acme/report";
const JOB: &str = "/zoo/jobs/acme/report";
const KEYS: &str = "/zoo/state/acme/report";

async fn ledger() -> (Ledger, Arc<Gate>, Arc<FakeSession>) {
    let (gate, session) = term(clock::system(), AMPLE);
    session.put("/zoo/runs/acme", b"");
    session.put(JOB, b"spec");
    session.put(KEYS, b"");
    (Ledger::load(gate.clone(), STATE.to_owned()).await.unwrap(), gate, session)
}

fn record() -> RunRecord {
    RunRecord {
        run: "acme/report/1".to_owned(),
        attempt: 1,
        tick: None,
        host: "a".to_owned(),
        token: TOKEN,
        started: Timestamp::UNIX_EPOCH,
        ended: None,
        outcome: None,
        detail: String::new(),
    }
}

fn running() -> RunState {
    let running = Running { record: record(), nonce: "n".to_owned() };
    RunState { running: Some(running), ..RunState::default() }
}

fn unchanged() -> Op {
    Op::Check { path: JOB.to_owned(), version: Some(0) }
}

fn write(key: &str, value: Option<&[u8]>) -> StateWrite {
    StateWrite { path: format!("{KEYS}/{key}"), value: value.map(<[u8]>::to_vec) }
}

fn kept(session: &FakeSession) -> Option<RunState> {
    session.value(STATE).map(|value| RunState::from_bytes(&value).unwrap())
}

/// A run from begin to finish, with the connection cut as told at each multi.
async fn run_through(cuts: [&[Cut]; 2]) {
    let (mut ledger, _gate, session) = ledger().await;
    session.put(&format!("{KEYS}/there"), b"old");
    session.put(&format!("{KEYS}/goes"), b"old");
    cuts[0].iter().for_each(|cut| session.cut(*cut));
    ledger.commit(running(), Some(&unchanged()), &[]).await.unwrap();
    assert_eq!(kept(&session), Some(running()));
    let writes = [write("goes", None), write("never", None), write("new", Some(b"1")), write("there", Some(b"2"))];
    cuts[1].iter().for_each(|cut| session.cut(*cut));
    let (finished, outcome, _) = finish(&mut ledger, record(), Outcome::Succeeded, "done".to_owned(), &writes).await;
    finished.unwrap();
    assert_eq!(outcome, Outcome::Succeeded);
    let state = kept(&session).unwrap();
    assert_eq!((ring(&state), state.running), (vec![(None, Some(Outcome::Succeeded))], None));
    let value = |key: &str| session.value(&format!("{KEYS}/{key}"));
    assert_eq!(
        [value("goes"), value("never"), value("new"), value("there")],
        [None, None, Some(b"1".into()), Some(b"2".into())]
    );
    let (_, stat) = session.get(STATE).await.unwrap();
    assert_eq!(stat.version, 1, "something was done twice");
}

#[tokio::test]
async fn begin_and_finish_are_done_once_wherever_the_connection_breaks() {
    use Cut::{After, Before};
    for cuts in
        [&[][..], &[Before], &[After], &[Before, Before, After], &[Before, Before, Before, Before, Before, Before]]
    {
        run_through([cuts, &[]]).await;
        run_through([&[], cuts]).await;
        run_through([cuts, cuts]).await;
    }
}

#[tokio::test]
async fn nothing_begins_for_a_job_that_has_changed_or_gone() {
    for change in [(|session| session.put(JOB, b"another")) as fn(&FakeSession), |session| session.remove(JOB)] {
        let (mut ledger, _gate, session) = ledger().await;
        change(&session);
        let begun = ledger.commit(running(), Some(&unchanged()), &[]).await;
        assert!(matches!(begun, Err(Setback::JobChanged)), "{begun:?}");
        assert_eq!(kept(&session), None);
    }
}

#[tokio::test]
async fn a_state_that_somebody_else_changed_or_deleted_is_left_alone() {
    let (mut ledger, _gate, session) = ledger().await;
    ledger.commit(running(), Some(&unchanged()), &[]).await.unwrap();
    session.race(STATE, b"{}");
    let finished = ledger.commit(RunState::default(), None, &[write("k", Some(b"1"))]).await;
    assert!(matches!(finished, Err(Setback::StateChanged)), "{finished:?}");
    assert_eq!(session.value(STATE), Some(b"{}".to_vec()));
    session.remove(STATE);
    let (finished, outcome, detail) =
        finish(&mut ledger, record(), Outcome::Succeeded, String::new(), &[write("k", Some(b"1"))]).await;
    assert!(matches!(finished, Err(Setback::StateChanged)), "{finished:?}");
    assert_eq!(outcome, Outcome::Failed);
    assert_eq!(
        detail,
        "it ended as `succeeded`, and nothing of it was kept: the job's run state was changed or deleted"
    );
    assert_eq!((session.value(STATE), session.value(&format!("{KEYS}/k"))), (None, None));
}

#[tokio::test]
async fn the_writes_of_a_run_that_ends_after_its_term_are_refused() {
    let (mut ledger, _gate, session) = ledger().await;
    ledger.commit(running(), Some(&unchanged()), &[]).await.unwrap();
    session.remove(CONTENDER);
    let (finished, outcome, detail) =
        finish(&mut ledger, record(), Outcome::Succeeded, String::new(), &[write("k", Some(b"1"))]).await;
    assert!(matches!(finished, Err(Setback::Lost)), "{finished:?}");
    assert_eq!(outcome, Outcome::LostLeadership);
    assert_eq!(detail, "it ended as `succeeded` after the term was over, and nothing of it was kept");
    assert_eq!((kept(&session), session.value(&format!("{KEYS}/k"))), (Some(running()), None));
}

#[tokio::test]
async fn a_term_that_is_over_begins_nothing_and_still_says_how_a_run_ended() {
    let (mut ledger, gate, session) = ledger().await;
    ledger.commit(running(), Some(&unchanged()), &[]).await.unwrap();
    gate.end();
    let begun = ledger.commit(running(), Some(&unchanged()), &[]).await;
    assert!(matches!(begun, Err(Setback::Lost)), "{begun:?}");
    ledger.commit(RunState::default(), None, &[]).await.unwrap();
    assert_eq!(kept(&session), Some(RunState::default()));
}

#[tokio::test]
async fn a_key_that_comes_between_the_look_and_the_write_is_looked_at_again() {
    let (mut ledger, _gate, session) = ledger().await;
    session.race(&format!("{KEYS}/k"), b"theirs");
    ledger.commit(running(), None, &[write("k", Some(b"ours"))]).await.unwrap();
    assert_eq!(session.value(&format!("{KEYS}/k")), Some(b"ours".to_vec()));
}

#[tokio::test]
async fn a_keys_directory_that_is_missing_is_made() {
    let (mut ledger, _gate, session) = ledger().await;
    session.remove(KEYS);
    ledger.commit(running(), None, &[write("k", Some(b"1"))]).await.unwrap();
    assert_eq!(session.value(&format!("{KEYS}/k")), Some(b"1".to_vec()));
}

#[tokio::test]
async fn writes_that_the_coordinator_refuses_fail_the_run_and_its_end_is_kept() {
    let place = Embedded::in_memory(clock::system(), AMPLE);
    let session = place.connect(HANGS).await.unwrap();
    for path in [CONTENDER, "/zoo/runs/acme", JOB, KEYS] {
        ensure_path(session.as_ref(), path).await.unwrap();
    }
    let lease = Lease::new(clock::system());
    lease.extend(clock::system().boot() + AMPLE);
    let gate = Gate::new(session.clone(), CONTENDER.to_owned(), TOKEN, "a".to_owned(), lease);
    let mut ledger = Ledger::load(gate, STATE.to_owned()).await.unwrap();
    ledger.commit(running(), Some(&unchanged()), &[]).await.unwrap();
    let large = vec![0; crate::coordinator::MAX_VALUE_BYTES + 1];
    let (finished, outcome, detail) =
        finish(&mut ledger, record(), Outcome::Succeeded, String::new(), &[write("k", Some(&large))]).await;
    finished.unwrap();
    assert_eq!(outcome, Outcome::Failed);
    assert!(detail.starts_with("it ended as `succeeded`, and its state writes were refused: "), "{detail}");
    let state = RunState::from_bytes(&session.get(STATE).await.unwrap().0).unwrap();
    assert_eq!((ring(&state), state.running), (vec![(None, Some(Outcome::Failed))], None));

    // The answer to a multi that is under way when its session goes never comes.
    place.expire(session.id()).await.unwrap();
    let (finished, outcome, _) = finish(&mut ledger, record(), Outcome::Succeeded, String::new(), &[]).await;
    assert!(matches!(finished, Err(Setback::Unknown)), "{finished:?}");
    assert_eq!(outcome, Outcome::Unknown);
    assert_eq!(session.get(STATE).await, Err(Error::Lost));
}

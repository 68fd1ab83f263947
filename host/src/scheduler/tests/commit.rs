//! Run states that are changed together, on a connection that breaks, beside others.

use super::*;
use crate::capability::fakes::{CONTENDER, Cut, FakeSession, term};
use crate::coordinator::{Error, MAX_VALUE_BYTES};
use crate::runtime::StateWrite;
use crate::scheduler::change::{Change, Setback, Unchanged, Written};
use crate::scheduler::commit::{Entry, commit};
use crate::telemetry::tests::Captured;

const KEYS: &str = "/zoo/state/acme/report";

/// Jobs that change together.
struct Many {
    gate: Arc<Gate>,
    session: Arc<FakeSession>,
}

fn many() -> Many {
    let (gate, session) = term(clock::system(), AMPLE);
    session.put("/zoo/runs/acme", b"");
    session.put(KEYS, b"");
    (0..8).for_each(|job| session.put(&job_path(job), b"spec"));
    Many { gate, session }
}

fn job_path(job: u32) -> String {
    format!("/zoo/jobs/acme/report-{job}")
}

fn state_path(job: u32) -> String {
    format!("/zoo/runs/acme/report-{job}")
}

/// The run state of a job becomes `data`, for the first time.
fn begin(job: u32, data: &str) -> (u32, Change) {
    (job, Change { version: None, condition: Some(Unchanged(0)), ..finish(job, data, vec![]).1 })
}

/// After that it becomes `data`, with these writes.
fn finish(job: u32, data: &str, writes: Vec<StateWrite>) -> (u32, Change) {
    let data = data.as_bytes().to_vec();
    let (path, job_path) = (state_path(job), job_path(job));
    (job, Change { path, data, version: Some(0), job: job_path, condition: None, recreates: false, writes })
}

fn write(key: &str, value: Option<&[u8]>) -> StateWrite {
    StateWrite { path: format!("{KEYS}/{key}"), value: value.map(<[u8]>::to_vec), added: None }
}

/// A run saw `sum` after it had added `added`.
fn addition(key: &str, sum: &str, added: u64) -> StateWrite {
    StateWrite { added: Some(added), ..write(key, Some(sum.as_bytes())) }
}

/// On their way, in the term of this gate.
fn entries(gate: &Arc<Gate>, changes: impl IntoIterator<Item = (u32, Change)>) -> Vec<Entry<u32>> {
    changes.into_iter().map(|(job, change)| Entry::new(job, gate.clone(), change)).collect()
}

impl Many {
    /// How each change went, by job.
    async fn commit(&self, changes: Vec<(u32, Change)>) -> BTreeMap<u32, Result<Written, Setback>> {
        let count = changes.len();
        let settled: BTreeMap<_, _> = commit(entries(&self.gate, changes)).await.into_iter().collect();
        assert_eq!(settled.len(), count, "each change is settled once");
        settled
    }

    fn kept(&self, job: u32) -> Option<String> {
        self.session.value(&state_path(job)).map(|value| String::from_utf8(value).unwrap())
    }

    fn key(&self, key: &str) -> Option<Vec<u8>> {
        self.session.value(&format!("{KEYS}/{key}"))
    }
}

/// Three runs from begin to finish, with the connection cut as told at the multis.
async fn run_through(cuts: [&[Cut]; 2]) {
    let many = many();
    many.session.put(&format!("{KEYS}/there"), b"old");
    many.session.put(&format!("{KEYS}/goes"), b"old");
    cuts[0].iter().for_each(|cut| many.session.cut(*cut));
    let begun = many.commit((0..3).map(|job| begin(job, "begun")).collect()).await;
    assert!(begun.values().all(|begun| matches!(begun, Ok(Written { version: 0 }))), "{begun:?}");
    let writes = vec![write("goes", None), write("never", None), write("new", Some(b"1")), write("there", Some(b"2"))];
    cuts[1].iter().for_each(|cut| many.session.cut(*cut));
    let finished = many.commit(vec![finish(0, "0", vec![]), finish(1, "1", writes), finish(2, "2", vec![])]).await;
    assert!(finished.values().all(|finished| matches!(finished, Ok(Written { version: 1 }))), "{finished:?}");
    for job in 0..3 {
        assert_eq!(many.kept(job), Some(job.to_string()));
        let (_, stat) = many.session.get(&state_path(job)).await.unwrap();
        assert_eq!(stat.version, 1, "something was done twice");
    }
    let keys = ["goes", "never", "new", "there"].map(|key| many.key(key));
    assert_eq!(keys, [None, None, Some(b"1".into()), Some(b"2".into())]);
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
async fn of_many_changes_only_those_fail_that_must() {
    let many = many();
    many.session.put(&job_path(1), b"another");
    many.session.remove(&job_path(3));
    many.session.put(&state_path(4), b"somebody else's");
    let settled = many.commit((0..6).map(|job| begin(job, "begun")).collect()).await;
    for (job, settled) in settled {
        let as_wanted = match job {
            1 => matches!(settled, Err(Setback::JobChanged)),
            3 => matches!(settled, Err(Setback::JobMissing)),
            4 => matches!(settled, Err(Setback::StateChanged)),
            _ => settled.is_ok(),
        };
        assert!(as_wanted, "job {job}: {settled:?}");
        assert_eq!(many.kept(job).as_deref() == Some("begun"), ![1, 3, 4].contains(&job), "job {job}");
    }
}

#[tokio::test]
async fn a_state_that_somebody_else_changed_is_left_alone_and_so_are_the_keys() {
    let many = many();
    many.commit(vec![begin(0, "begun"), begin(1, "begun")]).await;
    many.session.race(&state_path(0), b"theirs");
    let settled = many.commit(vec![finish(0, "0", vec![write("k", Some(b"1"))]), finish(1, "1", vec![])]).await;
    assert!(matches!((&settled[&0], &settled[&1]), (Err(Setback::StateChanged), Ok(_))), "{settled:?}");
    assert_eq!((many.kept(0).as_deref(), many.kept(1).as_deref(), many.key("k")), (Some("theirs"), Some("1"), None));
}

#[tokio::test]
async fn w2_a_deleted_state_is_made_again_unless_its_job_is_deleted_too() {
    let many = many();
    many.commit(vec![begin(0, "begun"), begin(1, "begun"), begin(2, "begun")]).await;
    (0..3).for_each(|job| many.session.remove(&state_path(job)));
    many.session.remove(&job_path(1));
    let captured = Captured::default();
    let _capturing = captured.start();
    let changes = vec![finish(0, "0", vec![write("k", Some(b"1"))]), finish(1, "1", vec![]), finish(2, "2", vec![])];
    let settled = many.commit(changes).await;
    assert!(matches!(settled[&0], Ok(Written { version: 0 })), "{settled:?}");
    assert!(matches!(settled[&1], Err(Setback::JobMissing)), "{settled:?}");
    assert!(matches!(settled[&2], Ok(Written { version: 0 })), "{settled:?}");
    assert_eq!((many.kept(0).as_deref(), many.key("k")), (Some("0"), Some(b"1".into())));
    assert_eq!((many.kept(1), many.kept(2).as_deref()), (None, Some("2")));
    // Only what was done is logged.
    let log = captured.text();
    let told = [0, 1, 2].map(|job| log.lines().filter(|line| line.contains(&state_path(job))).count());
    assert_eq!(told, [1, 0, 1], "{log}");
    // Its next change goes on from there.
    let next = Change { version: Some(0), ..finish(0, "again", vec![]).1 };
    assert!(matches!(many.commit(vec![(0, next)]).await[&0], Ok(Written { version: 1 })));
}

#[tokio::test]
async fn w2_a_state_is_made_again_with_its_directory() {
    let many = many();
    many.session.remove("/zoo/runs/acme");
    let settled = many.commit(vec![begin(0, "begun")]).await;
    assert!(matches!(settled[&0], Ok(Written { version: 0 })), "{settled:?}");
    assert_eq!(many.kept(0).as_deref(), Some("begun"));
}

#[tokio::test]
async fn nothing_of_a_term_whose_contender_is_gone_is_written() {
    let many = many();
    many.commit(vec![begin(0, "begun")]).await;
    many.session.remove(CONTENDER);
    let settled = many.commit(vec![finish(0, "0", vec![write("k", Some(b"1"))]), begin(1, "begun")]).await;
    assert!(settled.values().all(|settled| matches!(settled, Err(Setback::Lost))), "{settled:?}");
    assert_eq!((many.kept(0).as_deref(), many.kept(1), many.key("k")), (Some("begun"), None, None));
}

#[tokio::test]
async fn what_is_of_another_term_is_written_where_one_is_lost() {
    let many = many();
    let other = "/election/c-0000000001";
    many.session.put(other, b"host-a");
    let lease = Lease::new(clock::system());
    lease.extend(clock::system().boot() + AMPLE);
    let others = Gate::new(many.session.clone(), other.to_owned(), 8, "host-a".to_owned(), lease);
    many.session.remove(CONTENDER);
    let changes = |gate, jobs: [u32; 2]| entries(gate, jobs.map(|job| begin(job, "begun")));
    let mixed = changes(&many.gate, [0, 2]).into_iter().zip(changes(&others, [1, 3]));
    for (job, settled) in commit(mixed.flat_map(|(lost, led)| [lost, led]).collect()).await {
        assert_eq!(settled.is_ok(), job % 2 == 1, "job {job}: {settled:?}");
        assert_eq!(many.kept(job).is_some(), job % 2 == 1, "job {job}");
    }
}

#[tokio::test]
async fn a_term_that_is_over_begins_nothing_and_still_says_how_a_run_ended() {
    let many = many();
    many.commit(vec![begin(0, "begun")]).await;
    many.gate.end();
    let settled = many.commit(vec![begin(1, "begun"), finish(0, "0", vec![])]).await;
    assert!(matches!((&settled[&1], &settled[&0]), (Err(Setback::Lost), Ok(_))), "{settled:?}");
    assert_eq!((many.kept(1), many.kept(0).as_deref()), (None, Some("0")));
}

#[tokio::test]
async fn a_key_that_comes_between_the_look_and_the_write_is_looked_at_again() {
    let many = many();
    many.commit(vec![begin(0, "begun"), begin(1, "begun")]).await;
    many.session.race(&format!("{KEYS}/k"), b"theirs");
    let settled = many.commit(vec![finish(0, "0", vec![write("k", Some(b"ours"))]), finish(1, "1", vec![])]).await;
    assert!(settled.values().all(Result::is_ok), "{settled:?}");
    assert_eq!(many.key("k"), Some(b"ours".to_vec()));
}

#[tokio::test]
async fn a_keys_directory_that_is_missing_is_made() {
    let many = many();
    many.commit(vec![begin(0, "begun")]).await;
    many.session.remove(KEYS);
    let settled = many.commit(vec![finish(0, "0", vec![write("k", Some(b"1"))])]).await;
    assert!(settled[&0].is_ok(), "{settled:?}");
    assert_eq!(many.key("k"), Some(b"1".to_vec()));
}

/// A coordinator that refuses a multi as a whole.
#[tokio::test]
async fn of_a_batch_that_is_refused_only_the_change_is_refused_that_is_to_blame() {
    let place = Embedded::in_memory(clock::system(), AMPLE);
    let session = place.connect(HANGS).await.unwrap();
    for path in [CONTENDER, "/zoo/runs/acme", KEYS] {
        ensure_path(session.as_ref(), path).await.unwrap();
    }
    for job in 0..8 {
        ensure_path(session.as_ref(), &job_path(job)).await.unwrap();
    }
    let lease = Lease::new(clock::system());
    lease.extend(clock::system().boot() + AMPLE);
    let gate = Gate::new(session.clone(), CONTENDER.to_owned(), 7, "a".to_owned(), lease);
    let settled = commit(entries(&gate, (0..8).map(|job| begin(job, "begun")))).await;
    assert!(settled.iter().all(|(_, settled)| settled.is_ok()), "{settled:?}");
    let large = vec![0; MAX_VALUE_BYTES + 1];
    let changes = (0..8).map(|job| {
        let writes = if job == 5 { vec![write("k", Some(&large))] } else { vec![] };
        finish(job, "finished", writes)
    });
    for (job, settled) in commit(entries(&gate, changes)).await {
        assert_eq!(settled.is_ok(), job != 5, "job {job}: {settled:?}");
    }
    // The answer to a multi that is under way when its session goes never comes.
    place.expire(session.id()).await.unwrap();
    let again = Change { version: Some(1), ..finish(0, "again", vec![]).1 };
    let settled = commit(entries(&gate, [(0, again)])).await;
    assert!(matches!(settled[0].1, Err(Setback::Unknown)), "{settled:?}");
    assert_eq!(session.get(&state_path(0)).await, Err(Error::Lost));
}

/// Runs of one job beside each other, by `overlap = "allow"`.
#[tokio::test]
async fn what_two_runs_added_beside_each_other_is_all_there() {
    for cut in [None, Some(Cut::Before), Some(Cut::After)] {
        let many = many();
        many.session.put(&format!("{KEYS}/old"), b"40");
        many.commit(vec![begin(0, "both")]).await;
        // Both saw what was there before either ended.
        let writes = || vec![addition("new", "1", 1), addition("old", "41", 1)];
        many.commit(vec![finish(0, "one", writes())]).await;
        let (job, second) = finish(0, "none", writes());
        cut.into_iter().for_each(|cut| many.session.cut(cut));
        let settled = many.commit(vec![(job, Change { version: Some(1), ..second })]).await;
        assert!(matches!(settled[&0], Ok(Written { version: 2 })), "{settled:?}");
        assert_eq!(["new", "old"].map(|key| many.key(key)), [Some(b"2".into()), Some(b"42".into())]);
    }
}

#[tokio::test]
async fn what_is_no_number_any_more_is_not_added_to() {
    let many = many();
    many.session.put(&format!("{KEYS}/n"), b"words");
    many.commit(vec![begin(0, "begun")]).await;
    let settled = many.commit(vec![finish(0, "ended", vec![addition("n", "1", 1)])]).await;
    assert!(
        matches!(&settled[&0], Err(Setback::Refused(error)) if error.to_string().contains("no number")),
        "{settled:?}"
    );
    assert_eq!(many.key("n"), Some(b"words".into()));
}

//! The history against a folder, and against a store that fails.

use std::sync::atomic::AtomicI64;

use object_store::local::LocalFileSystem;
use tempfile::TempDir;

use super::*;
use crate::clock;

/// A wall clock that moves by hand, in milliseconds.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn boot(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

pub(super) struct Place {
    folder: TempDir,
    clock: Arc<Hand>,
    pub(super) job: JobId,
}

impl Place {
    pub(super) fn new() -> Self {
        let clock = Arc::new(Hand(AtomicI64::new(clock::system().wall().as_millisecond())));
        Place { folder: tempfile::tempdir().unwrap(), clock, job: JobId::new("acme", "nightly").unwrap() }
    }

    pub(super) fn host(&self, name: &str) -> History {
        self.host_that_folds_at(FOLD_AT, name)
    }

    /// A host with as little in its journal.
    fn host_that_folds_at(&self, bytes: usize, name: &str) -> History {
        let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(self.folder.path()).unwrap());
        History::folded_at(bytes, store.into(), name, self.clock.clone())
    }

    /// How many files there are in a folder of the store.
    fn files(&self, folder: &str) -> usize {
        let mut folders = vec![self.path().join(folder)];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() { folders.push(entry.path()) } else { files += 1 }
            }
        }
        files
    }

    pub(super) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(super) fn pass(&self, milliseconds: i64) {
        self.clock.0.fetch_add(milliseconds, Ordering::Relaxed);
    }

    pub(super) fn run(&self, host: &str, tick: &str) -> RunRecord {
        RunRecord {
            run: format!("acme/nightly/{tick}"),
            attempt: 1,
            tick: None,
            host: host.to_owned(),
            token: 7,
            started: self.clock.wall(),
            ended: None,
            outcome: None,
            detail: String::new(),
            usage: None,
        }
    }

    pub(super) fn line(&self, message: &str) -> LogLine {
        LogLine {
            time: self.clock.wall(),
            run: "acme/nightly/t".to_owned(),
            attempt: 1,
            level: LogLevel::Info,
            context: String::new(),
            message: message.to_owned(),
        }
    }
}

pub(super) fn names(runs: &[RunRecord]) -> Vec<(&str, Option<Outcome>)> {
    runs.iter().map(|run| (run.run.rsplit('/').next().unwrap(), run.outcome)).collect()
}

pub(super) fn said(lines: &[PlacedLine]) -> Vec<&str> {
    lines.iter().map(|line| line.line.message.as_str()).collect()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn runs_are_listed_newest_first_while_they_run_and_after_a_restart() {
    let place = Place::new();
    let history = place.host("a");
    let first = history.begin(&place.job, place.run("a", "2026-01-01T00:00:00Z"), KEPT_RUNS);
    place.pass(10);
    let second = history.begin(&place.job, place.run("a", "2026-01-01T00:00:01Z"), KEPT_RUNS);
    first.finish(Outcome::Succeeded, "3 rows", place.clock.wall(), None).await;

    let ran = [("2026-01-01T00:00:01Z", None), ("2026-01-01T00:00:00Z", Some(Outcome::Succeeded))];
    assert_eq!(names(&history.own_runs(&place.job, 10).await.unwrap()), ran);
    assert_eq!(names(&history.own_runs(&place.job, 1).await.unwrap()), ran[..1]);

    second.finish(Outcome::Failed, "no", place.clock.wall(), None).await;
    assert!(history.settle(PATIENCE).await);
    let again = place.host("a").own_runs(&place.job, 10).await.unwrap();
    assert_eq!((again[0].outcome, again[0].detail.as_str()), (Some(Outcome::Failed), "no"));
    assert_eq!((again[1].outcome, again[1].detail.as_str()), (Some(Outcome::Succeeded), "3 rows"));
}

#[tokio::test]
async fn a_run_whose_host_was_killed_is_unknown_once_the_host_is_back_and_never_running_for_ever() {
    let place = Place::new();
    let killed = place.host("a");
    let record = place.run("a", "t");
    killed.0.append(&place.job, &Entry::new(record, KEPT_RUNS)).await.unwrap();
    place.pass(1000);
    let runs = place.host("a").own_runs(&place.job, 10).await.unwrap();
    assert_eq!(names(&runs), [("t", Some(Outcome::Unknown))]);

    let dropped = place.host("b");
    drop(dropped.begin(&place.job, place.run("b", "u"), KEPT_RUNS));
    assert!(dropped.settle(PATIENCE).await);
    assert_eq!(names(&dropped.own_runs(&place.job, 10).await.unwrap()), [("u", Some(Outcome::Unknown))]);
}

#[tokio::test]
async fn lines_are_followed_live_and_read_back_by_another_host() {
    let place = Place::new();
    let history = place.host("a");
    let run = history.begin(&place.job, place.run("a", "t"), KEPT_RUNS);
    let sink = run.log_sink();
    let start = history.now();
    let (told, _) = tokio::join!(history.line_after(&place.job, start), async {
        tokio::task::yield_now().await;
        sink(place.line("one"));
    });
    let () = told;
    sink(place.line("two"));

    let live = history.own_lines(&place.job, Some(start), 10).await.unwrap();
    assert_eq!(said(&live), ["one", "two"]);
    assert!(live[0].stamp < live[1].stamp, "lines of the same moment keep their order");
    let rest = history.own_lines(&place.job, Some(live[0].stamp), 10).await.unwrap();
    assert_eq!(said(&rest), ["two"]);

    run.finish(Outcome::Succeeded, "", place.clock.wall(), None).await;
    let other = place.host("b");
    assert_eq!(other.hosts(&place.job).await.unwrap(), BTreeSet::from(["a".to_owned()]));
    assert_eq!(other.stored_lines(&place.job, "a", None, 10).await.unwrap(), live);
    assert_eq!(said(&other.stored_lines(&place.job, "a", None, 1).await.unwrap()), ["two"]);
    assert_eq!(said(&other.stored_lines(&place.job, "a", Some(live[0].stamp), 10).await.unwrap()), ["two"]);
    assert_eq!(said(&other.stored_lines(&place.job, "a", Some(start), 1).await.unwrap()), ["one"]);
}

#[tokio::test]
async fn a_flood_is_cut_counted_and_marked() {
    let place = Place::new();
    let history = place.host("a");
    let run = history.begin(&place.job, place.run("a", "t"), KEPT_RUNS);
    let sink = run.log_sink();
    let message = "x".repeat(1024);
    for _ in 0..1000 {
        sink(place.line(&message));
    }
    run.finish(Outcome::Succeeded, "", place.clock.wall(), None).await;
    assert!(history.settle(PATIENCE).await);
    let lines = place.host("b").stored_lines(&place.job, "a", None, 2000).await.unwrap();
    assert_eq!(lines.len(), 257);
    let mark = &lines.last().unwrap().line;
    assert_eq!(mark.context, "silverback");
    assert_eq!(mark.message, "744 lines dropped: the run said more than the host keeps");
}

#[tokio::test]
async fn only_the_newest_runs_of_a_host_are_kept_with_their_logs() {
    let place = Place::new();
    let history = place.host_that_folds_at(16 * 1024, "a");
    let other = place.host("b");
    other.record(&place.job, place.run("b", "t"), KEPT_RUNS);
    for batch in 0..20 {
        for tick in batch * 20..(batch + 1) * 20 {
            place.pass(1000);
            let run = history.begin(&place.job, place.run("a", &format!("t{tick}")), KEPT_RUNS);
            run.log_sink()(place.line(&format!("line {tick}")));
            run.ended(Outcome::Succeeded, "", place.clock.wall(), None);
        }
        assert!(history.settle(PATIENCE).await);
    }
    assert!(other.settle(PATIENCE).await);
    let runs = history.own_runs(&place.job, 1000).await.unwrap();
    assert_eq!((names(&runs)[0].0, runs.len()), ("t399", KEPT_RUNS));
    let lines = place.host("c").stored_lines(&place.job, "a", None, 1000).await.unwrap();
    let said = said(&lines);
    assert!(said.contains(&"line 399") && said.contains(&"line 200"), "each kept run has its log");
    assert!(!said.contains(&"line 100"), "and of those that are long gone there is none: {said:?}");
    assert_eq!(history.stored_runs(&place.job, "b", 10).await.unwrap().len(), 1, "another host's are its own");
}

#[tokio::test]
async fn a_job_keeps_as_many_runs_as_it_says() {
    for keep in [1, 5, 30] {
        let place = Place::new();
        let history = place.host_that_folds_at(4096, "a");
        for tick in 0..40 {
            place.pass(1000);
            let record = place.run("a", &format!("t{tick}"));
            let _ = match tick % 2 {
                0 => history.begin(&place.job, record, keep).ended(Outcome::Succeeded, "", place.clock.wall(), None),
                _ => history.record(&place.job, record, keep),
            };
        }
        assert!(history.settle(PATIENCE).await);
        let runs = history.own_runs(&place.job, 1000).await.unwrap();
        assert_eq!((names(&runs)[0].0, runs.len()), ("t39", keep), "the newest stay");
    }
}

#[tokio::test]
async fn a_job_that_comes_to_keep_less_loses_the_oldest() {
    let place = Place::new();
    let history = place.host("a");
    for (tick, keep) in (0..30).map(|tick| (tick, if tick < 29 { 200 } else { 3 })) {
        place.pass(1000);
        history.record(&place.job, place.run("a", &format!("t{tick}")), keep);
    }
    assert!(history.settle(PATIENCE).await);
    let runs = history.own_runs(&place.job, 1000).await.unwrap();
    assert_eq!(names(&runs).iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["t29", "t28", "t27"]);
}

#[tokio::test]
async fn w5_records_wait_for_a_store_that_fails_and_runs_do_not() {
    let place = Place::new();
    let history = place.host("a");
    many(&place, &history, 10);
    assert!(history.settle(PATIENCE).await);
    let stored = std::fs::read_dir(place.path().join("journal/a")).unwrap().count();
    // The next segment can't be written: a file is where its folder was.
    let (journal, away) = (place.path().join("journal"), place.path().join("away"));
    std::fs::rename(&journal, &away).unwrap();
    std::fs::write(&journal, b"in the way").unwrap();
    let run = history.begin(&place.job, place.run("a", "t"), KEPT_RUNS);
    run.log_sink()(place.line("said meanwhile"));
    run.finish(Outcome::Succeeded, "", place.clock.wall(), None).await;
    assert!(history.failed_writes() > 0 && !history.settle(Duration::ZERO).await);
    std::fs::remove_file(&journal).unwrap();
    std::fs::rename(&away, &journal).unwrap();
    assert!(history.settle(PATIENCE).await, "it goes on by itself");
    assert_eq!(std::fs::read_dir(journal.join("a")).unwrap().count(), stored, "it goes on where it was");
    let later = place.host("b");
    let runs = later.stored_runs(&place.job, "a", 10).await.unwrap();
    assert_eq!(names(&runs), [("t", Some(Outcome::Succeeded))]);
    assert_eq!(said(&later.stored_lines(&place.job, "a", None, 10).await.unwrap()), ["said meanwhile"]);
    let before = JobId::new("acme", "job-0").unwrap();
    assert_eq!(later.stored_runs(&before, "a", 10).await.unwrap().len(), 1, "what was stored before is still there");
}

#[tokio::test]
async fn w5_a_segment_that_was_cut_off_costs_its_last_line_alone() {
    let place = Place::new();
    let history = place.host("a");
    let jobs = many(&place, &history, 10);
    assert!(history.settle(PATIENCE).await);
    let segment = std::fs::read_dir(place.path().join("journal/a")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&segment).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in [last_line + 3, whole.len() - 20] {
        std::fs::write(&segment, &whole[..end]).unwrap();
        let later = place.host_that_folds_at(1, "b");
        let mut found = 0;
        for job in &jobs {
            found += later.stored_runs(job, "a", 10).await.unwrap().len();
        }
        assert_eq!(found, 9, "cut at {end}");
    }
}

/// Some runs of some jobs, each of which says a line. Gives the jobs.
fn many(place: &Place, history: &History, runs: usize) -> Vec<JobId> {
    let jobs: Vec<JobId> = (0..10).map(|job| JobId::new("acme", &format!("job-{job}")).unwrap()).collect();
    for tick in 0..runs {
        place.pass(10);
        let job = &jobs[tick % jobs.len()];
        let run = history.begin(job, place.run("a", &format!("t{tick}")), KEPT_RUNS);
        run.log_sink()(place.line(&format!("line {tick}")));
        run.ended(Outcome::Succeeded, "", place.clock.wall(), None);
    }
    jobs
}

#[tokio::test]
async fn many_runs_make_few_objects() {
    let place = Place::new();
    let history = place.host("a");
    many(&place, &history, 1000);
    assert!(history.settle(PATIENCE).await);
    let objects = place.files("");
    assert!((1..=10).contains(&objects), "1000 runs made {objects} objects");
    assert_eq!(history.failed_writes(), 0);
}

#[tokio::test]
async fn a_fold_changes_nothing_that_can_be_read() {
    let (plain, folded) = (Place::new(), Place::new());
    folded.clock.0.store(plain.clock.0.load(Ordering::Relaxed), Ordering::Relaxed);
    let (reference, history) = (plain.host("a"), folded.host_that_folds_at(1, "a"));
    let jobs = many(&plain, &reference, 1000);
    many(&folded, &history, 1000);
    assert!(reference.settle(PATIENCE).await && history.settle(PATIENCE).await);
    assert_eq!((plain.files("history"), folded.files("journal")), (0, 0), "one has all in the journal, one nothing");
    let objects = folded.files("history");
    assert!((50..=60).contains(&objects), "100 runs a job, 20 an object, made {objects}");
    let (reference, history) = (plain.host("b"), folded.host("b"));
    for job in &jobs {
        let runs = history.stored_runs(job, "a", 1000).await.unwrap();
        assert_eq!((runs.len(), &runs), (100, &reference.stored_runs(job, "a", 1000).await.unwrap()));
        let newest = history.stored_runs(job, "a", 7).await.unwrap();
        assert_eq!(newest, runs[..7]);
        let lines = history.stored_lines(job, "a", None, 1000).await.unwrap();
        assert_eq!((lines.len(), &lines), (100, &reference.stored_lines(job, "a", None, 1000).await.unwrap()));
        assert_eq!(history.stored_lines(job, "a", None, 7).await.unwrap(), lines[93..]);
        let after = Some(lines[49].stamp);
        assert_eq!(history.stored_lines(job, "a", after, 7).await.unwrap(), lines[50..57]);
    }
}

#[tokio::test]
async fn a_run_that_is_under_way_while_the_journal_is_folded_has_its_begin_and_its_end_told() {
    let place = Place::new();
    let history = place.host_that_folds_at(1, "a");
    let record = place.run("a", "long");
    history.0.remember(&place.job, &record);
    history.0.append(&place.job, &Entry::new(record.clone(), KEPT_RUNS)).await.unwrap();
    assert!(history.settle(PATIENCE).await);
    place.pass(1000);
    history.record(&place.job, place.run("a", "skipped"), KEPT_RUNS);
    assert!(history.settle(PATIENCE).await);
    let stored = async || place.host("b").stored_runs(&place.job, "a", 10).await.unwrap();
    assert_eq!((place.files("history"), place.files("journal")), (1, 1), "what may still change stays in the journal");
    assert_eq!(names(&stored().await), [("skipped", None), ("long", None)]);
    let ended = RunRecord { ended: Some(place.clock.wall()), outcome: Some(Outcome::Succeeded), ..record };
    history.0.append_last(&place.job, Entry::new(ended, KEPT_RUNS)).await;
    assert!(history.settle(PATIENCE).await);
    assert_eq!(names(&stored().await), [("skipped", None), ("long", Some(Outcome::Succeeded))]);
}

#[tokio::test]
async fn a_fold_that_fails_loses_nothing_and_is_done_when_the_store_is_mended() {
    let place = Place::new();
    let history = place.host_that_folds_at(1, "a");
    let in_the_way = place.path().join("history");
    std::fs::write(&in_the_way, b"").unwrap();
    let jobs = many(&place, &history, 100);
    assert!(history.settle(PATIENCE).await);
    assert!(history.failed_writes() > 0 && place.files("journal") > 0);
    std::fs::remove_file(&in_the_way).unwrap();
    let restarted = place.host_that_folds_at(1, "a");
    place.pass(1000);
    restarted.record(&place.job, place.run("a", "after"), KEPT_RUNS);
    assert!(restarted.settle(PATIENCE).await);
    assert_eq!(place.files("journal"), 0);
    for job in &jobs {
        assert_eq!(restarted.own_runs(job, 100).await.unwrap().len(), 10);
    }
}

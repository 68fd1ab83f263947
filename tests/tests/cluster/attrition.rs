//! Runs without number, of components that behave and of components that don't, leave nothing behind in their host: no memory,
//! no thread, no descriptor, no file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use silverback_tests::cli::RunRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::place::guest;
use silverback_tests::soak;
use silverback_tests::wait::await_that;

/// Each ticks every second.
const JOBS: usize = 100;
/// So often each job runs first: the host's rings of records and outcomes are full then.
const WARM_UP: usize = 30;
/// So often that is done before a long run: what is resident of an idle host goes up and down by a fifth from one such round to
/// the next (74 to 82 MB in six), with how many runs were under way at once.
const ROUNDS: usize = 6;
/// How much more memory may be resident than after the warm-up, in percent. A short run is one among other tests: how late runs
/// come, and so how many are under way at once, is theirs to decide, and an allocator keeps what the most of them took.
const SLACK: usize = 10;
const SLACK_OF_SHORT: usize = 100;

/// What a job does: a guest, lines of its limits, and of its config; and how its runs end, and why.
const WAYS: [(&str, &str, &str, &str, &str); 10] = [
    ("chore", "", "", "succeeded", ""),
    ("nothing", "", "", "succeeded", ""),
    ("chore", "", "fails = 'for-good'", "failed", "permanent: "),
    ("chore", "memory = '8MiB'", "takes-ms = '50'", "succeeded", ""),
    ("misbehave", "", "behave = 'trap'", "failed", "it panicked"),
    ("misbehave", "", "behave = 'error'", "failed", "an error, as asked"),
    ("misbehave", "memory = '8MiB'", "behave = 'allocate'", "failed", "is over the limit of 8MiB"),
    ("misbehave", "cpu = '10ms'", "behave = 'spin'", "failed", "is over the limit of 10ms"),
    ("misbehave", "time = '100ms'", "behave = 'sleep'", "timed-out", "100 ms"),
    (
        "misbehave",
        "transfer = '256KiB'\nlog = '64KiB'",
        "behave = 'flood-log'",
        "failed",
        "is over the limit of 256KiB",
    ),
];
/// Of those, the ones that count their runs in their state.
const COUNTING: [usize; 2] = [0, 3];

#[test]
fn runs_without_number_leave_nothing_behind() {
    let mut cluster = Cluster::embedded();
    let rounds = soak::times(1, ROUNDS);
    let warm_ups: Vec<Footprint> = (1..=rounds)
        .map(|round| {
            run_each(&mut cluster, round * WARM_UP);
            Footprint::of(&mut cluster)
        })
        .collect();
    let before = warm_ups.into_iter().max_by_key(|footprint| footprint.resident).expect("there is a round");
    let times = soak::times(15, 1000);
    run_each(&mut cluster, rounds * WARM_UP + times);
    let most = before.resident + before.resident * soak::times(SLACK_OF_SHORT, SLACK) as u64 / 100;
    let at_rest = |after: &Footprint| {
        let Footprint { resident, threads, descriptors, files } = after;
        *resident <= most && threads <= &before.threads && descriptors <= &before.descriptors && files == &before.files
    };
    let after = await_that(&format!("a footprint like {before:?}"), SOON, || Footprint::of(&mut cluster), at_rest);
    eprintln!("{} runs: from {before:?} to {after:?}", JOBS * times);
}

/// Lets all jobs tick until each that counts its runs has had so many, and then until nothing runs any more. Each has run to the
/// end then, and as it should.
fn run_each(cluster: &mut Cluster, times: usize) {
    cluster.apply_all(&jobs(false));
    let cli = cluster.cli();
    let count = |job: &usize| cli.state(&name(*job), "count").map_or(0, |count| count.parse::<usize>().unwrap());
    let mut counting: Vec<usize> = (0..JOBS).filter(|job| COUNTING.contains(&(job % WAYS.len()))).collect();
    let fewest = || {
        counting.retain(|job| count(job) < times);
        counting.first().map_or(times, count)
    };
    await_that("so many runs", SOON + 2 * times as u32 * Duration::from_secs(1), fewest, |fewest| *fewest >= times);
    let until = Timestamp::now() - SignedDuration::from_secs(10);
    cluster.apply_all(&jobs(true));
    for job in 0..JOBS {
        let (.., outcome, detail) = WAYS[job % WAYS.len()];
        let runs = await_that(
            "the job's last run to end",
            SOON,
            || cli.runs(&name(job)).unwrap(),
            |runs| runs.iter().all(|run| run.outcome.is_some()),
        );
        let ran = |run: &RunRow| run.outcome.as_deref() == Some(outcome) && run.detail.contains(detail);
        let last = runs.iter().filter(|run| ran(run)).map(|run| run.started).max();
        assert!(last.is_some_and(|last| last > until), "{} {outcome} {detail}: {runs:#?}", name(job));
    }
}

fn jobs(paused: bool) -> Vec<String> {
    let job = |number: usize| {
        let (component, limits, config, ..) = WAYS[number % WAYS.len()];
        let component = guest(component);
        let trigger = format!("trigger = 'schedule'\nschedule = '@every 1s'\nhistory = 2\npaused = {paused}");
        format!(
            "tenant = 'tenant-{}'\nname = 'job-{number}'\ncomponent = {component:?}\n{trigger}\n[limits]\n{limits}\n[config]\n{config}\n",
            number % 7
        )
    };
    (0..JOBS).map(job).collect()
}

fn name(number: usize) -> String {
    format!("tenant-{}/job-{number}", number % 7)
}

/// What a host takes of its machine.
#[derive(Debug)]
struct Footprint {
    resident: u64,
    threads: usize,
    descriptors: usize,
    /// Of its folder of compiled code, where it has files for a while.
    files: Vec<String>,
}

impl Footprint {
    fn of(cluster: &mut Cluster) -> Self {
        let host = &cluster.hosts()[0];
        let process = Path::new("/proc").join(host.pid().to_string());
        let count = |folder: &Path| fs::read_dir(folder).unwrap().count();
        let mut files: Vec<String> = Vec::new();
        below(&host.data().join("compiled"), &mut files);
        files.sort();
        Footprint {
            resident: host.resident_bytes().unwrap(),
            threads: count(&process.join("task")),
            descriptors: count(&process.join("fd")),
            files,
        }
    }
}

fn below(folder: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { below(&entry, files) } else { files.push(entry.display().to_string()) }
    }
}

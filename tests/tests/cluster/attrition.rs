//! Runs without number, of components that behave and of components that don't, leave nothing behind in their host: no memory,
//! no thread, no descriptor, no file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::place::guest;
use silverback_tests::soak;
use silverback_tests::wait::await_that;

/// Each ticks every second.
const JOBS: usize = 100;
/// So often each job runs first: the host's rings of records and outcomes are full then.
const WARM_UP: usize = 30;
/// How much more memory may be resident than after the warm-up, in percent. A short run is one among other tests: how late runs
/// come, and so how many are under way at once, is theirs to decide, and an allocator keeps what the most of them took.
const SLACK: usize = 10;
const SLACK_OF_SHORT: usize = 100;

/// What a job does: a guest, lines of its limits, and of its config.
const WAYS: [(&str, &str, &str); 10] = [
    ("chore", "", ""),
    ("nothing", "", ""),
    ("chore", "", "fails = 'for-good'"),
    ("chore", "memory = '8MiB'", "takes-ms = '50'"),
    ("misbehave", "", "behave = 'trap'"),
    ("misbehave", "", "behave = 'error'"),
    ("misbehave", "memory = '8MiB'", "behave = 'allocate'"),
    ("misbehave", "cpu = '10ms'", "behave = 'spin'"),
    ("misbehave", "time = '100ms'", "behave = 'sleep'"),
    ("misbehave", "transfer = '256KiB'\nlog = '64KiB'", "behave = 'flood-log'"),
];

#[test]
fn runs_without_number_leave_nothing_behind() {
    let mut cluster = Cluster::embedded();
    run_each(&mut cluster, WARM_UP);
    let before = Footprint::of(&mut cluster);
    let times = soak::times(15, 1000);
    run_each(&mut cluster, WARM_UP + times);
    let most = before.resident + before.resident * soak::times(SLACK_OF_SHORT, SLACK) as u64 / 100;
    let at_rest = |after: &Footprint| {
        let Footprint { resident, threads, descriptors, files } = after;
        *resident <= most && threads <= &before.threads && descriptors <= &before.descriptors && files == &before.files
    };
    let after = await_that(&format!("a footprint like {before:?}"), SOON, || Footprint::of(&mut cluster), at_rest);
    eprintln!("{} runs: from {before:?} to {after:?}", JOBS * times);
}

/// Lets all jobs tick until the one that counts its runs has had so many, and then until nothing runs any more.
fn run_each(cluster: &mut Cluster, times: usize) {
    cluster.apply_all(&jobs(false));
    let cli = cluster.cli();
    let count = || cli.state(&name(0), "count").map_or(0, |count| count.parse::<usize>().unwrap());
    await_that("so many runs", SOON + 2 * times as u32 * Duration::from_secs(1), count, |count| *count >= times);
    cluster.apply_all(&jobs(true));
    for job in 0..JOBS {
        await_that(
            "the job's last run to end",
            SOON,
            || cli.runs(&name(job)).unwrap(),
            |runs| runs.iter().all(|run| run.outcome.is_some()),
        );
    }
}

fn jobs(paused: bool) -> Vec<String> {
    let job = |number: usize| {
        let (component, limits, config) = WAYS[number % WAYS.len()];
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

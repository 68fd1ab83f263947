//! Runs without number, of components that behave and of components that don't, leave nothing behind in their host: no memory,
//! no thread, no descriptor, no file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use silverback_tests::cli::RunRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::neighbour::Neighbour;
use silverback_tests::place::guest;
use silverback_tests::soak;
use silverback_tests::wait::{await_that, await_told};

/// Each runs every second.
const JOBS: usize = 100;
/// Each has jobs of every way.
const TENANTS: usize = 9;
/// So often each job runs first: the host's rings of records and outcomes are full then.
const WARM_UP: usize = 30;
/// So often that is done before a long run: what is resident of an idle host goes up and down by a fifth from one such round to
/// the next (74 to 82 MB in six), with how many runs were under way at once.
const ROUNDS: usize = 6;
/// How much more memory may be resident than after the warm-up, in percent. A short run is one among other tests: how late runs
/// come, and so how many are under way at once, is theirs to decide, and an allocator keeps what the most of them took.
const SLACK: usize = 10;
const SLACK_OF_SHORT: usize = 100;

/// What a job does, and how its runs end.
struct Way {
    trigger: &'static str,
    component: &'static str,
    /// Lines of its limits, and of its config.
    limits: &'static str,
    config: &'static str,
    /// The path that it asks the neighbour for.
    asks: Option<&'static str>,
    outcome: &'static str,
    detail: &'static str,
}

const EVERY_SECOND: &str = "trigger = 'schedule'\nschedule = '@every 1s'\nhistory = 2";
/// One term after the other, for as long as each succeeds.
const LEADER: &str = "trigger = 'leader'";

const WELL: Way = Way {
    trigger: EVERY_SECOND,
    component: "nothing",
    limits: "",
    config: "",
    asks: None,
    outcome: "succeeded",
    detail: "",
};
const ILL: Way = Way { component: "misbehave", outcome: "failed", ..WELL };

static WAYS: [Way; 14] = [
    WELL,
    Way { component: "chore", detail: "count=", ..WELL },
    Way { component: "chore", limits: "memory = '8MiB'", config: "takes-ms = '50'", ..WELL },
    Way { component: "chore", trigger: LEADER, detail: "count=", ..WELL },
    Way { component: "caller", asks: Some("/answers"), detail: "status=200 body=hi", ..WELL },
    Way { component: "chore", config: "fails = 'for-good'", detail: "permanent: ", ..ILL },
    Way { config: "behave = 'trap'", detail: "it panicked", ..ILL },
    Way { config: "behave = 'error'", detail: "an error, as asked", ..ILL },
    Way { limits: "memory = '8MiB'", config: "behave = 'allocate'", detail: "is over the limit of 8MiB", ..ILL },
    Way { limits: "cpu = '10ms'", config: "behave = 'spin'", detail: "is over the limit of 10ms", ..ILL },
    Way { limits: "time = '100ms'", config: "behave = 'sleep'", outcome: "timed-out", detail: "100 ms", ..ILL },
    Way {
        limits: "transfer = '256KiB'\nlog = '64KiB'",
        config: "behave = 'flood-log'",
        detail: "is over the limit of 256KiB",
        ..ILL
    },
    Way {
        component: "caller",
        asks: Some("/floods"),
        limits: "transfer = '64KiB'",
        detail: "is over the limit of 64KiB",
        ..ILL
    },
    Way {
        component: "caller",
        asks: Some("/silent"),
        limits: "time = '200ms'",
        outcome: "timed-out",
        detail: "200 ms",
        ..ILL
    },
];

#[test]
fn runs_without_number_leave_nothing_behind() {
    let mut cluster = Cluster::embedded();
    (0..TENANTS).for_each(|tenant| cluster.let_reach_this_machine(&format!("tenant-{tenant}")));
    let neighbour = Neighbour::start().unwrap();
    let origin = neighbour.origin();
    let rounds = soak::times(1, ROUNDS);
    let warm_ups: Vec<Footprint> = (1..=rounds)
        .map(|round| {
            run_each(&mut cluster, &origin, round * WARM_UP);
            Footprint::of(&mut cluster)
        })
        .collect();
    let before = warm_ups.into_iter().max_by_key(|footprint| footprint.resident).expect("there is a round");
    let times = soak::times(15, 1000);
    run_each(&mut cluster, &origin, rounds * WARM_UP + times);
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
fn run_each(cluster: &mut Cluster, origin: &str, times: usize) {
    // A guest that computes for long gets what others leave of the processor: on a busy machine its run is from early on.
    let since = Timestamp::now();
    cluster.apply_all(&jobs(origin, false));
    let cli = cluster.cli();
    let count = |job: &usize| cli.state(&name(*job), "count").map_or(0, |count| count.parse::<usize>().unwrap());
    let counts = |way: &Way| way.component == "chore" && way.trigger == EVERY_SECOND && way.outcome == "succeeded";
    let mut counting: Vec<usize> = (0..JOBS).filter(|job| counts(way(*job))).collect();
    let fewest = || {
        counting.retain(|job| count(job) < times);
        counting.first().map_or(times, count)
    };
    await_that("so many runs", SOON + 2 * times as u32 * Duration::from_secs(1), fewest, |fewest| *fewest >= times);
    // A job's few records may all be of ticks that were skipped because its run got no processor: so this is looked for while it
    // goes on.
    for job in 0..JOBS {
        let Way { outcome, detail, .. } = way(job);
        let ran = |run: &RunRow| {
            run.outcome.as_deref() == Some(*outcome) && run.detail.contains(detail) && run.started > since
        };
        let what = format!("a run of {} that ends as {outcome} {detail}", name(job));
        await_told(&what, 2 * SOON, || cli.runs(&name(job)), |runs| runs.iter().any(ran));
    }
    cluster.apply_all(&jobs(origin, true));
    for job in 0..JOBS {
        let has_ended = |runs: &Vec<RunRow>| runs.iter().all(|run| run.outcome.is_some());
        await_told("the job's last run to end", SOON, || cli.runs(&name(job)), has_ended);
    }
}

fn jobs(origin: &str, paused: bool) -> Vec<String> {
    let job = |number: usize| {
        let Way { trigger, component, limits, config, asks, .. } = way(number);
        let (tenant, component) = (number % TENANTS, guest(component));
        let begin = format!("tenant = 'tenant-{tenant}'\nname = 'job-{number}'\ncomponent = {component:?}\n{trigger}");
        let reach = asks.map(|path| (format!("allow = ['{origin}']"), format!("url = '{origin}{path}'")));
        let (allow, url) = reach.unwrap_or_default();
        format!("{begin}\npaused = {paused}\n[limits]\n{limits}\n[http]\n{allow}\n[config]\n{config}\n{url}\n")
    };
    (0..JOBS).map(job).collect()
}

fn way(number: usize) -> &'static Way {
    &WAYS[number % WAYS.len()]
}

fn name(number: usize) -> String {
    format!("tenant-{}/job-{number}", number % TENANTS)
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

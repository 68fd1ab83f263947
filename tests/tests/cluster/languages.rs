//! One job in four languages, each built as its README says: they do the same, and go on with what another left.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use silverback::registry::Digest;
use silverback_tests::cli::{Cli, JobRow, RunRow};
use silverback_tests::cluster::Cluster;
use silverback_tests::example::Example;
use silverback_tests::target::{TOKEN_HEADER, Target};

/// An example that tells its total to a target.
struct Built {
    example: Example,
    cli: Cli,
}

impl Built {
    fn new(language: &str, origin: &str) -> Self {
        let built = Built { example: Example::build(language), cli: Cli::new("http://127.0.0.1:1") };
        built.cli.ok(&["check", built.example.file("rollup.wasm").to_str().unwrap()]);
        built.example.edit("# url", "url");
        built.example.edit("http://127.0.0.1:8080", origin);
        built
    }

    /// One run of the job, with this state.
    fn run(&self, tick: Timestamp, state: &Value) -> Value {
        let (job, tick) = (self.example.file("job.toml"), tick.to_string());
        let keys = state.as_object().unwrap().iter();
        let keys: Vec<String> = keys.map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
        let state = keys.iter().flat_map(|pair| ["--state", pair]);
        let args = ["run", job.to_str().unwrap(), "--output", "json", "--private", "127.0.0.1", "--tick", &tick];
        let answer = self.cli.run(&args.into_iter().chain(state).collect::<Vec<_>>());
        serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {answer:#?}"))
    }
}

/// As a tenant ships it: admitted within the means of a host, and run there when it is due.
fn ship(built: &Built, cluster: &mut Cluster, origin: &str, other: &str) {
    built.example.edit(origin, other);
    cluster.cli().ok(&["apply", built.example.file("job.toml").to_str().unwrap()]);
    let component = Digest::of(&std::fs::read(built.example.file("rollup.wasm")).unwrap()).to_string();
    let jobs: Vec<JobRow> = cluster.cli().rows(&["jobs"]).unwrap();
    let job = jobs.iter().find(|job| job.component.as_deref() == Some(component.as_str())).expect("it is stored");
    let job = format!("{}/{}", job.tenant, job.name);
    let triggered = cluster.run_now(&job);
    assert_eq!(triggered.outcome.as_deref(), Some("succeeded"), "{triggered:#?}");
    // It ticks every two seconds too: a tick that comes due during a run is skipped, and none fails.
    let runs = cluster.cli().runs(&job).unwrap();
    let went = |run: &RunRow| matches!(run.outcome.as_deref(), None | Some("succeeded" | "skipped"));
    assert!(runs.iter().all(went), "{runs:#?}");
    built.example.edit(other, origin);
}

#[test]
fn the_same_job_does_the_same_in_every_language() {
    let (target, shipped) = (Target::start(TOKEN_HEADER).unwrap(), Target::start(TOKEN_HEADER).unwrap());
    let mut cluster = Cluster::embedded();
    cluster.let_reach_this_machine("metrics");
    let first: Timestamp = "2027-01-01T00:00:30Z".parse().unwrap();
    let mut state = json!({});
    for (number, language) in ["", "-js", "-python", "-c", ""].into_iter().enumerate() {
        let built = Built::new(language, &target.origin());
        let tick = first + SignedDuration::from_secs(30 * number as i64);
        let went = built.run(tick, &state);
        let ticks = number + 1;
        let minutes = 1 + ticks / 2;
        let summary = format!("{ticks} ticks in {minutes} minutes");
        assert_eq!((&went["outcome"], &went["detail"]), (&json!("succeeded"), &json!(summary)), "{language}: {went:#}");
        let lines: Vec<_> = went["logs"].as_array().unwrap().iter().map(|line| line["message"].as_str()).collect();
        let told = format!("{}/total answered 200, answer {ticks}", target.origin());
        assert_eq!(lines, [Some(summary.as_str()), Some(&told)], "{language}");
        for (key, change) in went["state"].as_object().unwrap() {
            state[key] = change["now"].clone();
        }
        let report: Value = serde_json::from_str(state["report"].as_str().unwrap()).unwrap();
        assert_eq!((&report["ticks"], &report["retries"]), (&json!(ticks), &json!(0)), "{language}");
        assert_eq!(report["last_tick_ms"], json!(tick.as_millisecond()), "{language}");
        assert_eq!(report["minutes"].as_object().unwrap().len(), minutes, "{language}: {report}");

        ship(&built, &mut cluster, &target.origin(), &shipped.origin());

        // What can't be is told alike: for good, and by its name.
        built.example.edit("keep_minutes = \"60\"", "keep_minutes = \"x\"");
        let went = built.run(tick, &json!({}));
        let detail = went["detail"].as_str().unwrap();
        assert!(detail.starts_with("permanent: config `keep_minutes` "), "{language}: {detail}");
    }
    let totals: Vec<u64> = target.taken().iter().map(|effect| effect.sequence).collect();
    assert_eq!(totals, [1, 2, 3, 4, 5]);
    assert!(shipped.taken().len() >= 5, "each has told its total from the host: {:?}", shipped.taken());
}

//! Bad input is refused with its field and value named, and leaves nothing behind.

use std::fs;
use std::path::Path;

use silverback_tests::cli::{Cli, JobRow};
use silverback_tests::cluster::Cluster;
use silverback_tests::place::guest;

/// A core module without anything in it: magic and version.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// A component without anything in it: magic, version and layer.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// One byte more than a host takes.
const TOO_LARGE: usize = 32 * 1024 * 1024 + 1;

/// What is written for each key of a job.toml; a case changes one of them.
const LINES: [(&str, &str); 5] = [
    ("tenant", "tenant = \"acme\""),
    ("name", "name = \"nightly\""),
    ("component", "component = \"good.wasm\""),
    ("trigger", "trigger = \"schedule\""),
    ("schedule", "schedule = \"0 3 * * *\""),
];

#[test]
fn bad_jobs_are_refused_by_field_and_value_and_nothing_is_stored() {
    let mut cluster = Cluster::embedded();
    let jobs = cluster.dir().join("jobs");
    fs::create_dir(&jobs).unwrap();
    fs::copy(guest("witness"), jobs.join("good.wasm")).unwrap();
    let long = "n".repeat(300);
    let cases: Vec<(&str, String, Vec<&str>)> = vec![
        ("schedule", "shedule = \"0 3 * * *\"".to_owned(), vec!["schedule"]),
        ("", "colour = \"red\"".to_owned(), vec!["colour"]),
        ("schedule", "schedule = 5".to_owned(), vec!["schedule", "5", "integer"]),
        ("schedule", "schedule = \"61 * * * *\"".to_owned(), vec!["nightly", "schedule", "61 * * * *"]),
        ("schedule", "schedule = \"@every soon\"".to_owned(), vec!["nightly", "schedule", "@every soon"]),
        ("", "time_zone = \"Mars/Olympus\"".to_owned(), vec!["nightly", "time_zone", "Mars/Olympus"]),
        ("schedule", "schedule = [\"@daily\", \"0 0 31 2 *\"]".to_owned(), vec!["nightly", "schedule", "0 0 31 2 *"]),
        (
            "schedule",
            "at = \"2020-01-01T00:00:00Z\"".to_owned(),
            vec!["nightly", "at", "2020-01-01T00:00:00Z", "no tick"],
        ),
        ("", "except = \"* * * * *\"".to_owned(), vec!["nightly", "schedule", "0 3 * * *", "except"]),
        ("", "jitter = \"24h\"".to_owned(), vec!["nightly", "jitter", "24h", "between two ticks"]),
        ("trigger", "trigger = \"sometimes\"".to_owned(), vec!["nightly", "trigger", "sometimes"]),
        ("", "[limits]\nmemory = \"64 elephants\"".to_owned(), vec!["memory", "64 elephants"]),
        ("", "[limits]\nmemory = \"64TiB\"".to_owned(), vec!["memory", "64TiB"]),
        ("", "[limits]\nmemory = \"129MiB\"".to_owned(), vec!["memory", "129MiB", "128MiB"]),
        ("", "[limits]\ntime = \"-5s\"".to_owned(), vec!["time", "-5s"]),
        ("name", "name = \"night/ly\"".to_owned(), vec!["name", "night/ly"]),
        ("name", format!("name = \"{long}\""), vec!["name", "nnnn", "63"]),
        ("tenant", "tenant = \"../acme\"".to_owned(), vec!["tenant", "../acme"]),
        ("tenant", "tenant = ".to_owned(), vec!["line 1"]),
        ("component", "component = \"no-such.wasm\"".to_owned(), vec!["nightly", "component", "no-such.wasm"]),
    ];
    for (replaced, line, said) in &cases {
        fs::write(jobs.join("job.toml"), job(replaced, line)).unwrap();
        assert_refused(&mut cluster, &jobs, line, said);
    }
    assert_nothing_stored(&mut cluster);
}

#[test]
fn bad_components_are_refused_in_plain_words_and_nothing_is_stored() {
    let mut cluster = Cluster::embedded();
    let jobs = cluster.dir().join("jobs");
    fs::create_dir(&jobs).unwrap();
    let cases: [(&str, Vec<u8>, &[&str]); 5] = [
        ("text.wasm", b"this is no component".to_vec(), &["no WebAssembly"]),
        ("module.wasm", CORE_MODULE.to_vec(), &["core module"]),
        ("empty.wasm", EMPTY_COMPONENT.to_vec(), &["silverback:leader/job"]),
        ("other-world.wasm", other_world(), &["acme:payments/ledger"]),
        ("large.wasm", [EMPTY_COMPONENT, &vec![0; TOO_LARGE]].concat(), &["33554441", "33554432"]),
    ];
    for (file, bytes, said) in &cases {
        fs::write(jobs.join(file), bytes).unwrap();
        fs::write(jobs.join("job.toml"), job("component", &format!("component = \"{file}\""))).unwrap();
        assert_refused(&mut cluster, &jobs, file, &[&["nightly"], *said].concat());
        let checked = cluster.cli().run(&["check", &jobs.join(file).display().to_string()]);
        assert!(checked.code == Some(1) && said.iter().all(|word| checked.err.contains(word)), "{file}: {checked:#?}");
    }
    assert_nothing_stored(&mut cluster);
}

#[test]
fn what_is_right_is_stored_and_checked() {
    let mut cluster = Cluster::embedded();
    fs::copy(guest("witness"), cluster.dir().join("good.wasm")).unwrap();
    let checked = cluster.cli().ok(&["check", &cluster.dir().join("good.wasm").display().to_string()]);
    assert!(checked.contains("sha256:"), "{checked}");
    cluster.apply(&job("", ""));
    let jobs: Vec<JobRow> = cluster.cli().rows(&["jobs"]).unwrap();
    assert_eq!((jobs.len(), jobs[0].name.as_str(), jobs[0].trigger.as_deref()), (1, "nightly", Some("schedule")));
    assert!(checked.contains(jobs[0].component.as_deref().unwrap()), "{checked}{jobs:#?}");
    assert!(jobs[0].next_tick.is_some() && jobs[0].group.is_some() && jobs[0].election.is_none(), "{jobs:#?}");
    assert_eq!(stored_components(&cluster), 1);
}

#[test]
fn check_tells_what_a_component_needs_and_costs() {
    let cli = Cli::new("http://127.0.0.1:1");
    let of = |name: &str| cli.ok(&["check", guest(name).to_str().unwrap()]);
    let (quiet, calling) = (of("witness"), of("caller"));
    let needs = "needs, under [http] in job.toml: allow = [\"https://api.example.com\"], with each target of its HTTP requests; ";
    assert!(calling.contains(needs) && !quiet.contains("needs"), "{calling}");
    assert!(
        calling.contains("import wasi:http/outgoing-handler@") && calling.contains("export silverback:leader/job@")
    );
    assert!(quiet.contains("has: the job's own state, as large as [limits] state allows\n"), "{quiet}");
    assert!(quiet.contains("has: what stands under [config] and [secrets] in job.toml\n"), "{quiet}");
    let cost = quiet.lines().last().unwrap().split(' ').filter_map(|word| word.parse::<f64>().ok()).collect::<Vec<_>>();
    let [size, _seconds, compiled, memory] = cost[..] else { panic!("{quiet}") };
    let bytes = fs::metadata(guest("witness")).unwrap().len();
    assert_eq!(size, bytes.div_ceil(1024) as f64);
    assert!(compiled > size && (64.0..=64.0 * 1024.0).contains(&memory), "{quiet}");
    assert!(
        quiet.lines().last().unwrap().starts_with("cost: ") && quiet.trim_end().ends_with(" KiB of memory"),
        "{quiet}"
    );
}

/// The good job.toml with the line of key `replaced` exchanged, or with one more.
fn job(replaced: &str, line: &str) -> String {
    let kept = LINES.iter().map(|(key, good)| if *key == replaced { line } else { good });
    let more = (!LINES.iter().any(|(key, _)| *key == replaced)).then_some(line);
    kept.chain(more).collect::<Vec<_>>().join("\n")
}

/// A component that imports an interface of another's package, and exports nothing.
fn other_world() -> Vec<u8> {
    let name = b"acme:payments/ledger@1.0.0";
    // A type section with one instance type without exports; an import section with one instance of that type.
    let types = [7, 3, 1, 0x42, 0];
    let imports = [10, name.len() as u8 + 5, 1, 0, name.len() as u8];
    [EMPTY_COMPONENT, &types, &imports, name, &[5, 0]].concat()
}

#[track_caller]
fn assert_refused(cluster: &mut Cluster, jobs: &Path, what: &str, said: &[&str]) {
    let answer = cluster.cli().run(&["apply", &jobs.join("job.toml").display().to_string()]);
    assert_eq!(answer.code, Some(1), "{what}: {answer:#?}");
    for word in said {
        assert!(answer.err.contains(word), "{what}: the error must name `{word}`: {answer:#?}");
    }
    assert!(answer.err.lines().count() <= 3, "{what}: an error is a sentence: {answer:#?}");
}

#[track_caller]
fn assert_nothing_stored(cluster: &mut Cluster) {
    let jobs: Vec<JobRow> = cluster.cli().rows(&["jobs"]).unwrap();
    assert!(jobs.is_empty(), "{jobs:#?}");
    assert_eq!(stored_components(cluster), 0);
}

fn stored_components(cluster: &Cluster) -> usize {
    fs::read_dir(cluster.dir().join("store/components")).map_or(0, Iterator::count)
}

//! One job in four languages, each built as its README says: they do the same, and go on with what another left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use silverback_tests::cli::Cli;
use silverback_tests::place;
use silverback_tests::target::{TOKEN_HEADER, Target};
use silverback_tests::tools::{crate_program, python_with};
use tempfile::TempDir;

/// The pins of examples/rollup-python and of the README of examples/rollup-c.
const COMPONENTIZE_PY: &str = include_str!("../../../examples/rollup-python/requirements.txt");
const WIT_BINDGEN: &str = "0.63.0";

/// An example's folder, elsewhere, built; its job tells its total to a target.
struct Built {
    folder: TempDir,
    cli: Cli,
}

impl Built {
    fn new(language: &str, origin: &str) -> Self {
        let built = Built { folder: tempfile::tempdir().unwrap(), cli: Cli::new("http://127.0.0.1:1") };
        let example = place::root().join("examples").join(format!("rollup{language}"));
        for file in fs::read_dir(&example).unwrap().map(|file| file.unwrap()).filter(|file| file.path().is_file()) {
            fs::copy(file.path(), built.file(file.file_name().to_str().unwrap())).unwrap();
        }
        built.cli.ok(&["wit", "--out", built.file("wit").to_str().unwrap()]);
        match language {
            "-js" => {
                built.at("npm", &["ci", "--silent", "--no-audit", "--no-fund"]);
                built.at("npm", &["run", "--silent", "build"]);
            }
            "-python" => {
                let bin = python_with(COMPONENTIZE_PY.trim(), "import componentize_py");
                let args = ["--wit-path", "wit", "--world", "leader", "componentize", "rollup", "-o", "rollup.wasm"];
                built.at(bin.join("componentize-py"), &args);
            }
            "-c" => {
                let bindgen = crate_program("wit-bindgen-cli", WIT_BINDGEN, "c", "wit-bindgen");
                built.at("make", &["CC=clang-19", &format!("WIT_BINDGEN={}", bindgen.display())]);
            }
            _ => {
                fs::copy(place::example("rollup"), built.file("rollup.wasm")).unwrap();
            }
        }
        built.cli.ok(&["check", built.file("rollup.wasm").to_str().unwrap()]);
        if language.is_empty() {
            built.edit("../target/wasm32-wasip2/release/", "");
        }
        built.edit("# url", "url");
        built.edit("http://127.0.0.1:8080", origin);
        built
    }

    /// Another text in its job.toml, wherever it stands.
    fn edit(&self, text: &str, other: &str) {
        let job = fs::read_to_string(self.file("job.toml")).unwrap();
        assert!(job.contains(text), "{job}");
        fs::write(self.file("job.toml"), job.replace(text, other)).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn at(&self, program: impl AsRef<Path>, args: &[&str]) {
        let program = program.as_ref();
        let output = Command::new(program).current_dir(self.folder.path()).args(args).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(output.status.success(), "{} {args:?}: {output:#?}", program.display());
    }

    /// One run of the job, with this state.
    fn run(&self, tick: Timestamp, state: &Value) -> Value {
        let (job, tick) = (self.file("job.toml"), tick.to_string());
        let keys = state.as_object().unwrap().iter();
        let keys: Vec<String> = keys.map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
        let state = keys.iter().flat_map(|pair| ["--state", pair]);
        let args = ["run", job.to_str().unwrap(), "--output", "json", "--private", "127.0.0.1", "--tick", &tick];
        let answer = self.cli.run(&args.into_iter().chain(state).collect::<Vec<_>>());
        serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {answer:#?}"))
    }
}

#[test]
fn the_same_job_does_the_same_in_every_language() {
    let target = Target::start(TOKEN_HEADER).unwrap();
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

        // What can't be is told alike: for good, and by its name.
        built.edit("keep_minutes = \"60\"", "keep_minutes = \"x\"");
        let went = built.run(tick, &json!({}));
        let detail = went["detail"].as_str().unwrap();
        assert!(detail.starts_with("permanent: config `keep_minutes` "), "{language}: {detail}");
    }
    let totals: Vec<u64> = target.taken().iter().map(|effect| effect.sequence).collect();
    assert_eq!(totals, [1, 2, 3, 4, 5]);
}

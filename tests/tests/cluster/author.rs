//! What a job's author does at home, where there is no host: begin, build, run, and run again at each change.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use silverback_tests::child::Child;
use silverback_tests::cli::{Answer, Cli};
use silverback_tests::cluster::SOON;
use silverback_tests::place::{guest, silverback};
use silverback_tests::tools::python_with;
use silverback_tests::wait::await_that;
use tempfile::TempDir;

/// An author's folder; there is no host to be asked.
struct Home {
    folder: TempDir,
    cli: Cli,
}

impl Home {
    fn new() -> Self {
        Home { folder: tempfile::tempdir().unwrap(), cli: Cli::new("http://127.0.0.1:1") }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("job.toml")
    }

    /// The guest `chore`, as this job.
    fn write(&self, trigger: &str, config: &str) {
        let component = guest("chore");
        let text =
            format!("tenant = 'acme'\nname = 'chore'\ncomponent = {component:?}\n{trigger}\n[config]\n{config}\n");
        fs::write(self.file(), text).unwrap();
    }

    fn run(&self, more: &[&str]) -> (Answer, Value) {
        let file = self.file();
        let answer = self.cli.run(&[&["run", file.to_str().unwrap(), "--output", "json"], more].concat());
        let told = serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {answer:#?}"));
        (answer, told)
    }
}

const DAILY: &str = "trigger = 'schedule'\nschedule = '@daily'";
const LEADER: &str = "trigger = 'leader'";

#[test]
fn a_run_on_the_spot_tells_how_it_ends_and_what_it_leaves() {
    let home = Home::new();
    home.write(DAILY, "");
    let (answer, told) = home.run(&["--state", "count=4", "--tick", "2027-01-01T00:00:00Z"]);
    assert_eq!((answer.code, &told["outcome"], &told["detail"]), (Some(0), &"succeeded".into(), &"count=5".into()));
    assert_eq!(told["state"], serde_json::json!({"count": {"before": "4", "now": "5"}}));
    assert!(
        told["usage"]["host_calls"].as_u64() > Some(1) && told["usage"]["peak_memory_bytes"].as_u64() > Some(65536)
    );

    home.write(DAILY, "fails = 'for-good'");
    let (answer, told) = home.run(&[]);
    assert_eq!((answer.code, &told["outcome"]), (Some(1), &"failed".into()));
    assert_eq!((&told["state"], &told["discarded"]), (&serde_json::json!({}), &1.into()), "as on a host");
    let (answer, _) = home.run(&["--attempt", "2", "--state", "count=4"]);
    assert_eq!(answer.code, Some(1));
    home.write(DAILY, "fails = 'retryably'\nuntil-attempt = '2'");
    assert_eq!((home.run(&[]).0.code, home.run(&["--attempt", "2"]).0.code), (Some(1), Some(0)));
}

#[test]
fn a_run_on_the_spot_is_given_its_secrets_and_tells_none() {
    let home = Home::new();
    home.write(DAILY, "[secrets]\ntoken = 'api-token'");
    let kept = home.folder.path().join("kept");
    fs::write(&kept, "correct horse\r\n").unwrap();
    let in_file = format!("api-token=@{}", kept.display());
    for (secret, bytes) in [("api-token=correct", 7), (&in_file, 13)] {
        let (answer, told) = home.run(&["--secret", secret]);
        assert_eq!((answer.code, &told["detail"]), (Some(0), &format!("count=1 token of {bytes} bytes").into()));
        assert!(!format!("{answer:?}").contains("correct"), "{answer:#?}");
    }
    let refused: [(&[&str], &str); 4] = [
        (&[], "job `chore`: secrets.token `api-token` is not given: add --secret api-token=@FILE"),
        (&["--secret", "token=x"], "--secret token: job `chore` has no such secret"),
        (&["--secret", "api-token=x", "--secret", "api-token=y"], "--secret api-token is given twice"),
        (&["--secret", "api-token=@/no/such/file"], "--secret api-token: "),
    ];
    for (secrets, why) in refused {
        let answer = home.cli.run(&[&["run", home.file().to_str().unwrap()], secrets].concat());
        assert!(answer.code == Some(1) && answer.err.contains(why), "{why}: {answer:#?}");
    }
}

/// What is compiled apart, where nothing of it is known, has to be what this program loads.
#[test]
fn the_environment_has_no_say_in_how_a_guest_is_compiled() {
    let home = Home::new();
    home.write(DAILY, "");
    let mut run = Command::new(silverback());
    run.arg("run").arg(home.file()).env("WASMTIME_BACKTRACE_DETAILS", "1");
    let output = run.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn leadership_ends_on_the_spot_as_it_would_on_a_host() {
    let home = Home::new();
    home.write(LEADER, "takes-ms = '3600000'");
    // The time begins before the guest does, which has to have written by then.
    let (answer, lost) = home.run(&["--lose-leadership-after", "3s"]);
    assert_eq!((answer.code, &lost["outcome"]), (Some(1), &"lost-leadership".into()));
    assert_eq!(lost["state"]["count"]["now"], "1", "what a leader writes is written");
    let (answer, resigned) = home.run(&["--resign-after", "200ms"]);
    assert_eq!((answer.code, &resigned["outcome"]), (Some(0), &"succeeded".into()), "{resigned}");
}

#[test]
fn a_job_runs_again_when_a_file_changes() {
    let home = Home::new();
    home.write(DAILY, "");
    let (file, out) = (home.file(), home.folder.path().join("out"));
    let args = ["dev".as_ref(), file.as_os_str(), "--state".as_ref(), "count=4".as_ref()];
    let mut dev = Child::spawn(silverback().to_str().unwrap(), args, &out).unwrap();
    let said = |what: &str, times: usize| {
        let text = || fs::read_to_string(&out).unwrap_or_default();
        await_that(what, SOON, text, |text| text.matches(what).count() == times);
    };
    said("waiting for a change", 1);
    said("succeeded: count=5", 1);
    home.write(DAILY, "fails = 'for-good'");
    said("failed: permanent: for good, as asked", 1);
    said("waiting for a change", 2);
    // One that would go on for an hour is stopped by the next change.
    home.write(LEADER, "takes-ms = '3600000'");
    said("---- acme/chore", 3);
    fs::write(&file, "tenant = 'acme'").unwrap();
    said("stopped: a file has changed", 1);
    said("name is missing: write name", 1);
    home.write(DAILY, "");
    said("succeeded: count=5", 2);
    assert_eq!(dev.exited().unwrap(), None);
}

/// In a new project: its commands, and what a run of it tells.
fn begins(language: &str, build: impl FnOnce(&Path)) {
    let home = Home::new();
    let folder = home.folder.path().join("greeter");
    at(home.folder.path(), silverback(), &["new", "greeter", "--language", language]);
    build(&folder);
    let told = at(&folder, silverback(), &["run", "job.toml", "--state", "runs=41"]);
    assert!(told.contains("greeter: hello from attempt 1 of acme/greeter/"), "{told}");
    assert!(told.contains("succeeded: run 42") && told.contains("state runs: `42`, was `41`"), "{told}");
}

#[test]
fn a_new_project_in_rust_builds_passes_its_tests_and_runs() {
    begins("rust", |folder| {
        at(folder, "cargo", &["build", "--release", "--target", "wasm32-wasip2"]);
        at(folder, "cargo", &["test"]);
    });
}

#[test]
fn a_new_project_in_javascript_builds_and_runs() {
    begins("js", |folder| {
        at(folder, "npm", &["install", "--silent", "--no-audit", "--no-fund"]);
        at(folder, "npm", &["run", "--silent", "build"]);
    });
}

#[test]
fn a_new_project_in_python_builds_and_runs() {
    begins("python", |folder| {
        let needed = fs::read_to_string(folder.join("requirements.txt")).unwrap();
        let tool = python_with(needed.trim(), "import componentize_py").join("componentize-py");
        let args = ["--wit-path", "wit", "--world", "leader", "componentize", "job", "-o", "greeter.wasm"];
        at(folder, tool, &args);
    });
}

/// A command in a folder, as an author gives it.
fn at(folder: &Path, program: impl AsRef<OsStr>, args: &[&str]) -> String {
    let mut command = Command::new(program.as_ref());
    // Where the tests themselves are built says nothing of where this is.
    command.current_dir(folder).env_remove("CARGO_TARGET_DIR").args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{:?} {args:?}: {output:#?}", program.as_ref());
    String::from_utf8(output.stdout).unwrap()
}

//! Curator programs beside our hosts: Java's client, from Debian's packages, and one small program that is compiled once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::child::find_program;
use crate::kazoo::said;
use crate::place;
use crate::process::Process;
use crate::terms::Sighting;
use crate::wait::await_value;

const JAR_DIR: &str = "/usr/share/java";
const JARS: [&str; 8] = [
    "curator-recipes.jar",
    "curator-framework.jar",
    "curator-client.jar",
    "zookeeper.jar",
    "zookeeper-jute.jar",
    "guava.jar",
    "slf4j-api.jar",
    "slf4j-nop.jar",
];
const INSTALL: &str =
    "apt-get install --no-install-recommends default-jdk-headless libcurator-recipes-java libslf4j-java";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A Curator program, a `LeaderSelector` that stands again and again; killed when dropped.
pub struct CuratorContender {
    process: Process,
    said: PathBuf,
}

impl CuratorContender {
    /// Starts one, which leads for `term` each time its turn comes. What it says is kept in `dir`.
    ///
    /// # Panics
    /// Where Java or Curator are missing: says what to install.
    #[track_caller]
    pub fn start(identifier: &str, servers: &str, path: &str, term: Duration, dir: &Path) -> Self {
        let said = dir.join(format!("{identifier}.jsonl"));
        let (seconds, said_text) = (term.as_secs_f64().to_string(), said.display().to_string());
        let args = java(&["lead", servers, path, identifier, &seconds, &said_text]);
        let program = find_program("java").expect("java was found when the program was compiled");
        let process = Process::start(identifier, &program, &args, dir);
        await_value(&format!("Curator program {identifier} to connect"), START_LIMIT, || {
            if process.out().contains("ready") { Ok(()) } else { Err(process.log()) }
        });
        CuratorContender { process, said }
    }

    /// When it led, so far.
    ///
    /// # Panics
    /// Where it said something else.
    pub fn sightings(&self) -> Vec<Sighting> {
        said(&self.said)
    }

    /// kill -9.
    pub fn kill9(&mut self) {
        self.process.kill();
    }
}

/// The identifiers of a queue, as Curator's `LeaderSelector.getParticipants()` lists them.
///
/// # Panics
/// Where it fails.
pub fn participants(servers: &str, path: &str) -> Vec<String> {
    let output = Command::new("java").args(java(&["participants", servers, path])).output();
    let output = output.expect("java can be started");
    assert!(output.status.success(), "Curator: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The command line of our Curator program.
fn java(args: &[&str]) -> Vec<String> {
    static CLASS_PATH: OnceLock<String> = OnceLock::new();
    let class_path = CLASS_PATH.get_or_init(|| compiled(&place::target_dir().join("curator")));
    let fixed =
        ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx64m", "-XX:-UsePerfData", "-cp", class_path, "Contender"];
    fixed.iter().chain(args).map(|&arg| arg.to_owned()).collect()
}

/// Compiles the program into `dir`, and gives the class path that runs it.
fn compiled(dir: &Path) -> String {
    let jars: Vec<String> = JARS.iter().map(|jar| format!("{JAR_DIR}/{jar}")).collect();
    for jar in &jars {
        assert!(Path::new(jar).exists(), "{jar} is missing; these tests need Curator: {INSTALL}");
    }
    fs::create_dir_all(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let lock = File::create(dir.join("lock")).expect("the target folder can be written");
    lock.lock().expect("files of the target folder can be locked");
    let (classes, jars) = (dir.display().to_string(), jars.join(":"));
    let source = place::fixture("curator/Contender.java").display().to_string();
    let output = Command::new("javac").args(["-d", &classes, "-cp", &jars, &source]).output();
    let output = output.unwrap_or_else(|error| panic!("javac: {error}; these tests need Curator: {INSTALL}"));
    assert!(output.status.success(), "javac: {}", String::from_utf8_lossy(&output.stderr));
    format!("{classes}:{jars}")
}

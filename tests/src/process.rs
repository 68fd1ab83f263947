//! A named child process of a test: what it writes is kept in files, and shown when the test fails.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::child::Child;
use crate::wait::await_value;

/// How much of its log is shown when a test fails.
const SHOWN_LINES: usize = 120;

/// A running child; killed and reaped when dropped.
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Returns what processes of this name have written to their standard output in `dir`.
    pub fn out_in(dir: &Path, name: &str) -> String {
        read(&out_file(dir, name))
    }

    /// Starts `program`; its output is appended to `NAME.out` and its errors to `NAME.log` in `dir`.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn start(name: &str, program: &Path, args: &[String], dir: &Path) -> Self {
        let (out, log) = (out_file(dir, name), dir.join(format!("{name}.log")));
        let program = program.to_str().expect("paths of tests are UTF-8");
        let child = Child::spawn_apart(program, args, &out, &log).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        Process { name: name.to_owned(), child, out, log }
    }

    /// How much of its memory is resident, in bytes.
    ///
    /// # Errors
    /// Where the system doesn't say; it has ended, say.
    pub fn resident_bytes(&self) -> Result<u64> {
        resident_bytes(self.pid())
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Sends it a signal; nothing happens where it has ended already.
    pub fn signal(&mut self, signal: Signal) {
        if self.exited().is_none() {
            self.child.signal(signal).unwrap_or_else(|error| panic!("signal to {}: {error:#}", self.name));
        }
    }

    /// Its exit status, None while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.exited().unwrap_or_else(|error| panic!("status of {}: {error:#}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When `limit` has passed.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of process {}", self.name);
        await_value(&what, limit, || self.exited().ok_or("it runs"))
    }

    /// Kills it without warning (SIGKILL) and reaps it.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// What it wrote to its standard output so far.
    pub fn out(&self) -> String {
        read(&self.out)
    }

    /// What it wrote to its standard error so far.
    pub fn log(&self) -> String {
        read(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("---- the end of what {} logged ----\n{}", self.name, tail(&self.log(), SHOWN_LINES));
        }
    }
}

fn out_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.out"))
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The last `lines` lines of `text`.
fn tail(text: &str, lines: usize) -> &str {
    let start = text.trim_end().rmatch_indices('\n').nth(lines.saturating_sub(1)).map_or(0, |(at, _)| at + 1);
    &text[start..]
}

/// The processes that this one started and that aren't reaped.
///
/// # Errors
/// Where the system doesn't say which there are.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may have ended just now. The name of its program, in parentheses, may have such in it.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(1));
        if parent.is_some_and(|parent| parent == pid.to_string()) {
            children.push(id);
        }
    }
    Ok(children)
}

/// What memory the process of this id has resident, in bytes.
///
/// # Errors
/// Where the system doesn't say; it has ended, say.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    told_bytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// The same, where what is mapped several times counts once.
///
/// # Errors
/// Where the system doesn't say; it has ended, say.
pub fn proportional_bytes(pid: u32) -> Result<u64> {
    told_bytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn told_bytes(path: &str, name: &str) -> Result<u64> {
    let told = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let line = told.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{name} in {path}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &Path) -> Process {
        Process::start("shell", Path::new("sh"), &["-c".to_owned(), script.to_owned()], dir)
    }

    #[test]
    fn output_and_errors_are_kept_apart() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell("echo ready; echo broken >&2; exit 3", dir.path());
        assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(3));
        assert_eq!((process.out().as_str(), process.log().as_str()), ("ready\n", "broken\n"));
    }

    #[test]
    fn what_an_earlier_process_of_the_name_wrote_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Process::out_in(dir.path(), "shell"), "");
        shell("echo first", dir.path()).wait(Duration::from_secs(60));
        assert_eq!(Process::out_in(dir.path(), "shell"), "first\n");
        let mut later = shell("echo second", dir.path());
        later.wait(Duration::from_secs(60));
        assert_eq!(later.out(), "first\nsecond\n");
    }

    #[test]
    fn a_signal_to_what_has_ended_does_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell("exit 0", dir.path());
        process.wait(Duration::from_secs(5));
        process.signal(Signal::TERM);
    }

    #[test]
    #[should_panic(expected = "waited 50ms for the end of process shell")]
    fn waiting_for_the_end_has_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        shell("sleep 60", dir.path()).wait(Duration::from_millis(50));
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail("a\n", 2), "a\n");
        assert_eq!(tail("", 2), "");
    }
}

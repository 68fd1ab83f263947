//! Processes that never outlive the test: not when it fails, not when it is killed.
//!
//! It doesn't know what it runs.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A running process. Killed when dropped, and by the kernel when the test's own process ends in any way.
#[derive(Debug)]
pub struct Child {
    process: Process,
}

impl Child {
    /// Runs `program`, found on the path, with its output appended to the file `log`.
    ///
    /// # Errors
    /// A program that can't be found is named.
    pub fn spawn<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>, log: &Path) -> Result<Self> {
        Self::spawn_apart(program, args, log, log)
    }

    /// As [`Child::spawn`], with the standard output appended to `out` and the standard error to `log`.
    ///
    /// # Errors
    /// As [`Child::spawn`].
    pub fn spawn_apart<A: AsRef<OsStr>>(
        program: &str,
        args: impl IntoIterator<Item = A>,
        out: &Path,
        log: &Path,
    ) -> Result<Self> {
        let program = find_program(program)?;
        let mut command = Command::new(find_program("setpriv")?);
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args);
        command.stdin(Stdio::null()).stdout(appended(out)?).stderr(appended(log)?);
        Ok(Child { process: spawn_for_good(command)? })
    }

    /// The process id of the program itself.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, None while it runs.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.exited()?.is_some() {
            bail!("process {} has ended already", self.pid());
        }
        let pid = Pid::from_raw(self.process.id() as i32).ok_or_else(|| anyhow!("no process id"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait()?)
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        // An error means that it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn appended(path: &Path) -> Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| format!("open the file {}", path.display()))
}

/// The file of a program on the path.
///
/// # Errors
/// Names the program when there is none.
pub fn find_program(name: &str) -> Result<std::path::PathBuf> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| anyhow!("program `{name}` is not on the path"))
}

type Request = (Command, Sender<std::io::Result<Process>>);

/// Starts a process from a thread that lives as long as this process: the kernel's death signal follows the parent
/// *thread*, and a test's thread ends with the test.
fn spawn_for_good(command: Command) -> Result<Process> {
    static SPAWNER: LazyLock<Mutex<Sender<Request>>> = LazyLock::new(|| {
        let (requests, inbox) = channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(requests)
    });
    let program = format!("{:?}", command.get_program());
    let (answer, started) = channel();
    SPAWNER.lock().expect("nothing panics under this lock").send((command, answer))?;
    started.recv()?.with_context(|| format!("start {program}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_started_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut child = thread::spawn(move || Child::spawn("sleep", ["60"], &log).unwrap()).join().unwrap();
        assert_eq!(child.exited().unwrap(), None);
        child.signal(Signal::TERM).unwrap();
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Child::spawn("no-such-program", [""; 0], Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.to_string(), "program `no-such-program` is not on the path");
    }
}

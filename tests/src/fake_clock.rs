//! A wall clock of a process's own that a test sets while the process runs: libfaketime between it and the system's clock.
//! Other clocks of the process, those that leases are measured on, go on as they are.

use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian's package `faketime` has the library, below `/usr/lib`; the folder between is the machine's.
const LIBRARY: &str = "faketime/libfaketime.so.1";

/// The clock of one process.
#[derive(Clone, Debug)]
pub struct FakeClock {
    /// Holds by how much the clock is ahead; read anew each time that somebody looks at the clock.
    file: PathBuf,
}

impl FakeClock {
    /// A right clock, whose setting is kept in `file`.
    ///
    /// # Panics
    /// Where the file can't be written.
    pub fn right(file: PathBuf) -> Self {
        let clock = FakeClock { file };
        clock.set_ahead(0);
        clock
    }

    /// Sets it so many seconds ahead of the system's; behind, where that is negative.
    ///
    /// # Panics
    /// Where the file can't be written.
    pub fn set_ahead(&self, seconds: i64) {
        // In one step: half a setting is never read.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("the folder can be written");
        fs::rename(&new, &self.file).expect("the folder can be written");
    }

    /// A program and arguments that run `program` with this clock.
    ///
    /// # Panics
    /// Where the library is missing.
    pub(crate) fn run(&self, program: &Path, args: Vec<String>) -> (PathBuf, Vec<String>) {
        let text = |path: &Path| path.to_str().expect("paths of tests are UTF-8").to_owned();
        let settings = [
            format!("LD_PRELOAD={}", text(&library())),
            format!("FAKETIME_TIMESTAMP_FILE={}", text(&self.file)),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            "DONT_FAKE_MONOTONIC=1".to_owned(),
            // The times of files are the file system's.
            "NO_FAKE_STAT=1".to_owned(),
            text(program),
        ];
        ("env".into(), settings.into_iter().chain(args).collect())
    }
}

fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join(LIBRARY)).find(|library| library.is_file());
    found.unwrap_or_else(|| panic!("/usr/lib/*/{LIBRARY} is missing: install the package faketime"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use jiff::{SignedDuration, Timestamp};

    use super::*;

    #[test]
    fn a_process_sees_the_time_that_is_set() {
        let dir = tempfile::tempdir().unwrap();
        let clock = FakeClock::right(dir.path().join("clock"));
        for ahead in [0, 100, -100] {
            clock.set_ahead(ahead);
            let (program, args) = clock.run(Path::new("date"), vec!["+%s".to_owned()]);
            let output = Command::new(program).args(args).output().unwrap();
            let told: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
            let off = Timestamp::from_second(told).unwrap().duration_since(Timestamp::now());
            assert!((off - SignedDuration::from_secs(ahead)).abs() < SignedDuration::from_secs(10), "{off}");
        }
    }
}

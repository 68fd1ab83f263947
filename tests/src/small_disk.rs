//! A disk of a few megabytes for one host, which can be filled and freed while the host runs.
//!
//! It is a file system in memory that only the host's process and its children see: it is mounted in a mount namespace of
//! their own, and goes with the last of them, however they end. That needs no rights but those to make a user namespace.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub struct SmallDisk {
    /// In mebibytes.
    pub mebibytes: u32,
}

/// What fills it.
const BALLAST: &str = "ballast";
/// What is run before the program, in its namespaces: `$1` is the size and `$2` the folder.
const MOUNT: &str = "mount -t tmpfs -o size=\"$1\",mode=0700 none \"$2\" && folder=\"$2\" && shift 2 && ";

impl SmallDisk {
    /// A program and arguments that run `program` with this disk in `folder`, which is made. `before` are commands of a
    /// shell that come first, with `&&` behind them, for which `$folder` is the folder and `"$@"` the program.
    ///
    /// # Panics
    /// Where the folder can't be made.
    pub fn run(self, folder: &Path, before: &str, program: &Path, args: Vec<String>) -> (PathBuf, Vec<String>) {
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let text = |path: &Path| path.to_str().expect("paths of tests are UTF-8").to_owned();
        // Death with the test is asked for again: new credentials forget it.
        let script = format!("{MOUNT}{before}exec setpriv --pdeathsig KILL -- \"$@\"");
        let size = format!("{}m", self.mebibytes);
        let shell = ["--map-root-user", "--mount", "sh", "-c", &script, "sh", &size, &text(folder), &text(program)];
        ("unshare".into(), shell.map(str::to_owned).into_iter().chain(args).collect())
    }
}

/// The disk of a process that runs.
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    /// The disk that the process sees in `folder`.
    pub fn of(pid: u32, folder: &Path) -> Self {
        let inside = folder.strip_prefix("/").expect("folders of tests are absolute");
        Disk { root: PathBuf::from(format!("/proc/{pid}/root")).join(inside) }
    }

    /// A file on it, as this process reaches it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Fills it to the last byte.
    ///
    /// # Panics
    /// Where that fails in another way than for want of room.
    pub fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.path(BALLAST)).expect("a file");
        for size in [1 << 16, 1 << 12, 1] {
            let block = vec![7; size];
            loop {
                match ballast.write(&block) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("the disk can't be filled: {error}"),
                }
            }
        }
    }

    /// Makes room on it again.
    ///
    /// # Panics
    /// Where it wasn't filled.
    pub fn free(&self) {
        fs::remove_file(self.path(BALLAST)).expect("it was filled");
    }
}

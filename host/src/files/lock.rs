//! One process at a time uses a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

const FILE: &str = "lock";
/// A process id and a line end.
const MAX_BYTES: u64 = 16;

/// Why a folder can't be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process uses it.
    #[error("folder `{}` is in use by another host{}: stop that one, or name another folder", folder.display(), process(*.pid))]
    InUse {
        /// Which.
        folder: PathBuf,
        /// The process that uses it, as far as is known.
        pid: Option<u32>,
    },
    /// The lock can't be made.
    #[error("file `{}` can't be locked: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", process {pid}"))
}

/// A lock on a folder. It ends when it is dropped and when the process ends, however that happens.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `folder`, without waiting for it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::InUse { folder: folder.to_owned(), pid: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // For people only: a disk that has no room for it keeps nobody from starting.
        let pid = format!("{}\n", std::process::id());
        let _ = file.set_len(0).and_then(|()| file.write_all_at(pid.as_bytes(), 0));
        Ok(FolderLock { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_folder_has_one_user_at_a_time_and_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let error = FolderLock::take(folder.path()).unwrap_err().to_string();
        let (path, pid) = (folder.path().display(), std::process::id());
        assert!(error.starts_with(&format!("folder `{path}` is in use by another host, process {pid}: ")), "{error}");
        drop(lock);
        // A process that a parallel test starts holds a copy of the descriptor until it runs its program.
        let free = (0..500).find_map(|_| match FolderLock::take(folder.path()) {
            Err(LockError::InUse { .. }) => {
                thread::sleep(Duration::from_millis(20));
                None
            }
            taken => Some(taken),
        });
        free.expect("it is in use for ever").unwrap();
        let missing = FolderLock::take(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("none/lock"), "{missing}");
    }
}

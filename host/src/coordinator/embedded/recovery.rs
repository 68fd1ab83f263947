//! Opens the file again after a commit failed, as soon as the disk lets it.
//!
//! What the last batch changed may or may not be in the file, and the callers are told so. The world is read from the file
//! anew, so memory and disk agree whichever it is. The sessions are lost meanwhile, as those of ZooKeeper are while it has
//! no quorum for long: hosts open others, and look for what they had sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tracing::{error, info, warn};

use super::status::Status;
use super::store::{Store, StoreError, file_in};
use super::world::{Command, World};
use crate::clock::Clock;

/// The pause before the first attempt; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// If the next failure comes sooner than this after a recovery, the pauses go on growing.
const CALM: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Recovery {
    dir: PathBuf,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    pause: Duration,
    /// When the file was last opened again, on the boot clock.
    recovered: Option<Duration>,
}

/// How it went.
pub(super) enum Reopened {
    /// The world as the file has it.
    Again { world: Box<World>, store: Box<Store> },
    /// Nobody waits for it any more.
    Closed,
    /// The file can't be used, now or later.
    Never(String),
}

impl Recovery {
    pub(super) fn new(dir: PathBuf, status: Arc<Status>, clock: Arc<dyn Clock>) -> Self {
        Recovery { dir, status, clock, pause: FIRST_PAUSE, recovered: None }
    }

    /// Returns the folder of the file.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tells that a commit failed.
    pub(super) fn begin(&mut self, why: &StoreError, file: &Path) {
        error!(file = %file.display(), error = %why,
            "the embedded coordinator can't be written: its sessions are lost, and it is opened again when the disk lets it");
        self.status.set_trouble(trouble(why, file));
        if self.recovered.is_some_and(|at| self.clock.boot().saturating_sub(at) > CALM) {
            self.pause = FIRST_PAUSE;
        }
    }

    /// Tries until the file can be read and written. It must be at one of the `expected` zxids: at the one before the commit
    /// that failed, or at the one after it. Requests are refused meanwhile.
    pub(super) fn reopen(&mut self, inbox: &Receiver<Command>, expected: [i64; 2]) -> Reopened {
        loop {
            if !self.wait(inbox) {
                return Reopened::Closed;
            }
            match Store::reopen(&self.dir) {
                Ok((store, tree)) if expected.contains(&tree.zxid()) => {
                    info!(file = %store.path().display(), last_commit_done = tree.zxid() == expected[1],
                        "the embedded coordinator can be written again");
                    self.recovered = Some(self.clock.boot());
                    self.status.clear();
                    let world = Box::new(World::new(tree, self.clock.clone()));
                    return Reopened::Again { world, store: Box::new(store) };
                }
                Ok((store, tree)) => {
                    let file = store.path().display();
                    let reason = format!(
                        "the embedded coordinator's file `{file}` is another one now, at transaction {} instead of {}",
                        tree.zxid(),
                        expected[0]
                    );
                    store.close();
                    return self.never(reason);
                }
                Err(error) if may_pass(&error) => self.still(&error),
                Err(error) => {
                    let file = file_in(&self.dir);
                    return self.never(format!("the embedded coordinator's file `{}`: {error}", file.display()));
                }
            }
        }
    }

    fn never(&self, reason: String) -> Reopened {
        self.status.set_trouble(reason.clone());
        Reopened::Never(reason)
    }

    fn still(&self, error: &StoreError) {
        let file = file_in(&self.dir);
        warn!(file = %file.display(), %error, "the embedded coordinator still can't be written, trying again");
        // Errors that only repeat an earlier one say less than it did.
        if !matches!(error, StoreError::EarlierIo) {
            self.status.set_trouble(trouble(error, &file));
        }
    }

    /// Waits for the next attempt and refuses what is asked meanwhile. False if nobody can ask any more.
    fn wait(&mut self, inbox: &Receiver<Command>) -> bool {
        let until = self.clock.boot() + self.pause;
        self.pause = (2 * self.pause).min(LAST_PAUSE);
        loop {
            // A command that is dropped drops its reply, which its caller sees.
            match inbox.recv_timeout(until.saturating_sub(self.clock.boot())) {
                Ok(_refused) => {}
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }
}

fn trouble(error: &StoreError, file: &Path) -> String {
    let remedy = match error {
        StoreError::Io(error) if is_full(error) => "free some space there, and it goes on",
        StoreError::Io(_) | StoreError::EarlierIo | StoreError::InUse => "it is tried again",
        StoreError::Format(_) | StoreError::TooOld(_) | StoreError::Damaged(_) => "it is looked at again",
    };
    format!("file `{}` can't be written: {error}; {remedy}", file.display())
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether the file may be usable later. One that is gone stays gone: another must not begin in its place by itself.
fn may_pass(error: &StoreError) -> bool {
    match error {
        StoreError::Io(error) => error.kind() != std::io::ErrorKind::NotFound,
        StoreError::EarlierIo | StoreError::InUse => true,
        StoreError::Format(_) | StoreError::TooOld(_) | StoreError::Damaged(_) => false,
    }
}

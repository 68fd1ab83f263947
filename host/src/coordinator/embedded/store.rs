//! The file: every persistent node under its path, and the last transaction's number.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use rustix::fs::{Advice, fadvise};
use thiserror::Error;

use crate::coordinator::tree::{Node, Tree};
use crate::{files, panics};

const FILE: &str = "coordinator.redb";
/// A new file has this name until it is whole.
const UNFINISHED: &str = "coordinator.redb.new";
const NODES: TableDefinition<&str, &[u8]> = TableDefinition::new("nodes");
const NUMBERS: TableDefinition<&str, i64> = TableDefinition::new("numbers");
const ZXID: &str = "zxid";
const FORMAT: &str = "format";
/// What this code writes. Another number is refused.
const FORMAT_NOW: i64 = 1;
/// How much of the file is held in memory beside the tree itself: little, since it is read at the start alone.
const CACHE_BYTES: usize = 4 << 20;

/// Why the file can't be used.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    /// It is locked.
    #[error("it is in use by another process")]
    InUse,
    /// Another version wrote it.
    #[error("it has format {0}, and this version reads format {FORMAT_NOW}")]
    Format(i64),
    /// It isn't what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The system says no: the disk is full, say, or the file may not be read.
    #[error("{0}")]
    Io(io::Error),
    /// An earlier redb wrote it, in a form of its own that this one doesn't read.
    #[error("it was written by an earlier version of the store (format {0}), which this version doesn't read")]
    TooOld(u8),
    /// An I/O error came before: redb does nothing more until the file is opened again.
    #[error("an earlier error of the disk")]
    EarlierIo,
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => StoreError::InUse,
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreError::EarlierIo,
            redb::Error::UpgradeRequired(format) => StoreError::TooOld(format),
            redb::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                StoreError::Damaged(error.to_string())
            }
            redb::Error::Io(error) => StoreError::Io(error),
            // No table, say: it is the file of another program. redb's errors may grow in number.
            other => StoreError::Damaged(other.to_string()),
        }
    }
}

/// The open file.
pub(super) struct Store {
    path: PathBuf,
    /// Device and inode of the open file; None in tests whose disk is their own.
    identity: Option<(u64, u64)>,
    database: Database,
}

/// Returns the path of the file in `dir`.
pub(super) fn file_in(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

impl Store {
    /// Makes a file that holds `tree` in `dir`, where there must be none. Returns when it is on disk.
    pub(super) fn create(dir: &Path, tree: &Tree) -> Result<(), StoreError> {
        files::make_folder(dir).map_err(|error| StoreError::Io(io::Error::other(error)))?;
        let unfinished = dir.join(UNFINISHED);
        // An earlier start may have been killed, or found the disk full.
        remove(&unfinished).map_err(StoreError::Io)?;
        let made = guarded(|| write_all(&unfinished, tree)).and_then(|()| {
            let synced = File::open(&unfinished).and_then(|file| file.sync_all());
            synced.and_then(|()| fs::rename(&unfinished, file_in(dir))).map_err(StoreError::Io)
        });
        if made.is_err() {
            // The error before it counts.
            let _ = remove(&unfinished);
        }
        made?;
        files::sync_parent(&file_in(dir)).map_err(StoreError::Io)
    }

    /// Opens the file in `dir` and reads the tree. All of the file is checked: of one that is damaged, nothing is used.
    pub(super) fn open(dir: &Path) -> Result<(Self, Tree), StoreError> {
        let path = file_in(dir);
        if path.metadata().map_err(StoreError::Io)?.len() == 0 {
            // redb would begin a new tree in it.
            return Err(StoreError::Damaged("it is empty".to_owned()));
        }
        let database = guarded(|| Ok(builder().open(&path)?))?;
        match guarded(|| read_tree(&database)) {
            Ok(tree) => Ok((Store { identity: identity(&path).ok(), path, database }, tree)),
            Err(error) => {
                close(database);
                Err(error)
            }
        }
    }

    /// Opens what a file holds whose disk is a test's own.
    #[cfg(test)]
    pub(super) fn with_backend(dir: &Path, backend: impl redb::StorageBackend) -> Result<(Self, Tree), StoreError> {
        let database = builder().create_with_backend(backend)?;
        let tree = read_tree(&database)?;
        Ok((Store { path: file_in(dir), identity: None, database }, tree))
    }

    /// Opens the file again after an error of the disk, and makes sure that it can be written.
    pub(super) fn reopen(dir: &Path) -> Result<(Self, Tree), StoreError> {
        // What the disk didn't take may still be in the system's memory, and would be read from there.
        let file = File::open(file_in(dir)).map_err(StoreError::Io)?;
        fadvise(&file, 0, None, Advice::DontNeed).map_err(|error| StoreError::Io(error.into()))?;
        let (store, tree) = Self::open(dir)?;
        match store.save(&tree, &HashSet::new()) {
            Ok(()) => Ok((store, tree)),
            Err(error) => {
                store.close();
                Err(error)
            }
        }
    }

    /// Returns whether somebody has removed or replaced the file since this host opened it. If so, writes to the open file are lost
    /// when this process ends.
    pub(super) fn is_gone(&self) -> bool {
        match identity(&self.path) {
            Ok(now) => self.identity.is_some_and(|opened| opened != now),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Writes `tree` to a new file in `dir` and goes on with that. A file of somebody else that is in its place is kept beside it,
    /// with `.replaced` after its name.
    pub(super) fn move_to_new_file(&mut self, dir: &Path, tree: &Tree) -> Result<(), StoreError> {
        let aside = self.path.with_added_extension("replaced");
        match fs::rename(&self.path, aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreError::Io(error)),
            _ => {}
        }
        Self::create(dir, tree)?;
        let (store, _) = Self::open(dir)?;
        mem::replace(self, store).close();
        Ok(())
    }

    /// Returns where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the nodes at `paths` as they now are, and the tree's zxid. Returns when it is on disk.
    ///
    /// Ephemeral nodes are left out, but their transactions count: no token is ever given twice.
    pub(super) fn save(&self, tree: &Tree, paths: &HashSet<String>) -> Result<(), StoreError> {
        guarded(|| self.save_unguarded(tree, paths))
    }

    fn save_unguarded(&self, tree: &Tree, paths: &HashSet<String>) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        {
            let mut nodes = transaction.open_table(NODES)?;
            for path in paths {
                match tree.node(path).filter(|node| !node.is_ephemeral()) {
                    Some(node) => nodes.insert(path.as_str(), node.encode().as_slice())?,
                    None => nodes.remove(path.as_str())?,
                };
            }
            transaction.open_table(NUMBERS)?.insert(ZXID, tree.zxid())?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Closes the file. After an error of the disk there is nothing left to write, and nothing to be done about it.
    pub(super) fn close(self) {
        close(self.database);
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn write_all(path: &Path, tree: &Tree) -> Result<(), StoreError> {
    let database = builder().create(path)?;
    let transaction = database.begin_write()?;
    {
        let mut nodes = transaction.open_table(NODES)?;
        for (path, node) in tree.nodes().filter(|(_, node)| !node.is_ephemeral()) {
            nodes.insert(path, node.encode().as_slice())?;
        }
        let mut numbers = transaction.open_table(NUMBERS)?;
        numbers.insert(FORMAT, FORMAT_NOW)?;
        numbers.insert(ZXID, tree.zxid())?;
    }
    transaction.commit()?;
    Ok(database.close()?)
}

fn read_tree(database: &Database) -> Result<Tree, StoreError> {
    let transaction = database.begin_read()?;
    let numbers = transaction.open_table(NUMBERS)?;
    match numbers.get(FORMAT)?.map(|format| format.value()) {
        Some(FORMAT_NOW) => {}
        Some(other) => return Err(StoreError::Format(other)),
        None => return Err(StoreError::Damaged("it doesn't say its format".to_owned())),
    }
    let zxid = numbers.get(ZXID)?.map_or(0, |zxid| zxid.value());
    let mut nodes = Vec::new();
    // In the order of paths, which has parents before children.
    for entry in transaction.open_table(NODES)?.iter()? {
        let (path, bytes) = entry?;
        let path = path.value().to_owned();
        let unreadable = || StoreError::Damaged(format!("the node `{path}` in it can't be read"));
        let node = Node::decode(bytes.value()).ok_or_else(unreadable)?;
        nodes.push((path, node));
    }
    Ok(Tree::restore(zxid, nodes))
}

/// Runs what asks redb for something. A panic there means that the file isn't what redb wrote.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panics::catch(work).unwrap_or_else(|panic| Err(StoreError::Damaged(panic)))
}

fn close(database: Database) {
    let _ = panics::catch(move || drop(database));
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Returns the device and the inode number of the file at `path`.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

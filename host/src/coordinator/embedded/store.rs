//! The file: every persistent node under its path, and the last transaction's number.

use std::collections::HashSet;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use thiserror::Error;

use crate::coordinator::tree::{Node, Tree};

const FILE: &str = "coordinator.redb";
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
    /// Locked.
    #[error("it is in use by another process")]
    InUse,
    /// Written by another version.
    #[error("it has format {0}, this version reads format {FORMAT_NOW}")]
    Format(i64),
    /// Not what was written.
    #[error("the node `{0}` in it can't be read")]
    Corrupt(String),
    /// The rest. The text has all that the source would say.
    #[error("{0}")]
    Redb(String),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse,
            other => StoreError::Redb(other.to_string()),
        }
    }
}

/// The open file.
pub(super) struct Store {
    database: Database,
}

impl Store {
    /// Opens or makes the file in `dir` and reads the tree.
    pub(super) fn open(dir: &Path) -> Result<(Self, Tree), StoreError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(dir.join(FILE))?;
        let transaction = database.begin_write()?;
        transaction.open_table(NODES)?;
        let format = {
            let mut numbers = transaction.open_table(NUMBERS)?;
            let found = numbers.get(FORMAT)?.map(|found| found.value());
            if found.is_none() {
                numbers.insert(FORMAT, FORMAT_NOW)?;
            }
            found.unwrap_or(FORMAT_NOW)
        };
        if format != FORMAT_NOW {
            return Err(StoreError::Format(format));
        }
        transaction.commit()?;
        let tree = read_tree(&database)?;
        Ok((Store { database }, tree))
    }

    /// Writes the nodes at `paths` as they now are, and the tree's zxid. Returns when it is on disk.
    ///
    /// Ephemeral nodes are left out, but their transactions count: no token is ever given twice.
    pub(super) fn save(&self, tree: &Tree, paths: &HashSet<String>) -> Result<(), StoreError> {
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
}

fn read_tree(database: &Database) -> Result<Tree, StoreError> {
    let transaction = database.begin_read()?;
    let zxid = transaction.open_table(NUMBERS)?.get(ZXID)?.map_or(0, |zxid| zxid.value());
    let mut nodes = Vec::new();
    // In the order of paths, which has parents before children.
    for entry in transaction.open_table(NODES)?.iter()? {
        let (path, bytes) = entry?;
        let path = path.value().to_owned();
        let node = Node::decode(bytes.value()).ok_or_else(|| StoreError::Corrupt(path.clone()))?;
        nodes.push((path, node));
    }
    Ok(Tree::restore(zxid, nodes))
}

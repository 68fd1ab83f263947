//! What a ZooKeeper server has committed, read from its transaction log: every write in the server's own order, with no
//! gap that a watch or a poll would leave, and at no cost to the server.
//!
//! The format is that of `FileTxnLog` and of the records in `zookeeper.jute`: a header of 16 bytes, then for each
//! transaction a checksum (which is not checked here), its length, the bytes, and `B`. The rest of a file is zeros.
//! A server on its own commits all that it logs; of an ensemble, the last entries of a log may not have been committed.

use std::path::Path;
use std::{fs, io};

const MAGIC: &[u8] = b"ZKLG";
const FILE_HEADER_BYTES: usize = 16;

/// A committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its number: the order of all transactions.
    pub zxid: i64,
    /// When the ensemble's leader took it up, by its clock, in milliseconds since 1970.
    pub time_ms: i64,
    /// The session that sent it.
    pub session: i64,
    /// What it did.
    pub deed: Deed,
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// These nodes got these values, all at once.
    Wrote(Vec<Write>),
    /// Nothing: it was refused (a check that failed, a node that was missing).
    Refused,
    /// The session ended.
    SessionClosed,
    /// Something else.
    Other,
}

/// A node that was created or set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its path.
    pub path: String,
    /// Its value.
    pub value: Vec<u8>,
    /// The node's version from then on; 0 where it was created.
    pub version: i32,
}

/// All transactions in the logs of `dir` (a server's `version-2`), in order.
///
/// # Errors
/// Where a file can't be read, or is no transaction log.
pub fn read(dir: &Path) -> io::Result<Vec<Transaction>> {
    read_all([dir])
}

/// The transactions in the logs of all servers of an ensemble, in order: one that was down for a while may have none of
/// what was committed meanwhile.
///
/// # Errors
/// As [`read`].
pub fn read_all<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> io::Result<Vec<Transaction>> {
    let mut transactions = Vec::new();
    for dir in dirs {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("log.")) {
                transactions.extend(parse(&fs::read(path)?)?);
            }
        }
    }
    transactions.sort_by_key(|transaction| transaction.zxid);
    transactions.dedup_by_key(|transaction| transaction.zxid);
    Ok(transactions)
}

/// The transactions of one file.
fn parse(file: &[u8]) -> io::Result<Vec<Transaction>> {
    if !file.starts_with(MAGIC) || file.len() < FILE_HEADER_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a transaction log of ZooKeeper"));
    }
    let mut rest = Record(&file[FILE_HEADER_BYTES..]);
    let mut transactions = Vec::new();
    // The file may end within an entry that is being written, or in the zeros that it was filled with beforehand.
    while let Some(entry) = rest.entry() {
        let transaction = Record(entry).transaction();
        transactions
            .push(transaction.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a broken transaction"))?);
    }
    Ok(transactions)
}

/// Kinds of transactions, from `ZooDefs.OpCode`.
mod kind {
    pub(super) const ERROR: i32 = -1;
    pub(super) const CREATE: i32 = 1;
    pub(super) const SET: i32 = 5;
    pub(super) const MULTI: i32 = 14;
    pub(super) const CREATE2: i32 = 15;
    pub(super) const CREATE_CONTAINER: i32 = 19;
    pub(super) const CLOSE_SESSION: i32 = -11;
}

/// What is left to read of a record. Every read gives None at the record's end.
struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    fn entry(&mut self) -> Option<&'a [u8]> {
        let _checksum = self.long()?;
        let entry = self.buffer().filter(|entry| !entry.is_empty())?;
        (self.take(1)? == b"B").then_some(entry)
    }

    fn transaction(&mut self) -> Option<Transaction> {
        let session = self.long()?;
        let _cxid = self.int()?;
        let zxid = self.long()?;
        let time_ms = self.long()?;
        let deed = match self.int()? {
            kind::MULTI => self.multi()?,
            kind::CLOSE_SESSION => Deed::SessionClosed,
            other => self.single(other)?,
        };
        Some(Transaction { zxid, time_ms, session, deed })
    }

    /// One operation, in a transaction of its own or in a multi.
    fn single(&mut self, kind: i32) -> Option<Deed> {
        match kind {
            kind::ERROR => Some(Deed::Refused),
            kind::CREATE | kind::CREATE2 | kind::CREATE_CONTAINER | kind::SET => {
                let path = String::from_utf8(self.buffer()?.to_vec()).ok()?;
                let value = self.buffer()?.to_vec();
                let version = if kind == kind::SET { self.int()? } else { 0 };
                Some(Deed::Wrote(vec![Write { path, value, version }]))
            }
            _ => Some(Deed::Other),
        }
    }

    fn multi(&mut self) -> Option<Deed> {
        let count = self.int()?;
        let mut writes = Vec::new();
        for _ in 0..count {
            let kind = self.int()?;
            match Record(self.buffer()?).single(kind)? {
                Deed::Wrote(more) => writes.extend(more),
                // One that is refused takes all others with it.
                Deed::Refused => return Some(Deed::Refused),
                Deed::SessionClosed | Deed::Other => {}
            }
        }
        Some(if writes.is_empty() { Deed::Other } else { Deed::Wrote(writes) })
    }

    fn long(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Bytes behind their length; none where the length is negative, which is how a null is written.
    fn buffer(&mut self) -> Option<&'a [u8]> {
        let length = self.int()?;
        self.take(usize::try_from(length).unwrap_or(0))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use silverback::coordinator::{Coordinator, CreateMode, Op, ZooKeeper};

    use super::*;
    use crate::zookeeper::ZooKeeperServer;

    #[test]
    fn other_files_are_refused() {
        assert!(parse(b"PK\x03\x04 some other file").is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn writes_and_refusals_stand_in_the_log_in_their_order() {
        let server = ZooKeeperServer::start().unwrap();
        let coordinator = ZooKeeper::new(&server.connect_string(), Duration::from_secs(10)).unwrap();
        let session = coordinator.connect(Duration::from_secs(30)).await.unwrap();
        session.create("/node", b"one", CreateMode::Persistent).await.unwrap();
        let set = |value: &[u8]| Op::Set { path: "/node".to_owned(), data: value.to_vec(), version: None };
        let check = |path: &str| Op::Check { path: path.to_owned(), version: None };
        session.multi(vec![check("/node"), set(b"two")]).await.unwrap();
        session.multi(vec![check("/gone"), set(b"lost")]).await.unwrap_err();
        session.set("/node", b"three", None).await.unwrap();
        let transactions = server.transactions().unwrap();
        let deeds: Vec<Option<String>> =
            transactions.iter().filter_map(|transaction| told(&transaction.deed)).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(deeds, [some("one"), some("two"), None, some("three")]);
        assert!(transactions.windows(2).all(|pair| pair[0].zxid < pair[1].zxid));
        let (_, stat) = session.get("/node").await.unwrap();
        let last = transactions.iter().rev().find(|transaction| told(&transaction.deed).is_some()).unwrap();
        assert_eq!(last.time_ms, stat.mtime_ms);
        let versions = transactions.iter().filter_map(|transaction| match &transaction.deed {
            Deed::Wrote(writes) => writes.iter().find(|write| write.path == "/node").map(|write| write.version),
            Deed::Refused | Deed::SessionClosed | Deed::Other => None,
        });
        assert_eq!(versions.collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(stat.version, 2);
    }

    /// The value of a write to `/node`, None inside for a refusal; None for anything else.
    fn told(deed: &Deed) -> Option<Option<String>> {
        match deed {
            Deed::Wrote(writes) => {
                let of_node = writes.iter().find(|write| write.path == "/node")?;
                Some(Some(String::from_utf8_lossy(&of_node.value).into_owned()))
            }
            Deed::Refused => Some(None),
            Deed::SessionClosed | Deed::Other => None,
        }
    }
}

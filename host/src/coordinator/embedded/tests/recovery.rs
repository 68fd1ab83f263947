//! A disk that fails: what is told, and what is there afterwards.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::*;
use crate::coordinator::Sessions;

const NOTHING: u8 = 0;
/// No write gets to the disk.
const WRITES: u8 = 1;
/// All is written, and the disk fails before it says so.
const SYNCS: u8 = 2;

/// A file on a disk that fails when it is told to. Only the first one that opens it meets the faults.
#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    failing: Arc<AtomicU8>,
}

impl Faulty {
    fn check(&self, what: u8) -> io::Result<()> {
        match self.failing.load(Ordering::SeqCst) == what {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check(WRITES)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check(SYNCS)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(WRITES)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A coordinator on a disk that can be made to fail.
fn on_a_faulty_disk(dir: &Path) -> (Arc<Embedded>, Arc<AtomicU8>) {
    Store::create(dir, &Tree::new()).unwrap();
    let failing = Arc::new(AtomicU8::new(NOTHING));
    let file = File::options().read(true).write(true).open(store::file_in(dir)).unwrap();
    let faulty = Faulty { file: FileBackend::new(file).unwrap(), failing: failing.clone() };
    let (store, tree) = Store::with_backend(dir, faulty).unwrap();
    (Arc::new(Embedded::on(store, tree, dir, system()).unwrap()), failing)
}

#[tokio::test]
async fn w5_a_failed_commit_is_unknown_and_the_next_session_finds_what_became_of_it() {
    for (fault, is_done) in [(WRITES, false), (SYNCS, true)] {
        let dir = tempfile::tempdir().unwrap();
        let (embedded, failing) = on_a_faulty_disk(dir.path());
        let sessions = Sessions::open(embedded.clone(), PATIENCE).await.unwrap();
        let first = sessions.now().unwrap();
        first.create("/before", b"1", CreateMode::Persistent).await.unwrap();
        first.create("/ephemeral", b"", CreateMode::Ephemeral).await.unwrap();
        let (_, mut watch) = first.stat_and_watch("/before").await.unwrap();

        failing.store(fault, Ordering::SeqCst);
        let error = first.create("/during", b"", CreateMode::Persistent).await.unwrap_err();
        assert!(error.is_unknown(), "{error}");
        first.state().wait_for(|state| *state == SessionState::Lost).await.unwrap();
        watch.changed().await;
        assert_eq!(first.get("/before").await, Err(Error::Lost));

        let mut follow = sessions.follow();
        let is_next = |now: &Option<Arc<dyn Session>>| now.as_ref().is_some_and(|now| now.id() != first.id());
        let next = follow.wait_for(is_next).await.unwrap().clone().unwrap();
        assert!(next.id() > first.id(), "a session's id came twice");
        assert_eq!(next.get("/before").await.unwrap().0, b"1");
        assert_eq!(next.stat("/ephemeral").await, Ok(None), "its session is over");
        assert_eq!(next.stat("/during").await.unwrap().is_some(), is_done);
        next.create("/after", b"", CreateMode::Persistent).await.unwrap();
        sessions.close().await;
        drop((first, next, follow, sessions, embedded));

        let (_embedded, later) = open(dir.path()).await;
        assert!(later.stat("/after").await.unwrap().is_some());
        assert_eq!(later.stat("/during").await.unwrap().is_some(), is_done);
    }
}

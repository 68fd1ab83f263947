//! A host's way to the coordinator: notes what is committed, loses replies, and is where its host dies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use silverback::clock::Clock;
use silverback::config::Layout;
use silverback::coordinator::{CreateMode, Error, MultiError, Op, OpResult, Session, SessionState, Stat, Watch};
use silverback::registry::JobSpec;
use tokio::sync::watch;

use super::VirtualClock;
use crate::chance::Chance;
use crate::txn_log::{Deed, Transaction, Write};

/// How long a request takes at the most, in milliseconds.
const SLOWEST_MS: usize = 8;

/// All that was committed, as a server's transaction log has it.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<Transaction>>>);

impl Log {
    pub(super) fn stored(&self, layout: &Layout, spec: &JobSpec, at: Timestamp) {
        let path = layout.job(&spec.id.tenant, &spec.id.name);
        self.push(vec![Write { path, value: serde_json::to_vec(spec).unwrap(), version: 0 }], at);
    }

    fn push(&self, writes: Vec<Write>, at: Timestamp) {
        let mut log = self.0.lock().unwrap();
        let zxid = log.len() as i64 + 1;
        log.push(Transaction { zxid, time_ms: at.as_millisecond(), session: 1, deed: Deed::Wrote(writes) });
    }

    pub(super) fn transactions(&self) -> Vec<Transaction> {
        self.0.lock().unwrap().clone()
    }
}

/// What goes wrong on it.
pub(super) struct Faults {
    pub(super) chance: Chance,
    /// The host dies at this step: the first is before its first request, the second after that and before its reply, and so
    /// on.
    pub(super) dies_at: Option<usize>,
    /// The host dies in one step of so many; 0 for never.
    pub(super) dies_in: usize,
    /// The reply of one multi of so many is lost, or the multi itself; 0 for never.
    pub(super) loses: usize,
}

impl Faults {
    pub(super) fn none(chance: Chance) -> Self {
        Faults { chance, dies_at: None, dies_in: 0, loses: 0 }
    }
}

/// One host's session.
pub(super) struct Wire {
    inner: Arc<dyn Session>,
    log: Log,
    clock: VirtualClock,
    faults: Mutex<Faults>,
    steps: Mutex<usize>,
    dead: watch::Sender<bool>,
}

impl Wire {
    pub(super) fn new(inner: Arc<dyn Session>, log: Log, clock: VirtualClock, faults: Faults) -> Arc<Self> {
        let (faults, steps) = (Mutex::new(faults), Mutex::default());
        Arc::new(Wire { inner, log, clock, faults, steps, dead: watch::channel(false).0 })
    }

    /// Returns when its host is dead.
    pub(super) async fn died(&self) {
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// One step on. From its death on, nothing of a host gets through, and nothing gets to it.
    fn step(&self) -> Result<(), Error> {
        let dies = {
            let (mut steps, mut faults) = (self.steps.lock().unwrap(), self.faults.lock().unwrap());
            *steps += 1;
            let dies_in = faults.dies_in;
            faults.dies_at == Some(*steps) || (dies_in > 0 && faults.chance.below(dies_in) == 0)
        };
        if dies {
            self.dead.send_replace(true);
        }
        if *self.dead.borrow() { Err(Error::Lost) } else { Ok(()) }
    }

    async fn travel(&self) {
        let ms = self.faults.lock().unwrap().chance.below(SLOWEST_MS);
        tokio::time::sleep(Duration::from_millis(ms as u64)).await;
    }

    fn loses(&self) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let loses = faults.loses;
        loses > 0 && faults.chance.below(loses) == 0
    }

    async fn read<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.step()?;
        self.travel().await;
        let found = read.await;
        self.step()?;
        found
    }
}

#[async_trait]
impl Session for Wire {
    fn id(&self) -> i64 {
        self.inner.id()
    }

    fn timeout(&self) -> Duration {
        self.inner.timeout()
    }

    fn opening(&self) -> Duration {
        self.inner.opening()
    }

    fn state(&self) -> watch::Receiver<SessionState> {
        self.inner.state()
    }

    async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<String, Error> {
        self.read(self.inner.create(path, data, mode)).await
    }

    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        self.read(self.inner.get(path)).await
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        self.read(self.inner.stat(path)).await
    }

    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        self.read(self.inner.set(path, data, version)).await
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        self.read(self.inner.delete(path, version)).await
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        self.read(self.inner.list(path)).await
    }

    async fn list_and_stat(&self, path: &str, name: &str) -> Result<(Vec<String>, Option<Stat>), Error> {
        self.read(self.inner.list_and_stat(path, name)).await
    }

    async fn multi(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError> {
        self.step()?;
        self.travel().await;
        let lost = || MultiError::Whole(Error::OutcomeUnknown { detail: "the connection broke".to_owned() });
        if self.loses() {
            return Err(lost());
        }
        let results = self.inner.multi(ops.clone()).await?;
        let writes: Vec<Write> = ops.into_iter().zip(&results).filter_map(|(op, result)| write(op, result)).collect();
        self.log.push(writes, self.clock.wall());
        self.step()?;
        self.travel().await;
        if self.loses() { Err(lost()) } else { Ok(results) }
    }

    async fn get_and_watch(&self, path: &str) -> Result<(Option<(Vec<u8>, Stat)>, Watch), Error> {
        self.read(self.inner.get_and_watch(path)).await
    }

    async fn stat_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        self.read(self.inner.stat_and_watch(path)).await
    }

    async fn list_and_watch(&self, path: &str) -> Result<(Vec<String>, Watch), Error> {
        self.read(self.inner.list_and_watch(path)).await
    }

    async fn sync(&self, path: &str) -> Result<(), Error> {
        self.read(self.inner.sync(path)).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// What an operation wrote; None where it wrote nothing.
fn write(op: Op, result: &OpResult) -> Option<Write> {
    match (op, result) {
        (Op::Create { path, data, .. }, _) => Some(Write { path, value: data, version: 0 }),
        (Op::Set { path, data, .. }, OpResult::Set(stat)) => Some(Write { path, value: data, version: stat.version }),
        (Op::Set { .. } | Op::Check { .. } | Op::Delete { .. }, _) => None,
    }
}

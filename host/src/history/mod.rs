//! What was run, how it ended and what it said: kept in an object store, this host's newest also in memory. A store that
//! fails never costs a run. Records wait in memory until it takes them, a few megabytes of them.
//!
//! It doesn't know who else is in the cluster: it reads what any host left in the store, by the host's name.

mod cursor;
mod entry;
mod fold;
mod journal;
mod memory;
mod objects;
mod record;
mod run;
mod run_state;
mod shelf;
mod stores;

use std::collections::btree_map::Entry::Occupied;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use object_store::ObjectStore;
use tokio::sync::{OnceCell, oneshot, watch};

pub use cursor::{Cursor, CursorError};
pub use record::{Known, LogLevel, LogLine, LogSink, Outcome, PlacedLine, RunRecord, Usage};
pub use run::{RunHandle, Stored};
pub use run_state::{RING, RING_DETAIL_BYTES, RunState, Running, cut};
pub use stores::{Stores, SyncStore};

use crate::clock::Clock;
use crate::registry::JobId;
use crate::vital;
use entry::Entry;
use journal::Journal;
use memory::Memory;
use objects::Objects;
use shelf::Shelf;

/// How many runs of a job are kept, of each host, where the job says nothing.
pub const KEPT_RUNS: usize = 200;
/// How much of a run's log is kept, in bytes: its newest lines.
pub const KEPT_LOG_BYTES: usize = 256 * 1024;

/// How much is written, in bytes, before it is sorted by job and what is old goes.
const FOLD_AT: usize = 64 * 1024 * 1024;
/// The pause before what a store refused is offered to it again; doubled after each further refusal, up to the longest.
const STORE_RETRY: Duration = Duration::from_millis(200);
const LONGEST_STORE_RETRY: Duration = Duration::from_secs(5);
/// How often the last lines of a run are offered to a store that fails. They would take too much memory for long.
const LOG_ATTEMPTS: u32 = 4;

/// The runs of all jobs, as far as the store reaches.
#[derive(Clone)]
pub struct History(Arc<Inner>);

pub(crate) struct Inner {
    host: String,
    clock: Arc<dyn Clock>,
    opened: Timestamp,
    sync: SyncStore,
    shelf: Shelf,
    journal: Journal,
    memory: Memory,
    /// This host's records of which the store may not have the last word yet, by job and name.
    unsaved: Mutex<BTreeMap<(JobId, String), RunRecord>>,
    /// Once it is known.
    store_id: OnceCell<String>,
    /// How much is written before it is folded, in bytes; and before it is folded next.
    fold_at: usize,
    fold_next_at: AtomicUsize,
    folding: AtomicBool,
    /// Of logs that were stored by themselves since the last fold began.
    log_bytes: AtomicUsize,
    failed_writes: AtomicU64,
    /// How many background tasks are under way.
    busy: watch::Sender<usize>,
}

impl History {
    /// The history in `store`, kept by the host of this name.
    pub fn new(store: Arc<dyn ObjectStore>, host: &str, clock: Arc<dyn Clock>) -> Self {
        Self::in_stores(store.into(), host, clock)
    }

    /// The same in a store that tells what is safe from a crash of the machine.
    pub fn in_stores(stores: Stores, host: &str, clock: Arc<dyn Clock>) -> Self {
        Self::folded_at(FOLD_AT, stores, host, clock)
    }

    fn folded_at(fold_at: usize, stores: Stores, host: &str, clock: Arc<dyn Clock>) -> Self {
        let Stores { durable, quick, sync } = stores;
        let (durable, quick, opened) = (Objects::new(durable), Objects::new(quick), clock.wall());
        History(Arc::new(Inner {
            host: host.to_owned(),
            opened,
            sync,
            shelf: Shelf::new(quick),
            journal: Journal::new(durable, host),
            memory: Memory::new(host, clock.clone()),
            clock,
            unsaved: Mutex::default(),
            store_id: OnceCell::new(),
            fold_at,
            fold_next_at: AtomicUsize::new(fold_at),
            folding: AtomicBool::new(false),
            log_bytes: AtomicUsize::new(0),
            failed_writes: AtomicU64::new(0),
            busy: watch::channel(0).0,
        }))
    }

    // ---- writing: called within a tokio runtime. `keep` is how many runs of the job are kept, of each host, at least 1 ----

    /// A run begins: its record, with no end yet, is stored in the background.
    pub fn begin(&self, job: &JobId, record: RunRecord, keep: usize) -> RunHandle {
        RunHandle::begin(self.0.clone(), job.clone(), record, keep)
    }

    /// Stores a record as it is, in the background: what was skipped, or how a run of another host ended, as far as this one
    /// knows. That host's own word counts before it.
    pub fn record(&self, job: &JobId, record: RunRecord, keep: usize) -> Stored {
        let (inner, job) = (self.0.clone(), job.clone());
        let (done, stored) = oneshot::channel();
        inner.remember(&job, &record);
        inner.clone().in_background(async move {
            inner.append_last(&job, Entry::new(record, keep)).await;
            let _ = done.send(());
        });
        Stored(stored)
    }

    /// Waits until everything said so far is stored, at most `patience`. False when it took longer. A run under way
    /// counts as not stored.
    pub async fn settle(&self, patience: Duration) -> bool {
        let mut busy = self.0.busy.subscribe();
        tokio::time::timeout(patience, busy.wait_for(|busy| *busy == 0)).await.is_ok()
    }

    /// How many writes to the store failed since the start.
    pub fn failed_writes(&self) -> u64 {
        self.0.failed_writes.load(Ordering::Relaxed)
    }

    // ---- reading. What moves from memory to the journal and on to the shelf is looked for in that order, and so found ----

    /// What this host wrote of a job's runs, newest first: of its own, and of those of hosts that could say no more.
    ///
    /// # Errors
    /// What the store says.
    pub async fn own_runs(&self, job: &JobId, limit: usize) -> Result<Vec<RunRecord>, object_store::Error> {
        let unsaved: Vec<RunRecord> = {
            let unsaved = self.0.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
            unsaved.iter().filter(|((of, _), _)| of == job).map(|(_, run)| run.clone()).collect()
        };
        let mut runs = self.0.stored(job, &self.0.host, limit).await?;
        for run in runs.values_mut().filter(|run| run.ended.is_none() && run.started < self.0.opened) {
            run.given_up("its host stopped before it ended");
        }
        unsaved.into_iter().for_each(|run| add(&mut runs, run));
        Ok(runs.into_values().rev().take(limit).collect())
    }

    /// What another host wrote, as the store has it, newest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn stored_runs(
        &self,
        job: &JobId,
        host: &str,
        limit: usize,
    ) -> Result<Vec<RunRecord>, object_store::Error> {
        Ok(self.0.stored(job, host, limit).await?.into_values().rev().take(limit).collect())
    }

    /// Returns the id of the store, which is made with it: two hosts that have the same one share a store. Empty if the store
    /// can't say, so that nobody waits for a store that fails.
    pub async fn store_id(&self) -> String {
        let id = self.0.store_id.get_or_try_init(|| self.0.journal.store_id()).await;
        id.inspect_err(|error| self.0.write_failed(error)).cloned().unwrap_or_default()
    }

    /// Returns whether any host left a record of any run in the store.
    ///
    /// # Errors
    /// What the store says.
    pub async fn has_records(&self) -> Result<bool, object_store::Error> {
        Ok(self.0.journal.has_any().await? || self.0.shelf.has_any().await?)
    }

    /// The hosts that may have left something of a job in the store.
    ///
    /// # Errors
    /// What the store says.
    pub async fn hosts(&self, job: &JobId) -> Result<BTreeSet<String>, object_store::Error> {
        let journals = self.0.journal.hosts().await?;
        Ok(self.0.shelf.hosts(job).await?.into_iter().chain(journals).collect())
    }

    /// This host's log lines of a job in order: the oldest `limit` of those stamped later than `after`, or the newest
    /// `limit` of all.
    ///
    /// # Errors
    /// What the store says.
    pub async fn own_lines(
        &self,
        job: &JobId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PlacedLine>, object_store::Error> {
        let recent = self.0.memory.lines(job, after);
        let mut lines = BTreeMap::new();
        if !recent.complete {
            lines = self.0.stored_lines(job, &self.0.host, after, limit).await?;
        }
        lines.extend(recent.lines.into_iter().map(|line| (line.stamp, line)));
        Ok(cut_to(limit, after, lines))
    }

    /// Another host's log lines of a job as the store has them; otherwise as [`Self::own_lines`].
    ///
    /// # Errors
    /// What the store says.
    pub async fn stored_lines(
        &self,
        job: &JobId,
        host: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PlacedLine>, object_store::Error> {
        Ok(cut_to(limit, after, self.0.stored_lines(job, host, after, limit).await?))
    }

    /// Returns when this host has a line of `job` stamped later than `after`, at once where it has one in memory.
    pub async fn line_after(&self, job: &JobId, after: u64) {
        self.0.memory.line_after(job, after).await;
    }

    /// The stamp that a line said now would get.
    pub fn now(&self) -> u64 {
        memory::stamp_at(self.0.clock.wall())
    }
}

impl Inner {
    pub(crate) fn in_background(self: Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.busy.send_modify(|busy| *busy += 1);
        let done = Busy(self);
        tokio::spawn(async move {
            work.await;
            drop(done);
        });
    }

    /// Holds a record until the store has its last word.
    fn remember(&self, job: &JobId, record: &RunRecord) {
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        unsaved.insert((job.clone(), entry::name(record)), record.clone());
    }

    /// Has an entry written to the journal.
    fn append(self: &Arc<Self>, job: &JobId, entry: &Entry) -> journal::Stored {
        let (stored, unattended) = self.journal.push(job, entry);
        if unattended {
            let inner = self.clone();
            self.clone().in_background(async move { inner.write_journal().await });
        }
        stored
    }

    /// The same, of an entry that changes no more.
    async fn append_last(self: &Arc<Self>, job: &JobId, entry: Entry) {
        if self.append(job, &entry).await.is_err() {
            tracing::warn!(%job, run = entry.run.run, "the record of a run is lost: too many wait for the history store");
        }
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).remove(&(job.clone(), entry.name()));
    }

    /// Writes what waits, batch by batch, until nothing does.
    async fn write_journal(self: &Arc<Self>) {
        let _part = vital::part("the writer of the history");
        while let Some(batch) = self.journal.next_batch() {
            self.write_batch(&batch).await;
            batch.tell();
            self.fold_if_due().await;
            tokio::time::sleep(journal::PAUSE).await;
        }
    }

    /// Offers a batch to the store until it takes it: a disk that is full may have room again. What comes meanwhile waits in
    /// the journal's queue, which is bounded.
    async fn write_batch(&self, batch: &journal::Batch) {
        let mut pause = STORE_RETRY;
        while let Err(error) = self.journal.write(batch, memory::stamp_at(self.clock.wall())).await {
            self.write_failed(&error);
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_STORE_RETRY);
        }
    }

    // ---- reading ----

    /// What a host wrote, by name; a few more than `limit`, or than the job keeps.
    async fn stored(
        &self,
        job: &JobId,
        host: &str,
        limit: usize,
    ) -> Result<BTreeMap<String, RunRecord>, object_store::Error> {
        let journal = self.journal.entries(job, host).await?;
        let mut runs = BTreeMap::new();
        let mut newest = (String::new(), 0);
        for entry in self.shelf.newest(job, host, limit).await?.into_iter().chain(journal) {
            newest = newest.max((entry.name(), entry.keep));
            add(&mut runs, entry.run);
        }
        Ok(runs.into_iter().rev().take(newest.1).collect())
    }

    /// What a host stored of what its runs said, by stamp; a few more than `limit`.
    async fn stored_lines(
        &self,
        job: &JobId,
        host: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<BTreeMap<u64, PlacedLine>, object_store::Error> {
        let journal = self.journal.entries(job, host).await?;
        let said = journal.into_iter().flat_map(|entry| entry.lines);
        let said = said.filter(|line| after.is_none_or(|after| line.stamp > after));
        let shelf = self.shelf.lines(job, host, after, limit).await?;
        Ok(shelf.into_iter().chain(said).map(|line| (line.stamp, line)).collect())
    }

    fn write_failed(&self, error: &object_store::Error) {
        self.failed_writes.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, "the history store failed, trying again");
    }
}

/// The one that tells more counts; of two that tell as much, the earlier.
fn add(runs: &mut BTreeMap<String, RunRecord>, run: RunRecord) {
    match runs.entry(entry::name(&run)) {
        Occupied(known) if known.get().tells() >= run.tells() => {}
        known => drop(known.insert_entry(run)),
    }
}

/// The oldest after a stamp, or the newest.
fn cut_to(limit: usize, after: Option<u64>, lines: BTreeMap<u64, PlacedLine>) -> Vec<PlacedLine> {
    let excess = lines.len().saturating_sub(limit);
    let skipped = if after.is_none() { excess } else { 0 };
    lines.into_values().skip(skipped).take(limit).collect()
}

/// Counts a background task for as long as it lives.
struct Busy(Arc<Inner>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy -= 1);
    }
}

#[cfg(test)]
mod tests;

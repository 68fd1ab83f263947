//! What was run, how it ended and what it said: kept in an object store, this host's newest also in memory. A store that
//! fails costs records, never a run.
//!
//! It doesn't know who else is in the cluster: it reads what any host left in the store, by the host's name.

mod cursor;
mod memory;
mod record;
mod run;
mod run_state;
mod shelf;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use object_store::ObjectStore;
use tokio::sync::watch;

pub use cursor::{Cursor, CursorError};
pub use record::{LogLevel, LogLine, LogSink, Outcome, PlacedLine, RunRecord};
pub use run::RunHandle;
pub use run_state::{RING, RING_DETAIL_BYTES, RunState, Running, cut};

use crate::clock::Clock;
use crate::registry::JobId;
use memory::Memory;
use shelf::Shelf;

/// How many runs of a job are kept, of each host, where the job says nothing.
pub const KEPT_RUNS: usize = 200;
/// How much of a run's log is kept, in bytes: its newest lines.
pub const KEPT_LOG_BYTES: usize = 256 * 1024;

/// Old runs of a job are looked for once in so many of its runs, or sooner: there are never more than a tenth too many of what
/// is kept.
const PRUNE_EVERY: usize = 20;
/// How often a record is offered to a store that fails, and how long between the first two tries.
const STORE_ATTEMPTS: u32 = 4;
const STORE_RETRY: Duration = Duration::from_millis(200);

/// The runs of all jobs, as far as the store reaches.
#[derive(Clone)]
pub struct History(Arc<Inner>);

pub(crate) struct Inner {
    host: String,
    clock: Arc<dyn Clock>,
    opened: Timestamp,
    shelf: Shelf,
    memory: Memory,
    /// This host's records that the store may not have yet, by job and name on the shelf.
    unsaved: Mutex<BTreeMap<(JobId, String), RunRecord>>,
    runs_since_pruned: Mutex<HashMap<JobId, usize>>,
    failed_writes: AtomicU64,
    /// How many background tasks are under way.
    busy: watch::Sender<usize>,
}

impl History {
    /// The history in `store`, kept by the host of this name.
    pub fn new(store: Arc<dyn ObjectStore>, host: &str, clock: Arc<dyn Clock>) -> Self {
        let opened = clock.wall();
        History(Arc::new(Inner {
            host: host.to_owned(),
            opened,
            shelf: Shelf::new(store),
            memory: Memory::new(host, clock.clone()),
            clock,
            unsaved: Mutex::default(),
            runs_since_pruned: Mutex::default(),
            failed_writes: AtomicU64::new(0),
            busy: watch::channel(0).0,
        }))
    }

    // ---- writing: called within a tokio runtime. `keep` is how many runs of the job are kept, of each host, at least 1 ----

    /// A run begins: its record, with no end yet, is stored in the background.
    pub fn begin(&self, job: &JobId, record: RunRecord, keep: usize) -> RunHandle {
        RunHandle::begin(self.0.clone(), job.clone(), record, keep)
    }

    /// Stores a record as it is, in the background: what was skipped, or ended elsewhere.
    pub fn record(&self, job: &JobId, record: RunRecord, keep: usize) {
        let (inner, job) = (self.0.clone(), job.clone());
        inner.remember(&job, &record);
        inner.clone().in_background(async move { inner.save_last(&job, record, keep).await });
    }

    /// Stores how a run ended whose host did not say so, in the background. Where the store has that host's own word by now,
    /// it stands.
    pub fn close_abandoned(&self, job: &JobId, record: RunRecord, keep: usize) {
        let (inner, job) = (self.0.clone(), job.clone());
        inner.clone().in_background(async move {
            let stored = inner.shelf.runs(&job, &record.host, KEPT_RUNS.max(keep)).await;
            let same =
                |run: &RunRecord| (&run.run, run.attempt) == (&record.run, record.attempt) && run.ended.is_some();
            if !stored.is_ok_and(|runs| runs.iter().any(|(_, run)| same(run))) {
                inner.save_last(&job, record, keep).await;
            }
        });
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

    // ---- reading ----

    /// This host's runs of a job, newest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn own_runs(&self, job: &JobId, limit: usize) -> Result<Vec<RunRecord>, object_store::Error> {
        let unsaved: BTreeMap<String, RunRecord> = {
            let unsaved = self.0.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
            unsaved
                .iter()
                .filter(|((of, _), run)| of == job && run.host == self.0.host)
                .map(|((_, name), run)| (name.clone(), run.clone()))
                .collect()
        };
        let mut runs: BTreeMap<String, RunRecord> =
            self.0.shelf.runs(job, &self.0.host, limit).await?.into_iter().collect();
        for run in runs.values_mut().filter(|run| run.ended.is_none() && run.started < self.0.opened) {
            run.given_up("its host stopped before it ended");
        }
        runs.extend(unsaved);
        Ok(runs.into_values().rev().take(limit).collect())
    }

    /// Another host's runs of a job as the store has them, newest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn stored_runs(
        &self,
        job: &JobId,
        host: &str,
        limit: usize,
    ) -> Result<Vec<RunRecord>, object_store::Error> {
        Ok(self.0.shelf.runs(job, host, limit).await?.into_iter().map(|(_, run)| run).collect())
    }

    /// The hosts that left runs of a job in the store.
    ///
    /// # Errors
    /// What the store says.
    pub async fn hosts(&self, job: &JobId) -> Result<Vec<String>, object_store::Error> {
        self.0.shelf.hosts(job).await
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
        let mut lines: BTreeMap<u64, PlacedLine> = BTreeMap::new();
        if !recent.complete {
            let stored = self.0.shelf.lines(job, &self.0.host, after, limit).await?;
            lines.extend(stored.into_iter().map(|line| (line.stamp, line)));
        }
        lines.extend(recent.lines.into_iter().map(|line| (line.stamp, line)));
        let excess = lines.len().saturating_sub(limit);
        let skipped = if after.is_none() { excess } else { 0 };
        Ok(lines.into_values().skip(skipped).take(limit).collect())
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
        self.0.shelf.lines(job, host, after, limit).await
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
        unsaved.insert((job.clone(), shelf::name(record)), record.clone());
    }

    /// Stores a record for the first time.
    async fn save(&self, job: &JobId, record: &RunRecord) {
        if let Err(error) = self.shelf.put_run(job, record).await {
            self.write_failed(job, &error);
        }
    }

    /// Stores a record that changes no more, and looks for old ones that may go.
    async fn save_last(&self, job: &JobId, record: RunRecord, keep: usize) {
        let mut pause = STORE_RETRY;
        for attempt in 1..=STORE_ATTEMPTS {
            match self.shelf.put_run(job, &record).await {
                Ok(()) => break,
                Err(error) => self.write_failed(job, &error),
            }
            if attempt < STORE_ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).remove(&(job.clone(), shelf::name(&record)));
        if self.due_for_pruning(job, keep)
            && let Err(error) = self.shelf.prune(job, &record.host, keep.max(1)).await
        {
            self.write_failed(job, &error);
        }
    }

    fn due_for_pruning(&self, job: &JobId, keep: usize) -> bool {
        let mut runs = self.runs_since_pruned.lock().unwrap_or_else(PoisonError::into_inner);
        // The first of this host's runs looks, for what it left before it was started.
        let runs = runs.entry(job.clone()).or_insert(PRUNE_EVERY);
        *runs += 1;
        let due = *runs >= (keep / 10).clamp(1, PRUNE_EVERY);
        if due {
            *runs = 0;
        }
        due
    }

    fn write_failed(&self, job: &JobId, error: &object_store::Error) {
        self.failed_writes.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(job = %job, error = %error, "the history store failed");
    }
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

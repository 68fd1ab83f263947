//! Moves what the journal has to the shelf, job by job, once there is much of it: an object there has many runs of one job,
//! and what a job keeps no more goes.

use std::collections::btree_map::Entry::Occupied;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures::future;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::Error;
use object_store::path::Path;

use super::Inner;
use super::entry::{self, Entry};
use super::journal::Stored;
use super::objects::parse;
use crate::registry::JobId;

/// So much of the journal is in memory at once, about, in bytes.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// For how many jobs objects are written at once.
const JOBS_AT_ONCE: usize = 4;
/// How many runs are in an object of the shelf, at the most.
const PIECE_RUNS: usize = 20;

/// Entries by job and name.
type Runs = HashMap<String, BTreeMap<String, Entry>>;

impl Inner {
    /// Folds the journal where there is enough of it, and nobody does. After a failure it is tried again when there is an eighth
    /// more.
    pub(super) async fn fold_if_due(self: &Arc<Self>) {
        let weight = self.journal.bytes().await + self.log_bytes.load(Ordering::Relaxed);
        if weight > self.fold_next_at.load(Ordering::Relaxed) && !self.folding.swap(true, Ordering::Relaxed) {
            let folding = Folding(self.clone());
            self.fold_next_at.store(weight + self.fold_at / 8, Ordering::Relaxed);
            self.clone().in_background(async move {
                match folding.0.fold().await {
                    Ok(()) => folding.0.fold_next_at.store(folding.0.fold_at, Ordering::Relaxed),
                    Err(error) => folding.0.write_failed(&error),
                }
            });
        }
    }

    /// Where it fails, all is still in the journal; some may be on the shelf too, which readers see.
    async fn fold(self: &Arc<Self>) -> Result<(), Error> {
        self.log_bytes.store(0, Ordering::Relaxed);
        let segments = self.journal.fill_all().await?;
        let parts = self.journal.bytes().await.div_ceil(PART_BYTES).max(1) as u64;
        let (hasher, mut open) = (RandomState::new(), Vec::new());
        for part in 0..parts {
            let is_of_part = |job: &[u8]| hasher.hash_one(job) % parts == part;
            let mut runs = Runs::new();
            for segment in &segments {
                collect(segment, &self.journal.text(segment).await?, &mut runs, is_of_part);
            }
            let jobs = stream::iter(runs).map(|(job, runs)| self.shelve(job, runs));
            open.extend(jobs.buffer_unordered(JOBS_AT_ONCE).try_concat().await?);
        }
        if !future::join_all(open).await.iter().all(Result::is_ok) {
            return Ok(());
        }
        // What takes the place of the segments must be on disk before they go.
        self.sync().await?;
        for segment in segments {
            let bytes = self.journal.text(&segment).await?.len();
            self.journal.delete(&segment, bytes).await?;
        }
        Ok(())
    }

    /// Those that are still under way are written to the journal again: told is when that is done.
    async fn shelve(self: &Arc<Self>, job: String, mut runs: BTreeMap<String, Entry>) -> Result<Vec<Stored>, Error> {
        let Some(job) = job.split_once('/').and_then(|(tenant, name)| JobId::new(tenant, name).ok()) else {
            return Ok(Vec::new());
        };
        let Some(keep) = runs.last_entry().map(|newest| newest.get().keep) else { return Ok(Vec::new()) };
        let open = self.take_open(&job, &mut runs).iter().map(|open| self.append(&job, open)).collect();
        let kept: Vec<Entry> = runs.into_values().rev().take(keep).collect();
        let kept: Vec<Entry> = kept.into_iter().rev().collect();
        for piece in kept.chunks((keep / 10).clamp(1, PIECE_RUNS)) {
            self.shelf.put(&job, &self.host, piece).await?;
        }
        self.shelf.prune(&job, &self.host, keep).await?;
        Ok(open)
    }

    fn take_open(&self, job: &JobId, runs: &mut BTreeMap<String, Entry>) -> Vec<Entry> {
        let unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = |name: &String, entry: &mut Entry| {
            entry.run.ended.is_none() && unsaved.contains_key(&(job.clone(), name.clone()))
        };
        runs.extract_if(.., is_open).map(|(_, entry)| entry).collect()
    }
}

/// A fold under way. However it ends, the next one may begin.
struct Folding(Arc<Inner>);

impl Drop for Folding {
    fn drop(&mut self) {
        self.0.folding.store(false, Ordering::Relaxed);
    }
}

fn collect(segment: &Path, text: &[u8], runs: &mut Runs, is_of_part: impl Fn(&[u8]) -> bool) {
    for (job, json) in entry::of_segment(segment, text).filter(|(job, _)| is_of_part(job)) {
        if let Some(entry) = parse::<Entry>(segment, json) {
            let job = String::from_utf8_lossy(job).into_owned();
            match runs.entry(job).or_default().entry(entry.name()) {
                // Told again by a later term, which doesn't know what it said.
                Occupied(known) if known.get().run.tells() >= entry.run.tells() => {}
                known => drop(known.insert_entry(entry)),
            }
        }
    }
}

//! Where runs and logs stand in the object store, and how they are read back.
//!
//! `history/TENANT/JOB/HOST/NAME.json` is a run's record; `logs/TENANT/JOB/HOST/NAME.STAMP.jsonl` a piece of its log, whose
//! first line has that stamp. NAME begins with the start in milliseconds, so names sort by age.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::de::DeserializeOwned;

use super::record::{PlacedLine, RunRecord};
use crate::registry::JobId;

const RUNS: &str = "history";
const LOGS: &str = "logs";
/// How many objects are read at once.
const PIPELINE: usize = 16;
/// By how much a host's clock and the store's may differ, in nanoseconds.
const SKEW_NS: u64 = 600_000_000_000;

pub(super) struct Shelf {
    store: Arc<dyn ObjectStore>,
}

/// A run's name on the shelf.
pub(super) fn name(record: &RunRecord) -> String {
    let nominal = record.run.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let nominal: String = nominal.chars().take(64).map(plain).collect();
    format!("{:015}-{nominal}-{}", record.started.as_millisecond().max(0), record.attempt)
}

fn folder(kind: &str, job: &JobId, host: &str) -> Path {
    Path::from_iter([kind, &job.tenant, &job.name, host])
}

impl Shelf {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Shelf { store }
    }

    pub(super) async fn put_run(&self, job: &JobId, record: &RunRecord) -> Result<(), Error> {
        let path = folder(RUNS, job, &record.host).join(format!("{}.json", name(record)));
        let json = serde_json::to_vec(record).expect("a record has string keys only, which is all that JSON asks");
        self.store.put(&path, json.into()).await.map(drop)
    }

    /// The newest runs of a host with their names, newest first.
    pub(super) async fn runs(&self, job: &JobId, host: &str, limit: usize) -> Result<Vec<(String, RunRecord)>, Error> {
        let mut found = self.list(&folder(RUNS, job, host)).await?;
        found.reverse();
        let newest = stream::iter(found.into_iter().take(limit));
        newest.map(|meta| self.run(meta)).buffered(PIPELINE).try_filter_map(async |run| Ok(run)).try_collect().await
    }

    async fn run(&self, meta: ObjectMeta) -> Result<Option<(String, RunRecord)>, Error> {
        let name = meta.location.filename().unwrap_or_default().trim_end_matches(".json").to_owned();
        Ok(self.read(&meta.location).await?.and_then(|json| parse(&meta.location, &json)).map(|run| (name, run)))
    }

    /// The hosts that have runs of a job.
    pub(super) async fn hosts(&self, job: &JobId) -> Result<Vec<String>, Error> {
        let folder = Path::from_iter([RUNS, &job.tenant, &job.name]);
        let found = self.store.list_with_delimiter(Some(&folder)).await?;
        Ok(found.common_prefixes.iter().filter_map(Path::filename).map(str::to_owned).collect())
    }

    // ---- logs ----

    /// Where a piece of a run's log goes whose first line has this stamp.
    pub(super) fn piece(job: &JobId, record: &RunRecord, stamp: u64) -> Path {
        folder(LOGS, job, &record.host).join(format!("{}.{stamp:020}.jsonl", name(record)))
    }

    pub(super) async fn put_piece(&self, path: &Path, text: String) -> Result<(), Error> {
        self.store.put(path, text.into()).await.map(drop)
    }

    pub(super) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.store.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lines of a host in order: the oldest `limit` after a stamp, or the newest `limit`.
    pub(super) async fn lines(
        &self,
        job: &JobId,
        host: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PlacedLine>, Error> {
        let mut pieces = self.list(&folder(LOGS, job, host)).await?;
        pieces.sort_by_key(|meta| first_stamp(&meta.location));
        match after {
            Some(after) => {
                pieces.retain(|meta| written_after(meta, after.saturating_sub(SKEW_NS)));
                self.oldest_lines(&pieces, after, limit).await
            }
            None => self.newest_lines(&pieces, limit).await,
        }
    }

    async fn oldest_lines(&self, pieces: &[ObjectMeta], after: u64, limit: usize) -> Result<Vec<PlacedLine>, Error> {
        let mut lines: Vec<PlacedLine> = Vec::new();
        for meta in pieces {
            // Pieces of runs at the same time overlap: stop only behind one that begins after what is held.
            if lines.len() >= limit && lines[limit - 1].stamp < first_stamp(&meta.location) {
                break;
            }
            lines.extend(self.read_lines(&meta.location).await?.into_iter().filter(|line| line.stamp > after));
            lines.sort_by_key(|line| line.stamp);
        }
        lines.truncate(limit);
        Ok(lines)
    }

    async fn newest_lines(&self, pieces: &[ObjectMeta], limit: usize) -> Result<Vec<PlacedLine>, Error> {
        let mut lines = Vec::new();
        for meta in pieces.iter().rev() {
            lines.extend(self.read_lines(&meta.location).await?);
            if lines.len() >= limit {
                break;
            }
        }
        lines.sort_by_key(|line| line.stamp);
        lines.drain(..lines.len().saturating_sub(limit));
        Ok(lines)
    }

    async fn read_lines(&self, path: &Path) -> Result<Vec<PlacedLine>, Error> {
        let text = self.read(path).await?.unwrap_or_default();
        Ok(text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .filter_map(|line| parse(path, line))
            .collect())
    }

    // ---- both ----

    /// Deletes all but the newest `kept` runs of a host, with their logs.
    pub(super) async fn prune(&self, job: &JobId, host: &str, kept: usize) -> Result<(), Error> {
        let runs = self.list(&folder(RUNS, job, host)).await?;
        let Some(oldest_kept) = runs.len().checked_sub(kept).filter(|old| *old > 0).map(|old| &runs[old]) else {
            return Ok(());
        };
        let oldest_kept = oldest_kept.location.filename().unwrap_or_default().trim_end_matches(".json").to_owned();
        let logs = self.list(&folder(LOGS, job, host)).await?;
        // Logs first: a record without a log says less than one should, a log without a record is never found again.
        for meta in logs.iter().chain(&runs) {
            let file = meta.location.filename().unwrap_or_default();
            let run = file.split('.').next().unwrap_or_default();
            if run < oldest_kept.as_str() {
                self.delete(&meta.location).await?;
            }
        }
        Ok(())
    }

    /// What is in a folder, by name.
    async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, Error> {
        let listing: BoxStream<'_, Result<ObjectMeta, Error>> = self.store.list(Some(folder));
        let mut found: Vec<ObjectMeta> = listing.try_collect().await?;
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// None where it was pruned meanwhile.
    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn first_stamp(path: &Path) -> u64 {
    let stamp = path.filename().and_then(|name| name.split('.').nth(1));
    stamp.and_then(|stamp| stamp.parse().ok()).unwrap_or(0)
}

fn written_after(meta: &ObjectMeta, stamp: u64) -> bool {
    meta.last_modified.timestamp_nanos_opt().and_then(|at| u64::try_from(at).ok()).is_none_or(|at| at >= stamp)
}

/// What can't be read is logged and left out.
fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Option<T> {
    serde_json::from_slice(json)
        .inspect_err(|error| tracing::warn!(%path, %error, "a record of the history can't be read and is left out"))
        .ok()
}

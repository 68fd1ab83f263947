//! The long-term half of the store: objects of one job and one host each.
//!
//! `history/TENANT/JOB/HOST/NAME.COUNT.jsonl` has the entries of so many runs, of which the newest has that name;
//! `logs/TENANT/JOB/HOST/NAME.STAMP.jsonl` is a piece of that run's log, whose first line has that stamp.

use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta};

use super::entry::{self, Entry};
use super::objects::{Objects, PIPELINE, parse};
use super::record::{PlacedLine, RunRecord};
use crate::registry::JobId;

const RUNS: &str = "history";
const LOGS: &str = "logs";
/// By how much a host's clock and the store's may differ, in nanoseconds.
const SKEW_NS: u64 = 600_000_000_000;

pub(super) struct Shelf {
    objects: Objects,
}

fn folder(kind: &str, job: &JobId, host: &str) -> Path {
    Path::from_iter([kind, &job.tenant, &job.name, host])
}

impl Shelf {
    pub(super) fn new(objects: Objects) -> Self {
        Shelf { objects }
    }

    /// Returns whether there is a record of any run here.
    pub(super) async fn has_any(&self) -> Result<bool, Error> {
        self.objects.has_any(&Path::from(RUNS)).await
    }

    // ---- entries ----

    /// Stores entries that change no more, the oldest first, as one object.
    pub(super) async fn put(&self, job: &JobId, host: &str, entries: &[Entry]) -> Result<(), Error> {
        let Some(newest) = entries.last() else { return Ok(()) };
        let path = folder(RUNS, job, host).join(format!("{}.{}.jsonl", newest.name(), entries.len()));
        let text = entries.iter().fold(String::new(), |text, entry| text + &entry.to_json() + "\n");
        self.objects.put(&path, text).await
    }

    /// The newest entries of a host, newest first; a few more than `limit`, where there are.
    pub(super) async fn newest(&self, job: &JobId, host: &str, limit: usize) -> Result<Vec<Entry>, Error> {
        let mut found = self.objects.list(&folder(RUNS, job, host)).await?;
        let from = oldest_of_newest(&found, limit);
        let newest = found.split_off(from).into_iter().rev();
        let pieces = stream::iter(newest).map(|meta| self.piece(meta)).buffered(PIPELINE);
        let pieces: Vec<Vec<Entry>> = pieces.try_collect().await?;
        Ok(pieces.into_iter().flat_map(|piece| piece.into_iter().rev()).collect())
    }

    async fn piece(&self, meta: ObjectMeta) -> Result<Vec<Entry>, Error> {
        let text = self.objects.read(&meta.location).await?.unwrap_or_default();
        Ok(entry::lines(&text).filter_map(|line| parse(&meta.location, line)).collect())
    }

    /// The hosts that left something of a job.
    pub(super) async fn hosts(&self, job: &JobId) -> Result<Vec<String>, Error> {
        self.objects.folders(&Path::from_iter([RUNS, &job.tenant, &job.name])).await
    }

    // ---- logs ----

    /// Where a piece of a run's log goes whose first line has this stamp.
    pub(super) fn log_piece(job: &JobId, record: &RunRecord, stamp: u64) -> Path {
        folder(LOGS, job, &record.host).join(format!("{}.{stamp:020}.jsonl", entry::name(record)))
    }

    pub(super) async fn put_log_piece(&self, path: &Path, text: String) -> Result<(), Error> {
        self.objects.put(path, text).await
    }

    pub(super) async fn delete_log_piece(&self, path: &Path) -> Result<(), Error> {
        self.objects.delete(path).await
    }

    /// Lines of a host in order: the oldest `limit` after a stamp, or the newest `limit`. A few more, where there are.
    pub(super) async fn lines(
        &self,
        job: &JobId,
        host: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PlacedLine>, Error> {
        let mut lines = self.lines_of_entries(job, host, after, limit).await?;
        let mut pieces = self.objects.list(&folder(LOGS, job, host)).await?;
        pieces.sort_by_key(|meta| first_stamp(&meta.location));
        match after {
            Some(after) => {
                pieces.retain(|meta| written_after(meta, after));
                lines.extend(self.oldest_lines(&pieces, after, limit).await?);
            }
            None => lines.extend(self.newest_lines(&pieces, limit).await?),
        }
        lines.sort_by_key(|line| line.stamp);
        Ok(lines)
    }

    async fn lines_of_entries(
        &self,
        job: &JobId,
        host: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PlacedLine>, Error> {
        let mut lines: Vec<PlacedLine> = Vec::new();
        let mut pieces = self.objects.list(&folder(RUNS, job, host)).await?;
        pieces.retain(|meta| after.is_none_or(|after| written_after(meta, after)));
        for meta in pieces.into_iter().rev() {
            if after.is_none() && lines.len() >= limit {
                break;
            }
            let said = self.piece(meta).await?.into_iter().flat_map(|entry| entry.lines);
            lines.extend(said.filter(|line| after.is_none_or(|after| line.stamp > after)));
        }
        Ok(lines)
    }

    async fn oldest_lines(&self, pieces: &[ObjectMeta], after: u64, limit: usize) -> Result<Vec<PlacedLine>, Error> {
        let mut lines: Vec<PlacedLine> = Vec::new();
        for meta in pieces {
            // Pieces of runs at the same time overlap: stop only behind one that begins after what is held.
            if lines.len() >= limit && lines[limit - 1].stamp < first_stamp(&meta.location) {
                break;
            }
            lines.extend(self.log_lines(&meta.location).await?.into_iter().filter(|line| line.stamp > after));
            lines.sort_by_key(|line| line.stamp);
        }
        lines.truncate(limit);
        Ok(lines)
    }

    async fn newest_lines(&self, pieces: &[ObjectMeta], limit: usize) -> Result<Vec<PlacedLine>, Error> {
        let mut lines = Vec::new();
        for meta in pieces.iter().rev() {
            lines.extend(self.log_lines(&meta.location).await?);
            if lines.len() >= limit {
                break;
            }
        }
        lines.sort_by_key(|line| line.stamp);
        lines.drain(..lines.len().saturating_sub(limit));
        Ok(lines)
    }

    async fn log_lines(&self, path: &Path) -> Result<Vec<PlacedLine>, Error> {
        let text = self.objects.read(path).await?.unwrap_or_default();
        Ok(entry::lines(&text).filter_map(|line| parse(path, line)).collect())
    }

    // ---- both ----

    /// Deletes what is behind the newest `kept` runs of a host, with their logs.
    pub(super) async fn prune(&self, job: &JobId, host: &str, kept: usize) -> Result<(), Error> {
        let found = self.objects.list(&folder(RUNS, job, host)).await?;
        let old = &found[..oldest_of_newest(&found, kept)];
        let Some(newest_old) = old.last().map(|meta| run_of(meta).to_owned()) else { return Ok(()) };
        let logs = self.objects.list(&folder(LOGS, job, host)).await?;
        // Logs first: a record without a log says less than one should, a log without a record is never found again.
        for meta in logs.iter().filter(|meta| run_of(meta) <= newest_old.as_str()).chain(old) {
            self.objects.delete(&meta.location).await?;
        }
        Ok(())
    }
}

/// Where the objects begin, of those found, that have the newest `limit` runs.
fn oldest_of_newest(found: &[ObjectMeta], limit: usize) -> usize {
    let mut runs = 0;
    let is_needed = |meta: &&ObjectMeta| {
        let needed = runs < limit;
        runs += count(meta);
        needed
    };
    found.len() - found.iter().rev().take_while(is_needed).count()
}

fn part(meta: &ObjectMeta, number: usize) -> &str {
    meta.location.filename().and_then(|name| name.split('.').nth(number)).unwrap_or_default()
}

/// The name of the run that the object is of, or of the newest.
fn run_of(meta: &ObjectMeta) -> &str {
    part(meta, 0)
}

fn count(meta: &ObjectMeta) -> usize {
    part(meta, 1).parse().unwrap_or(1)
}

fn first_stamp(path: &Path) -> u64 {
    let stamp = path.filename().and_then(|name| name.split('.').nth(1));
    stamp.and_then(|stamp| stamp.parse().ok()).unwrap_or(0)
}

/// It may have lines that are stamped later.
fn written_after(meta: &ObjectMeta, stamp: u64) -> bool {
    let written = meta.last_modified.timestamp_nanos_opt().and_then(|at| u64::try_from(at).ok());
    written.is_none_or(|at| at >= stamp.saturating_sub(SKEW_NS))
}

//! The short-term half of the store: what a host writes of all its jobs, as it comes, in few objects.
//!
//! `journal/HOST/STAMP.jsonl` is a segment, named by when it was begun: a line for each entry, the job before it. The last one
//! is written again with each batch until it is full. What is here goes to the [shelf](super::shelf) by and by.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::Error;
use object_store::path::Path;
use tokio::sync::oneshot;

use super::entry::{self, Entry};
use super::objects::{Objects, PIPELINE, parse};
use crate::registry::JobId;

const JOURNAL: &str = "journal";
/// How long a batch is waited for after the one before.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// A segment that has grown so large is not written again.
const SEGMENT_BYTES: usize = 64 * 1024;
/// What waits for a store that is slow, at the most.
const MAX_WAITING_BYTES: usize = 8 * 1024 * 1024;

pub(super) struct Journal {
    objects: Objects,
    folder: Path,
    queue: Mutex<Queue>,
    tail: tokio::sync::Mutex<Tail>,
}

/// What is still to be written.
#[derive(Default)]
struct Queue {
    batch: Batch,
    /// A task takes what is here until nothing is.
    attended: bool,
}

/// Entries that are written at once.
#[derive(Default)]
pub(super) struct Batch {
    text: String,
    waiting: Vec<oneshot::Sender<()>>,
}

/// The segment that is written.
#[derive(Default)]
struct Tail {
    /// None before the first entry.
    path: Option<Path>,
    text: String,
    stamp: u64,
    /// Of the segments before it.
    full_bytes: usize,
    /// Those of earlier lives of the host are counted.
    counted: bool,
}

/// Tells when an entry is stored, or with an error that it was given up because too much waits.
pub(super) type Stored = oneshot::Receiver<()>;

fn folder_of(host: &str) -> Path {
    Path::from_iter([JOURNAL, host])
}

impl Journal {
    pub(super) fn new(objects: Objects, host: &str) -> Self {
        Journal { objects, folder: folder_of(host), queue: Mutex::default(), tail: tokio::sync::Mutex::default() }
    }

    // ---- writing ----

    /// Takes an entry, or gives it up where too much waits. True where nobody attends: the caller has to.
    pub(super) fn push(&self, job: &JobId, entry: &Entry) -> (Stored, bool) {
        let line = entry.to_line(job);
        let (waiting, stored) = oneshot::channel();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.batch.text.len() + line.len() > MAX_WAITING_BYTES {
            return (stored, false);
        }
        queue.batch.text.push_str(&line);
        queue.batch.waiting.push(waiting);
        (stored, !std::mem::replace(&mut queue.attended, true))
    }

    /// What has come since; None, and nobody attends any more, where nothing has.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.attended = !queue.batch.waiting.is_empty();
        queue.attended.then(|| std::mem::take(&mut queue.batch))
    }

    /// Stores a batch behind what was stored before; where that fails, nothing of it.
    pub(super) async fn write(&self, batch: &Batch, now: u64) -> Result<(), Error> {
        let mut tail = self.tail.lock().await;
        if !tail.counted {
            tail.full_bytes = self.objects.list(&self.folder).await?.iter().map(|meta| meta.size as usize).sum();
            tail.counted = true;
        }
        let path = match &tail.path {
            Some(path) => path.clone(),
            None => {
                tail.stamp = now.max(tail.stamp + 1);
                self.folder.clone().join(format!("{:020}.jsonl", tail.stamp))
            }
        };
        let text = format!("{}{}", tail.text, batch.text);
        self.objects.put(&path, text.clone()).await?;
        (tail.path, tail.text) = (Some(path), text);
        if tail.text.len() >= SEGMENT_BYTES {
            tail.fill();
        }
        Ok(())
    }

    /// How much is here, in bytes.
    pub(super) async fn bytes(&self) -> usize {
        let tail = self.tail.lock().await;
        tail.full_bytes + tail.text.len()
    }

    /// The segments up to here, oldest first: they change no more.
    pub(super) async fn fill_all(&self) -> Result<Vec<Path>, Error> {
        let mut tail = self.tail.lock().await;
        tail.fill();
        Ok(self.objects.list(&self.folder).await?.into_iter().map(|meta| meta.location).collect())
    }

    /// What was in this segment is elsewhere by now.
    pub(super) async fn delete(&self, segment: &Path, bytes: usize) -> Result<(), Error> {
        self.objects.delete(segment).await?;
        let mut tail = self.tail.lock().await;
        tail.full_bytes = tail.full_bytes.saturating_sub(bytes);
        Ok(())
    }

    // ---- reading ----

    /// The text of a segment; none where it is gone.
    pub(super) async fn text(&self, segment: &Path) -> Result<Vec<u8>, Error> {
        Ok(self.objects.read(segment).await?.unwrap_or_default())
    }

    /// What a host wrote of a job, oldest first: of one run it may be several entries, of which the last counts.
    pub(super) async fn entries(&self, job: &JobId, host: &str) -> Result<Vec<Entry>, Error> {
        let job = job.to_string();
        let segments = self.objects.list(&folder_of(host)).await?;
        let found = stream::iter(segments).map(|meta| self.entries_in(meta.location, &job)).buffered(PIPELINE);
        Ok(found.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    async fn entries_in(&self, segment: Path, job: &str) -> Result<Vec<Entry>, Error> {
        let text = self.text(&segment).await?;
        let of_job = entry::of_segment(&segment, &text).filter(|(of, _)| *of == job.as_bytes());
        Ok(of_job.filter_map(|(_, json)| parse(&segment, json)).collect())
    }

    /// Returns the id of the store.
    pub(super) async fn store_id(&self) -> Result<String, Error> {
        self.objects.id().await
    }

    /// Returns whether any host has an entry here.
    pub(super) async fn has_any(&self) -> Result<bool, Error> {
        self.objects.has_any(&Path::from(JOURNAL)).await
    }

    /// The hosts that have a journal here.
    pub(super) async fn hosts(&self) -> Result<Vec<String>, Error> {
        self.objects.folders(&Path::from(JOURNAL)).await
    }
}

impl Tail {
    /// It is full: the next entry begins another segment.
    fn fill(&mut self) {
        self.full_bytes += self.text.len();
        self.text.clear();
        self.path = None;
    }
}

impl Batch {
    /// It is stored.
    pub(super) fn tell(self) {
        for waiting in self.waiting {
            // Not everybody waits to hear it.
            let _ = waiting.send(());
        }
    }
}

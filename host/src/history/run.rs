//! One run being recorded: a task writes its record, its log about once a second, and its end.

use std::fmt::Write as _;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use object_store::path::Path;
use tokio::sync::{Notify, oneshot};

use super::entry::Entry;
use super::memory::cost;
use super::record::{LogLevel, LogLine, LogSink, Outcome, PlacedLine, RunRecord, Usage};
use super::{Inner, KEPT_LOG_BYTES, LOG_ATTEMPTS, STORE_RETRY, Shelf};
use crate::registry::JobId;
use crate::text::clean_lines;

/// Lines that come within this time of the first are stored together.
const BATCH: Duration = Duration::from_secs(1);
/// A piece of the log that has grown so large is not written again.
const PIECE_BYTES: usize = 32 * 1024;
/// The log of a short run is stored with its record if it costs no more than this, in bytes.
const SHORT_LOG_BYTES: usize = 16 * 1024;
/// Most memory that lines may take while they wait for the store, in bytes. A burst of as many lines as a run may log at once
/// fits, together with as much text as is kept of a run.
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// How long whoever waits for a record does so, where the store doesn't take it: it is then still stored in the background.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells when a record is in the store for good. Whoever doesn't want to know drops it.
pub struct Stored(pub(super) oneshot::Receiver<()>);

impl Stored {
    /// It is still on its way.
    pub fn is_awaited(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    /// Returns when it is stored or given up, or after two seconds: true where nothing is on its way any more.
    pub async fn settled(self) -> bool {
        tokio::time::timeout(PATIENCE, self.0).await.is_ok()
    }
}

/// A run being recorded. Dropped without [`RunHandle::finish`], the run is recorded as unknown.
pub struct RunHandle {
    run: Arc<Recording>,
    end: oneshot::Sender<RunRecord>,
    stored: Stored,
}

struct Recording {
    history: Arc<Inner>,
    job: Arc<JobId>,
    record: RunRecord,
    /// How many runs of the job are kept.
    keep: usize,
    waiting: Mutex<Waiting>,
    /// Lines that came faster than they are stored.
    lost: AtomicU64,
    said: Notify,
}

/// Lines that are not stored yet.
#[derive(Default)]
struct Waiting {
    lines: Vec<PlacedLine>,
    /// The bytes of their texts, at most [`KEPT_LOG_BYTES`].
    text: usize,
    /// The memory that they take in bytes, at most [`MAX_WAITING_BYTES`].
    memory: usize,
    dropped: u64,
}

impl RunHandle {
    pub(super) fn begin(history: Arc<Inner>, job: JobId, record: RunRecord, keep: usize) -> Self {
        history.remember(&job, &record);
        let run = Arc::new(Recording::new(history.clone(), job, record, keep));
        let (end, ended) = oneshot::channel();
        let (done, stored) = oneshot::channel();
        let keeper = run.clone();
        history.in_background(async move {
            keeper.keep(ended).await;
            let _ = done.send(());
        });
        RunHandle { run, end, stored: Stored(stored) }
    }

    /// Takes the run's log lines. Never blocks: what comes faster than the store takes it is dropped, counted and marked.
    pub fn log_sink(&self) -> LogSink {
        let run = self.run.clone();
        Arc::new(move |line| run.say(line))
    }

    /// The run has ended. Returns when that is stored, or after two seconds at the most; it is then still stored in the
    /// background.
    pub async fn finish(self, outcome: Outcome, detail: &str, ended: Timestamp, usage: Option<Usage>) {
        self.ended(outcome, detail, ended, usage).settled().await;
    }

    /// The run has ended, and that is stored in the background.
    pub fn ended(self, outcome: Outcome, detail: &str, ended: Timestamp, usage: Option<Usage>) -> Stored {
        let mut record = self.run.record.clone();
        record.ended = Some(ended);
        record.outcome = Some(outcome);
        record.detail = clean_lines(detail, usize::MAX);
        record.usage = usage.map(|usage| {
            let lost = self.run.lost.load(Ordering::Relaxed);
            Usage { log_lines_dropped: usage.log_lines_dropped + lost, ..usage }
        });
        self.run.history.remember(&self.run.job, &record);
        let _ = self.end.send(record);
        self.stored
    }
}

impl Recording {
    fn new(history: Arc<Inner>, job: JobId, record: RunRecord, keep: usize) -> Self {
        Recording {
            history,
            job: Arc::new(job),
            record,
            keep,
            waiting: Mutex::default(),
            lost: AtomicU64::default(),
            said: Notify::new(),
        }
    }

    fn say(&self, line: LogLine) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let text = waiting.text + line.message.len() + line.context.len();
        let memory = waiting.memory + self.history.memory.cost(&line);
        if text > KEPT_LOG_BYTES || memory > MAX_WAITING_BYTES {
            waiting.dropped += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            (waiting.text, waiting.memory) = (text, memory);
            let placed = self.history.memory.push(&self.job, line);
            waiting.lines.push(placed);
        }
        drop(waiting);
        self.said.notify_one();
    }

    /// A remark of the host's own.
    fn remark(&self, message: String) -> PlacedLine {
        let line = LogLine {
            time: self.history.clock.wall(),
            run: self.record.run.clone(),
            attempt: self.record.attempt,
            level: LogLevel::Warn,
            context: "silverback".to_owned(),
            message,
        };
        self.history.memory.push(&self.job, line)
    }

    async fn keep(&self, mut ended: oneshot::Receiver<RunRecord>) {
        // Most runs are short: of those only the last word is stored.
        let (last, lines) = match tokio::time::timeout(BATCH, &mut ended).await {
            Ok(last) => (last, self.take()),
            Err(_) => {
                drop(self.history.append(&self.job, &Entry::new(self.record.clone(), self.keep)));
                let mut log = Log::default();
                let last = self.keep_long(&mut log, ended).await;
                log.finish(self).await;
                (last, Vec::new())
            }
        };
        let last = last.unwrap_or_else(|_| {
            let mut record = self.record.clone();
            record.given_up("its host let go of it before it ended");
            record
        });
        let lines = self.short(lines).await;
        self.history.append_last(&self.job, Entry { lines, ..Entry::new(last, self.keep) }).await;
    }

    /// A longer log is stored by itself.
    async fn short(&self, lines: Vec<PlacedLine>) -> Vec<PlacedLine> {
        let bytes: usize = lines.iter().map(cost).sum();
        if bytes <= SHORT_LOG_BYTES {
            return lines;
        }
        let mut log = Log::default();
        log.append(self, &lines);
        log.finish(self).await;
        Vec::new()
    }

    /// Stores the log of a run that lasts, until its end.
    async fn keep_long(
        &self,
        log: &mut Log,
        mut ended: oneshot::Receiver<RunRecord>,
    ) -> Result<RunRecord, oneshot::error::RecvError> {
        loop {
            tokio::select! {
                last = &mut ended => return last,
                () = self.said.notified() => {}
            }
            if let Ok(last) = tokio::time::timeout(BATCH, &mut ended).await {
                return last;
            }
            if !log.write(self).await {
                self.said.notify_one();
            }
        }
    }

    /// Takes the lines that wait, with a mark where some were dropped.
    fn take(&self) -> Vec<PlacedLine> {
        let taken = mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut lines = taken.lines;
        if taken.dropped > 0 {
            lines.push(self.remark(format!("{} lines dropped: the run said more than the host keeps", taken.dropped)));
        }
        lines
    }
}

/// The run's log in the store: pieces, of which the last one grows and the oldest go.
#[derive(Default)]
struct Log {
    full: Vec<Piece>,
    last: Option<Piece>,
    text: String,
    /// Lines that are in the store no more.
    dropped: usize,
    /// True while the store doesn't have all of `text`.
    unsaved: bool,
}

struct Piece {
    path: Path,
    bytes: usize,
    lines: usize,
}

impl Log {
    /// Stores what waits. False when the store failed: then nothing more is taken until it has what it was given.
    async fn write(&mut self, run: &Recording) -> bool {
        if !self.unsaved {
            let lines = run.take();
            self.append(run, &lines);
        }
        let Some(last) = &self.last else { return true };
        if self.unsaved {
            if let Err(error) = run.history.shelf.put_log_piece(&last.path, self.text.clone()).await {
                run.history.write_failed(&error);
                return false;
            }
            run.history.log_bytes.fetch_add(self.text.len(), Ordering::Relaxed);
            self.unsaved = false;
        }
        if self.text.len() >= PIECE_BYTES {
            self.text.clear();
            self.full.extend(self.last.take());
            self.drop_oldest(run).await;
        }
        true
    }

    /// Stores what is left when the run has ended.
    async fn finish(&mut self, run: &Recording) {
        let mut pause = STORE_RETRY;
        for _ in 0..LOG_ATTEMPTS {
            // What the store refused before comes first, and then what was said since.
            if self.write(run).await && self.write(run).await {
                return;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        tracing::warn!(job = %run.job, run = run.record.run, "the last lines of a run are lost: the history store fails");
    }

    fn append(&mut self, run: &Recording, lines: &[PlacedLine]) {
        let Some(first) = lines.first() else { return };
        let piece = self.last.get_or_insert_with(|| Piece {
            path: Shelf::log_piece(&run.job, &run.record, first.stamp),
            bytes: 0,
            lines: 0,
        });
        for line in lines {
            let json = serde_json::to_string(line).expect("a line has string keys only, which is all that JSON asks");
            let _ = writeln!(self.text, "{json}");
        }
        piece.bytes = self.text.len();
        piece.lines += lines.len();
        self.unsaved = true;
    }

    /// Keeps the log of the run below its limit.
    async fn drop_oldest(&mut self, run: &Recording) {
        let mut bytes: usize = self.full.iter().map(|piece| piece.bytes).sum();
        let dropped_before = self.dropped;
        while bytes > KEPT_LOG_BYTES && self.full.len() > 1 {
            let oldest = self.full.remove(0);
            if let Err(error) = run.history.shelf.delete_log_piece(&oldest.path).await {
                run.history.write_failed(&error);
            }
            bytes -= oldest.bytes;
            self.dropped += oldest.lines;
        }
        if self.dropped > dropped_before {
            let dropped = self.dropped;
            let mark = run.remark(format!("{dropped} older lines dropped: the run said more than the host keeps"));
            let mut waiting = run.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.memory += cost(&mark);
            waiting.lines.push(mark);
            drop(waiting);
            run.said.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::KEPT_RUNS;
    use super::super::tests::{Place, said};
    use super::*;

    #[tokio::test]
    async fn a_long_run_keeps_its_newest_lines_and_says_how_many_went() {
        let place = Place::new();
        let history = place.host("a");
        let run = Recording::new(history.0.clone(), place.job.clone(), place.run("a", "t"), KEPT_RUNS);
        let mut log = Log::default();
        for batch in 0..20 {
            place.pass(1000);
            for _ in 0..40 {
                run.say(place.line(&"x".repeat(1024)));
            }
            run.say(place.line(&format!("batch {batch}")));
            assert!(log.write(&run).await);
        }
        assert!(log.write(&run).await);
        let lines = history.0.shelf.lines(&place.job, "a", None, 3000).await.unwrap();
        let texts = said(&lines);
        assert!(texts.contains(&"batch 19") && !texts.contains(&"batch 0"), "the newest stay, the oldest go");
        let bytes: usize = lines.iter().map(|line| line.line.message.len()).sum();
        assert!((KEPT_LOG_BYTES / 2..=KEPT_LOG_BYTES).contains(&bytes), "{bytes} bytes are kept");
        let mut marks = texts.iter().filter(|text| text.contains("older lines dropped"));
        let dropped: usize = marks.next_back().and_then(|mark| mark.split(' ').next()).unwrap().parse().unwrap();
        assert!((500..820).contains(&dropped), "{dropped} lines are said to be gone");
    }

    #[tokio::test]
    async fn lines_that_a_failing_store_refused_are_there_when_it_is_mended() {
        let place = Place::new();
        let history = place.host("a");
        let run = Recording::new(history.0.clone(), place.job.clone(), place.run("a", "t"), KEPT_RUNS);
        let mut log = Log::default();
        let in_the_way = place.path().join("logs");
        std::fs::write(&in_the_way, b"").unwrap();
        run.say(place.line("one"));
        assert!(!log.write(&run).await);
        run.say(place.line("two"));
        assert!(!log.write(&run).await);
        std::fs::remove_file(&in_the_way).unwrap();
        assert!(log.write(&run).await && log.write(&run).await);
        let lines = history.0.shelf.lines(&place.job, "a", None, 10).await.unwrap();
        assert_eq!(said(&lines), ["one", "two"]);
    }

    /// Whatever the store does, what waits for it is bounded: a line without text takes memory too.
    #[tokio::test]
    async fn s17_empty_lines_that_wait_for_the_store_are_bounded() {
        let place = Place::new();
        let history = place.host("a");
        let run = Recording::new(history.0.clone(), place.job.clone(), place.run("a", "t"), KEPT_RUNS);
        for _ in 0..20_000 {
            run.say(LogLine { context: String::new(), ..place.line("") });
        }
        let waiting = run.take();
        let (last, held) = waiting.split_last().unwrap();
        assert!((2_000..10_000).contains(&held.len()), "{} lines wait", held.len());
        let dropped = 20_000 - held.len();
        assert_eq!(last.line.message, format!("{dropped} lines dropped: the run said more than the host keeps"));
        assert_eq!(run.lost.load(Ordering::Relaxed), dropped as u64);
    }

    #[tokio::test]
    async fn s17_a_record_takes_no_log_of_many_empty_lines_along() {
        let place = Place::new();
        let history = place.host("a");
        let run = Recording::new(history.0.clone(), place.job.clone(), place.run("a", "t"), KEPT_RUNS);
        let placed = |count: usize| (0..count).map(|_| run.remark(String::new())).collect::<Vec<_>>();
        assert_eq!(run.short(placed(20)).await.len(), 20, "a few go with the record");
        assert!(run.short(placed(1_000)).await.is_empty(), "many are stored by themselves");
        assert_eq!(history.0.shelf.lines(&place.job, "a", None, 3000).await.unwrap().len(), 1_000);
    }
}

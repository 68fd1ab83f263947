//! A run's standard output and error, line by line into its log. Never full and never failing: a guest that says too much
//! loses lines, not its run.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::logging::{MAX_LINE_BYTES, RunLog};
use super::meter::Meter;
use crate::history::LogLevel;

/// How much one write takes, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// One of the two streams. Clones are the same stream.
#[derive(Clone)]
pub(super) struct LineStream(Arc<Mutex<Lines>>);

/// Gathers bytes into lines.
struct Lines {
    log: Arc<RunLog>,
    meter: Arc<Meter>,
    level: LogLevel,
    context: &'static str,
    /// The line so far, at most [`MAX_LINE_BYTES`].
    line: Vec<u8>,
    /// More of it was thrown away.
    cut: bool,
}

impl LineStream {
    pub(super) fn stdout(log: Arc<RunLog>, meter: Arc<Meter>) -> Self {
        Self::new(log, meter, LogLevel::Info, "stdout")
    }

    pub(super) fn stderr(log: Arc<RunLog>, meter: Arc<Meter>) -> Self {
        Self::new(log, meter, LogLevel::Warn, "stderr")
    }

    fn new(log: Arc<RunLog>, meter: Arc<Meter>, level: LogLevel, context: &'static str) -> Self {
        LineStream(Arc::new(Mutex::new(Lines { log, meter, level, context, line: Vec::new(), cut: false })))
    }

    /// Says the line that was begun and not ended.
    pub(super) fn end(&self) {
        let mut lines = self.lines();
        if !lines.line.is_empty() {
            lines.say();
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut lines = self.lines();
        // A stream has no words for that; the meter ends the run.
        if lines.meter.transfer(bytes.len()).is_err() {
            return;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(rest) => {
                    lines.append(rest);
                    lines.say();
                }
                None => lines.append(piece),
            }
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn append(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.cut |= bytes.len() > room;
    }

    fn say(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        self.log.say_line(self.level, self.context, &String::from_utf8_lossy(line), self.cut);
        self.line.clear();
        self.cut = false;
    }
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::fakes::{FakeClock, collect, unmetered};

    #[test]
    fn writes_become_lines_wherever_they_are_split() {
        let (sink, lines) = collect();
        let log = RunLog::new("r".to_owned(), 1, sink, FakeClock::new(), usize::MAX);
        let stream = LineStream::stdout(log, unmetered());
        ["he", "llo\r\nwor", "ld\n\nlast"].iter().for_each(|piece| stream.take(piece.as_bytes()));
        stream.end();
        stream.end();
        let said: Vec<_> = lines.lock().unwrap().iter().map(|l| (l.context.clone(), l.message.clone())).collect();
        assert_eq!(said, ["hello", "world", "", "last"].map(|line| ("stdout".to_owned(), line.to_owned())));
    }

    #[test]
    fn an_endless_line_takes_bounded_memory_and_counts_once() {
        let (sink, lines) = collect();
        let log = RunLog::new("r".to_owned(), 1, sink, FakeClock::new(), usize::MAX);
        let stream = LineStream::stderr(log.clone(), unmetered());
        (0..100).for_each(|_| stream.take(&[b'x'; WRITE_BYTES]));
        assert_eq!(stream.lines().line.len(), MAX_LINE_BYTES);
        stream.take(b"\nnext\n");
        let said: Vec<_> = lines.lock().unwrap().iter().map(|line| line.message.len()).collect();
        assert_eq!((said, log.end()), (vec![MAX_LINE_BYTES + "…".len(), 4], 1));
    }
}

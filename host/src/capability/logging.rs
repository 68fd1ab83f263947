//! `wasi:logging`, and what stands between a run and its log: lines are cut, cleaned, counted and held to a rate.
//!
//! It hands lines on; it doesn't know where they are kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::Result;

use super::bindings::wasi::logging::logging::{self, Level};
use super::host::Host;
use crate::clock::Clock;
use crate::history::{LogLevel, LogLine, LogSink};
use crate::registry::Limit;
use crate::text::clean;

/// The longest line, in bytes; what is over it is cut.
pub const MAX_LINE_BYTES: usize = 8 * 1024;
/// The longest context, in bytes; what is over it is cut.
pub const MAX_CONTEXT_BYTES: usize = 64;
/// How many lines a second a run may say in the long run.
pub const LINES_PER_SECOND: u32 = 200;
/// How many lines a run may say at once.
pub const BURST_LINES: u32 = 2_000;

/// Behind a line that was cut.
const CUT: &str = "…";
/// The context of the host's own remarks.
const OWN_CONTEXT: &str = "silverback";

/// The log of one run.
pub struct RunLog {
    run: String,
    attempt: u32,
    sink: LogSink,
    clock: Arc<dyn Clock>,
    allowance: Mutex<Allowance>,
}

/// How many lines may still pass, and what did not.
struct Allowance {
    lines: f64,
    bytes: f64,
    /// The most that it has of them.
    most_bytes: f64,
    refilled: Duration,
    /// Dropped since the last remark on it.
    dropped: u64,
    /// Dropped or cut since the run began.
    lost: u64,
}

impl RunLog {
    /// The log of `run`, ending in `sink`: at most so many bytes a minute.
    pub fn new(run: String, attempt: u32, sink: LogSink, clock: Arc<dyn Clock>, bytes: usize) -> Arc<Self> {
        let most_bytes = bytes as f64;
        let (lines, refilled) = (BURST_LINES.into(), clock.boot());
        let allowance = Allowance { lines, bytes: most_bytes, most_bytes, refilled, dropped: 0, lost: 0 };
        Arc::new(RunLog { run, attempt, sink, clock, allowance: Mutex::new(allowance) })
    }

    /// Takes a message, as one line for each of its lines.
    pub fn say(&self, level: LogLevel, context: &str, message: &str) {
        let mut lines = message.lines();
        // An empty message is an empty line.
        let mut passes = self.say_line(level, context, lines.next().unwrap_or(""), false);
        while passes && let Some(line) = lines.next() {
            passes = self.say_line(level, context, line, false);
        }
        // A message may be nothing but lines: those that have no place are counted, each at no cost to speak of.
        let rest = lines.count() as u64;
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        allowance.dropped += rest;
        allowance.lost += rest;
    }

    /// Takes one line; `cut` where its end is missing already. False where it is dropped.
    pub fn say_line(&self, level: LogLevel, context: &str, line: &str, cut: bool) -> bool {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        allowance.refill(self.clock.boot());
        let is_cut = cut || line.len() > MAX_LINE_BYTES;
        let line = clean(line, MAX_LINE_BYTES) + if is_cut { CUT } else { "" };
        let context = clean(context, MAX_CONTEXT_BYTES);
        if !allowance.take(line.len() + context.len()) {
            return false;
        }
        allowance.lost += u64::from(is_cut);
        let dropped = std::mem::take(&mut allowance.dropped);
        let most_bytes = allowance.most_bytes;
        drop(allowance);
        self.remark_dropped(dropped, most_bytes);
        self.pass(level, context, line);
        true
    }

    /// Ends the log: says what was dropped and not yet told, and gives the number of lines dropped or cut.
    pub fn end(&self) -> u64 {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = std::mem::take(&mut allowance.dropped);
        let (lost, most_bytes) = (allowance.lost, allowance.most_bytes);
        drop(allowance);
        self.remark_dropped(dropped, most_bytes);
        lost
    }

    fn remark_dropped(&self, dropped: u64, most_bytes: f64) {
        if dropped > 0 {
            let bytes = Limit::LogBytes.unit().write(most_bytes as u64);
            let message =
                format!("{dropped} log lines were dropped: more than {LINES_PER_SECOND} a second, or {bytes} a minute");
            self.pass(LogLevel::Warn, OWN_CONTEXT.to_owned(), message);
        }
    }

    fn pass(&self, level: LogLevel, context: String, message: String) {
        let (run, attempt) = (self.run.clone(), self.attempt);
        (self.sink)(LogLine { time: self.clock.wall(), run, attempt, level, context, message });
    }
}

impl Allowance {
    fn refill(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.refilled).as_secs_f64();
        self.lines = (self.lines + seconds * f64::from(LINES_PER_SECOND)).min(BURST_LINES.into());
        self.bytes = (self.bytes + seconds * self.most_bytes / 60.0).min(self.most_bytes);
        self.refilled = now;
    }

    /// Lets a line of so many bytes pass, or counts it as dropped.
    fn take(&mut self, bytes: usize) -> bool {
        let bytes = bytes as f64;
        let passes = self.lines >= 1.0 && self.bytes >= bytes;
        if passes {
            self.lines -= 1.0;
            self.bytes -= bytes;
        } else {
            self.dropped += 1;
            self.lost += 1;
        }
        passes
    }
}

impl logging::Host for Host {
    async fn log(&mut self, level: Level, context: String, message: String) -> Result<()> {
        self.leadership.lasts()?;
        self.meter.transfer(context.len() + message.len())?;
        self.state.stack().call(|| self.log.say(level.into(), &context, &message));
        Ok(())
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
            Level::Critical => LogLevel::Critical,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::fakes::{FakeClock, collect};

    #[test]
    fn a_message_becomes_clean_lines() {
        let (sink, lines) = collect();
        let log = RunLog::new("r".to_owned(), 1, sink, FakeClock::new(), usize::MAX);
        log.say(LogLevel::Info, "main", "one\ntwo \u{1b}[31mred\r\n");
        let said: Vec<_> = lines.lock().unwrap().iter().map(|line| line.message.clone()).collect();
        assert_eq!(said, ["one", "two \u{fffd}[31mred"]);
        assert_eq!(log.end(), 0);
    }

    #[test]
    fn a_long_line_is_cut_at_a_character_and_counted() {
        let (sink, lines) = collect();
        let log = RunLog::new("r".to_owned(), 1, sink, FakeClock::new(), usize::MAX);
        log.say(LogLevel::Info, &"c".repeat(100), &"é".repeat(MAX_LINE_BYTES));
        let line = lines.lock().unwrap()[0].clone();
        assert_eq!((line.message.len(), line.context.len()), (MAX_LINE_BYTES + CUT.len(), MAX_CONTEXT_BYTES));
        assert!(line.message.ends_with("é…"));
        assert_eq!(log.end(), 1);
    }

    #[test]
    fn a_flood_is_held_to_the_rate_and_what_was_dropped_is_told() {
        let (sink, lines) = collect();
        let clock = FakeClock::new();
        let log = RunLog::new("r".to_owned(), 1, sink, clock.clone(), 64 << 20);
        (0..BURST_LINES + 50).for_each(|n| log.say(LogLevel::Info, "", &n.to_string()));
        assert_eq!(lines.lock().unwrap().len(), BURST_LINES as usize);
        clock.advance(Duration::from_millis(500));
        log.say(LogLevel::Info, "", "again");
        let told = lines.lock().unwrap()[BURST_LINES as usize..].to_vec();
        assert_eq!(told[0].message, "50 log lines were dropped: more than 200 a second, or 64MiB a minute");
        assert_eq!((told[0].context.as_str(), told[1].message.as_str()), ("silverback", "again"));
        (0..LINES_PER_SECOND).for_each(|_| log.say(LogLevel::Info, "", "more"));
        assert_eq!(log.end(), 50 + 101);
    }

    #[test]
    fn a_minute_has_only_so_many_bytes() {
        let (sink, lines) = collect();
        let clock = FakeClock::new();
        let log = RunLog::new("r".to_owned(), 1, sink, clock.clone(), 1024);
        (0..3).for_each(|_| log.say(LogLevel::Info, "", &"x".repeat(500)));
        assert_eq!(lines.lock().unwrap().len(), 2);
        clock.advance(Duration::from_secs(30));
        log.say(LogLevel::Info, "", &"y".repeat(500));
        let told = lines.lock().unwrap()[2..].to_vec();
        assert_eq!(told[0].message, "1 log lines were dropped: more than 200 a second, or 1KiB a minute");
        assert!(told[1].message.starts_with('y'));
        assert_eq!(log.end(), 1);
    }

    #[test]
    fn a_message_of_lines_alone_is_counted_and_costs_nothing() {
        let (sink, lines) = collect();
        let log = RunLog::new("r".to_owned(), 1, sink, FakeClock::new(), usize::MAX);
        log.say(LogLevel::Info, "", &"\n".repeat(1 << 20));
        assert_eq!(lines.lock().unwrap().len(), BURST_LINES as usize);
        assert_eq!(log.end(), (1 << 20) - u64::from(BURST_LINES));
    }
}

//! What was run, how it ended and what it said.

mod record;

pub use record::{LogLevel, LogLine, LogSink, Outcome, RunRecord};

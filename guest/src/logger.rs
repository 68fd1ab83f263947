//! The `log` facade, ending in the run's log.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::config;
use crate::host::{self, Level as HostLevel};

struct HostLog;

/// Sets the facade up, once. A component that has its own logger keeps it.
pub(crate) fn install() {
    if log::set_logger(&HostLog).is_ok() {
        // In a test each stage has a level of its own, and they share this.
        log::set_max_level(if cfg!(target_family = "wasm") { level() } else { LevelFilter::Trace });
    }
}

/// As the job's config says.
fn level() -> LevelFilter {
    config::get("log").and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::Info)
}

impl Log for HostLog {
    fn enabled(&self, line: &Metadata<'_>) -> bool {
        cfg!(target_family = "wasm") || (host::is_there() && line.level() <= level())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => HostLevel::Error,
            Level::Warn => HostLevel::Warn,
            Level::Info => HostLevel::Info,
            Level::Debug => HostLevel::Debug,
            Level::Trace => HostLevel::Trace,
        };
        host::log(level, record.target(), &record.args().to_string());
    }

    fn flush(&self) {}
}

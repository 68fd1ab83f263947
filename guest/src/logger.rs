//! The `log` facade, ending in the run's log.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::bindings::wasi::logging::logging as host;
use crate::config;

struct HostLog;

/// Sets the facade up, once. A component that has its own logger keeps it.
pub(crate) fn install() {
    if log::set_logger(&HostLog).is_ok() {
        let level = config::get("log").and_then(|level| level.parse().ok());
        log::set_max_level(level.unwrap_or(LevelFilter::Info));
    }
}

impl Log for HostLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => host::Level::Error,
            Level::Warn => host::Level::Warn,
            Level::Info => host::Level::Info,
            Level::Debug => host::Level::Debug,
            Level::Trace => host::Level::Trace,
        };
        host::log(level, record.target(), &record.args().to_string());
    }

    fn flush(&self) {}
}

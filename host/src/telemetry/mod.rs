//! The host's own log: on stderr, for people or for machines. What guests say is history's.
//!
//! Messages and fields may quote others: tenants, other hosts, whoever writes to ZooKeeper. Whatever they hold, an event is
//! one line, and a terminal that shows it does nothing else.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::text::{plain, plain_json};

/// The variable that says what is logged, in tracing's own words: `info`, `silverback=debug`.
pub const FILTER_VARIABLE: &str = "SILVERBACK_LOG";

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Plain,
    /// One JSON object a line.
    Json,
}

/// Sends the process's log to stderr. Called once.
///
/// # Errors
/// [`ParseError`] where the variable holds no filter.
pub fn init(format: LogFormat) -> Result<(), ParseError> {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(directives)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Plain => {
            let ansi = io::stderr().is_terminal();
            log.with_writer(io::stderr).with_ansi(ansi).fmt_fields(plain_fields()).init();
        }
        LogFormat::Json => log.json().with_writer(|| PlainJson(io::stderr())).init(),
    }
    Ok(())
}

/// Fields as `name=value`, after the message.
fn plain_fields() -> impl for<'writer> FormatFields<'writer> {
    debug_fn(|writer: &mut Writer<'_>, field, value| {
        let value = plain(&format!("{value:?}"));
        if field.name() == "message" { write!(writer, "{value}") } else { write!(writer, "{}={value}", field.name()) }
    })
    .delimited(" ")
}

/// Escapes what JSON itself leaves as it is. Gets whole events.
struct PlainJson<W>(W);

impl<W: io::Write> io::Write for PlainJson<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(plain_json(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::{DefaultGuard, set_default, with_default};

    use super::*;

    /// What is logged on the thread that started it.
    #[derive(Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        /// Captures until the guard is dropped, from the level `info` on, without times and targets.
        pub(crate) fn start(&self) -> DefaultGuard {
            // Somebody who wants every event on all threads keeps tracing from taking it, while other tests come and go, that nobody
            // does.
            let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
            let writer = self.clone();
            let log = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
            set_default(log.with_writer(move || writer.clone()).fmt_fields(plain_fields()).finish())
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    const NASTY: &str = "x\u{1b}[2J\u{9b}1m\n2026-01-01 INFO all is well\r\u{202e}y";

    fn say() {
        tracing::warn!(host = NASTY, error = %NASTY, debug = ?NASTY, "it failed: {NASTY}");
    }

    #[test]
    fn s10_an_event_is_one_line_that_drives_no_terminal() {
        let captured = Captured::default();
        let capturing = captured.start();
        say();
        drop(capturing);
        let escaped = r"x\u{1b}[2J\u{9b}1m\n2026-01-01 INFO all is well\r\u{202e}y";
        let debug = format!("{NASTY:?}");
        assert_eq!(captured.text(), format!(" WARN it failed: {escaped} host={debug} error={escaped} debug={debug}\n"));
    }

    #[test]
    fn s10_an_event_as_json_keeps_its_meaning() {
        let captured = Captured::default();
        let writer = captured.clone();
        let log = tracing_subscriber::fmt().json().with_writer(move || PlainJson(writer.clone())).finish();
        with_default(log, say);
        let text = captured.text();
        assert!(!text.trim_end().contains(crate::text::is_harmful), "{text:?}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["fields"]["error"], NASTY);
    }
}

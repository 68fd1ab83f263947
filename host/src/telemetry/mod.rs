//! The host's own log: on stderr, for people or for machines. What guests say is history's.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

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
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Plain => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

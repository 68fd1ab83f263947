//! Rows as a table or as JSON.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::text::{plain, plain_json, plain_lines, plain_message};

/// The widest cell of a table, in characters, apart from problems.
const MAX_CELL: usize = 64;
/// How much of a pause a table shows, in characters.
const SHORT_PAUSE: usize = 32;
/// How much of a digest tells it from others: `sha256:` and 12 digits.
const SHORT_DIGEST: usize = 19;

/// How a listing looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// An array of objects with all fields
    Json,
    /// For people
    Table,
}

#[derive(Debug, Args)]
pub(super) struct Output {
    /// How the listing looks
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(super) output: Format,
}

impl Output {
    /// Prints rows with these columns.
    pub(super) fn print(&self, rows: &[Value], columns: &[&str]) -> io::Result<()> {
        match self.output {
            Format::Json => say_json(&format!("{:#}", Value::from(rows))),
            Format::Table => say(&table(rows, columns)),
        }
    }
}

/// Prints a line, or several. Whatever is in it, a terminal shows it and does nothing else.
pub(super) fn say(text: &str) -> io::Result<()> {
    write_line(&plain_lines(text))
}

/// Prints JSON, with escapes for characters that could drive a terminal or deceive a reader.
pub(super) fn say_json(json: &str) -> io::Result<()> {
    write_line(&plain_json(json))
}

/// Tells why a command fails, or what of it.
pub(super) fn complain(error: &anyhow::Error) {
    eprintln!("silverback: {}", plain_message(&format!("{error:#}")));
}

fn write_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
    stdout.flush()
}

/// A header and a line a row, columns as wide as they need to be.
pub(super) fn table(rows: &[Value], columns: &[&str]) -> String {
    let heading = |column: &&str| column.rsplit('|').next().unwrap_or_default().to_uppercase();
    let header = columns.iter().map(heading).collect();
    let body = rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect::<Vec<_>>());
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(body).collect();
    let width = |at: usize| lines.iter().map(|cells| cells[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for cells in &lines {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A time as a person reads it; what is no time stays as it is.
fn to_milliseconds(text: &str) -> String {
    text.parse::<jiff::Timestamp>().map_or_else(|_| plain(text), |time| format!("{time:.3}"))
}

/// `group|election` is whichever of the two is there.
fn cell(row: &Value, column: &str) -> String {
    let value = column.split('|').map(|name| &row[name]).find(|value| !value.is_null());
    let text = match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if column == "component" => plain(text).chars().take(SHORT_DIGEST).collect(),
        Some(Value::String(text)) if matches!(column, "started" | "ended") => to_milliseconds(text),
        Some(Value::String(text)) => plain(text),
        Some(pause @ Value::Object(_)) if column == "pause|paused" => short_pause(pause),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(other @ (Value::Number(_) | Value::Array(_) | Value::Object(_))) => plain(&other.to_string()),
    };
    // A problem ends with what to do about it, and is the last of its line.
    if column == "problem" || text.chars().count() <= MAX_CELL {
        return text;
    }
    text.chars().take(MAX_CELL - 1).chain(['…']).collect()
}

/// `by ada: the table mo…`: who paused a job, and why; `itself` after failures.
fn short_pause(pause: &Value) -> String {
    let by = pause["by"].as_str().unwrap_or("itself");
    let note = pause["note"].as_str().filter(|note| !note.is_empty()).map_or(String::new(), |note| format!(": {note}"));
    let text = plain(&format!("by {by}{note}"));
    if text.chars().count() <= SHORT_PAUSE {
        return text;
    }
    text.chars().take(SHORT_PAUSE - 1).chain(['…']).collect()
}

//! `logs`: what a job's runs said, and with `--follow` what they say.

use std::io;

use clap::Args;
use serde_json::Value;

use super::output::{Format, Output, say, say_json};
use super::{Named, Server};
use crate::api::LogPage;
use crate::history::{LogLevel, PlacedLine};
use crate::text::plain;

/// How long one poll may last, in seconds.
const POLL_S: u32 = 20;

#[derive(Debug, Args)]
pub(super) struct Logs {
    #[command(flatten)]
    named: Named,
    /// Go on with new lines as they come
    #[arg(long)]
    follow: bool,
    /// How many lines at the most, the newest ones
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

impl Logs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let client = self.server.client()?;
        let path = format!("/v1/jobs/{}/logs", self.named.job);
        let mut page: LogPage = client.get(&format!("{path}?limit={}", self.limit))?;
        if !self.follow {
            return Ok(self.print(&page.lines)?);
        }
        loop {
            for line in &page.lines {
                self.print_one(line)?;
            }
            page = client.get(&format!("{path}?wait={POLL_S}&after={}", page.cursor))?;
        }
    }

    fn print(&self, lines: &[PlacedLine]) -> io::Result<()> {
        match self.output.output {
            Format::Json => say_json(&format!("{:#}", serde_json::to_value(lines)?)),
            Format::Table => lines.iter().try_for_each(|line| say(&text(line))),
        }
    }

    /// While following, an array would never end: JSON is one object a line.
    fn print_one(&self, line: &PlacedLine) -> io::Result<()> {
        match self.output.output {
            Format::Json => say_json(&serde_json::to_string(line)?),
            Format::Table => say(&text(line)),
        }
    }
}

/// `2026-07-01T03:00:00.012Z a acme/nightly/2026-07-01T03:00:00Z#1 info report: done`.
pub(super) fn text(line: &PlacedLine) -> String {
    let said = &line.line;
    let level = level(said.level);
    let context = if said.context.is_empty() { String::new() } else { format!("{}: ", plain(&said.context)) };
    format!(
        "{:.3} {} {}#{} {level} {context}{}",
        said.time,
        plain(&line.host),
        plain(&said.run),
        said.attempt,
        plain(&said.message)
    )
}

/// As job.toml and the API have it.
pub(super) fn level(level: LogLevel) -> String {
    match serde_json::to_value(level) {
        Ok(Value::String(level)) => level,
        Ok(_) | Err(_) => String::new(),
    }
}

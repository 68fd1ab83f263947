//! `state`: what a job keeps.

use std::io::{self, IsTerminal, Write as _};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::output::{Output, say};
use super::{Named, Server};
use crate::config::encode_key;
use crate::text::{plain, plain_lines};

#[derive(Debug, Args)]
pub(super) struct State {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a key's value to stdout: as it is, or escaped if stdout is a terminal
    Get {
        #[command(flatten)]
        named: Named,
        /// The key
        key: String,
        /// Write the value to a terminal as it is, too: it may hold sequences that drive the terminal
        #[arg(long)]
        raw: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Set a key
    Set {
        #[command(flatten)]
        named: Named,
        /// The key
        key: String,
        /// The value, as text
        value: String,
        #[command(flatten)]
        server: Server,
    },
    /// List the keys
    List {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        output: Output,
    },
    /// Delete a key
    Delete {
        #[command(flatten)]
        named: Named,
        /// The key
        key: String,
        #[command(flatten)]
        server: Server,
    },
}

impl State {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Get { named, key, raw, server } => {
                let value = server.client()?.get_bytes(&path(&named, &key)?)?;
                if io::stdout().is_terminal() && !raw {
                    return Ok(say(&shown(&value))?);
                }
                let mut stdout = io::stdout().lock();
                stdout.write_all(&value)?;
                stdout.flush()?;
            }
            What::Set { named, key, value, server } => {
                server.client()?.put_bytes(&path(&named, &key)?, value.as_bytes())?;
                say(&format!("set {} of {}", plain(&key), named.job))?;
            }
            What::List { named, server, output } => {
                let rows: Vec<Value> = server.client()?.get(&format!("/v1/jobs/{}/state", named.job))?;
                output.print(&rows, &["key"])?;
            }
            What::Delete { named, key, server } => {
                server.client()?.delete(&path(&named, &key)?)?;
                say(&format!("deleted {} of {}", plain(&key), named.job))?;
            }
        }
        Ok(())
    }
}

/// A value for a terminal: its text, with bytes that are no text as `\xff`.
fn shown(value: &[u8]) -> String {
    let chunks = value.utf8_chunks();
    chunks.map(|chunk| format!("{}{}", plain_lines(chunk.valid()), chunk.invalid().escape_ascii())).collect()
}

/// A key's name as a node is also its name in a URL: every byte but the plainest as `%XX`.
fn path(named: &Named, key: &str) -> anyhow::Result<String> {
    Ok(format!("/v1/jobs/{}/state/{}", named.job, encode_key(key)?))
}

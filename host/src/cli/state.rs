//! `state`: what a job keeps.

use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::output::{Output, say};
use super::{Named, Server};
use crate::config::encode_key;

#[derive(Debug, Args)]
pub(super) struct State {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a key's value to stdout, as it is
    Get {
        #[command(flatten)]
        named: Named,
        /// The key
        key: String,
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
            What::Get { named, key, server } => {
                let value = server.client()?.get_bytes(&path(&named, &key)?)?;
                let mut stdout = io::stdout().lock();
                stdout.write_all(&value)?;
                stdout.flush()?;
            }
            What::Set { named, key, value, server } => {
                server.client()?.put_bytes(&path(&named, &key)?, value.as_bytes())?;
                say(&format!("set {key} of {}", named.job))?;
            }
            What::List { named, server, output } => {
                let rows: Vec<Value> = server.client()?.get(&format!("/v1/jobs/{}/state", named.job))?;
                output.print(&rows, &["key"])?;
            }
            What::Delete { named, key, server } => {
                server.client()?.delete(&path(&named, &key)?)?;
                say(&format!("deleted {key} of {}", named.job))?;
            }
        }
        Ok(())
    }
}

/// A key's name as a node is also its name in a URL: every byte but the plainest as `%XX`.
fn path(named: &Named, key: &str) -> anyhow::Result<String> {
    Ok(format!("/v1/jobs/{}/state/{}", named.job, encode_key(key)?))
}

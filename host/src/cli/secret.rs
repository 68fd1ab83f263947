//! `secret`: what a tenant's jobs are told and nobody else is.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::output::{Output, say};
use super::{Server, name, new_secret_file, read_file};
use crate::registry::{MAX_SECRET_BYTES, Vault};

pub(super) const SECRETS: [&str; 3] = ["name", "set", "key"];

#[derive(Debug, Args)]
pub(super) struct Secret {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Set a secret to what stands in a file, or comes on stdin
    ///
    /// One line end behind it is no part of it. Runs that begin from now on have it; it can't be read back.
    Set {
        #[command(flatten)]
        named: Named,
        /// The file, instead of stdin
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        server: Server,
    },
    /// List a tenant's secrets, without what they are
    List {
        /// The tenant
        #[arg(value_parser = name)]
        tenant: String,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        output: Output,
    },
    /// Delete a secret: runs that ask for it fail from now on
    Delete {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        server: Server,
    },
    /// Make a new key, for the file that all hosts are given with --secrets-key
    Key {
        /// The new file, which nobody else may read; without it the key is printed
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Named {
    /// The tenant
    #[arg(value_parser = name)]
    tenant: String,
    /// The secret
    #[arg(value_parser = name)]
    name: String,
}

impl Named {
    fn path(&self) -> String {
        format!("/v1/tenants/{}/secrets/{}", self.tenant, self.name)
    }
}

impl Secret {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Set { named, file, server } => {
                let secret = match file {
                    Some(file) => read_file(&file)?,
                    None => from_stdin()?,
                };
                let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
                let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
                server.client()?.put_bytes(&named.path(), secret)?;
                Ok(say(&format!("set secret {} of tenant {}", named.name, named.tenant))?)
            }
            What::List { tenant, server, output } => {
                let rows: Vec<Value> = server.client()?.get(&format!("/v1/tenants/{tenant}/secrets"))?;
                Ok(output.print(&rows, &SECRETS)?)
            }
            What::Delete { named, server } => {
                server.client()?.delete(&named.path())?;
                Ok(say(&format!("deleted secret {} of tenant {}", named.name, named.tenant))?)
            }
            What::Key { file: None } => Ok(say(&Vault::new_key())?),
            What::Key { file: Some(file) } => new_secret_file(&file, &format!("{}\n", Vault::new_key())),
        }
    }
}

fn from_stdin() -> anyhow::Result<Vec<u8>> {
    let mut secret = Vec::new();
    let most = MAX_SECRET_BYTES + 3;
    std::io::stdin().take(most as u64).read_to_end(&mut secret).context("can't read stdin")?;
    ensure!(secret.len() < most, "what comes on stdin is over the limit of {MAX_SECRET_BYTES} bytes");
    Ok(secret)
}

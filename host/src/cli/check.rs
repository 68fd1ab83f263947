//! `check`: whether a component fits the world, without a host.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::output::say;
use super::read_file;
use crate::clock;
use crate::runtime::{Admission, GuestThreads, Runtime, RuntimeSettings};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let bytes = read_file(&self.file)?;
        let report = admit(&bytes).with_context(|| format!("`{}`", self.file.display()))?;
        let mut text = format!("{} fits\n{}\n", self.file.display(), report.digest);
        for import in &report.imports {
            text.push_str(&format!("import {import}\n"));
        }
        for export in &report.exports {
            text.push_str(&format!("export {export}\n"));
        }
        if report.imports.iter().any(|import| import.starts_with("wasi:http/outgoing-handler@")) {
            text.push_str(
                "it can send HTTP requests: they are denied unless job.toml allows their targets under [http]\n",
            );
        }
        Ok(say(&text)?)
    }
}

/// The same admission that a host does before it stores a component.
fn admit(bytes: &[u8]) -> anyhow::Result<Admission> {
    let threads = GuestThreads::start()?;
    let settings = RuntimeSettings { max_runs: 1, ..RuntimeSettings::default() };
    Ok(Runtime::new(settings, threads.lanes(), clock::system())?.admit(bytes)?)
}

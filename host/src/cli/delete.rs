//! `delete`.

use clap::Args;

use super::output::say;
use super::{Named, Server};

#[derive(Debug, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    server: Server,
}

impl Delete {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let job = &self.named.job;
        self.server.client()?.delete(&format!("/v1/jobs/{job}"))?;
        Ok(say(&format!("deleted {job}"))?)
    }
}

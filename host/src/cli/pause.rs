//! `pause` and `resume`.

use clap::Args;

use super::output::say;
use super::{Named, Server};
use crate::registry::Applied;

#[derive(Debug, Args)]
pub(super) struct Pause {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    server: Server,
}

impl Pause {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let job = &self.named.job;
        let applied: Applied = self.server.client()?.post(&format!("/v1/jobs/{job}/pause"))?;
        Ok(say(&format!("paused {job}, version {}", applied.version))?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Resume {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    server: Server,
}

impl Resume {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let job = &self.named.job;
        let applied: Applied = self.server.client()?.post(&format!("/v1/jobs/{job}/resume"))?;
        Ok(say(&format!("resumed {job}, version {}", applied.version))?)
    }
}

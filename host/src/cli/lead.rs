//! What only a job's leader can do: `resign`, `trigger`.

use clap::Args;
use serde_json::Value;

use super::output::say;
use super::{Named, Server};
use crate::api::Triggered;

#[derive(Debug, Args)]
pub(super) struct Resign {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    server: Server,
}

impl Resign {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let job = &self.named.job;
        let _: Value = self.server.client()?.post(&format!("/v1/jobs/{job}/resign"))?;
        Ok(say(&format!("the leader of {job} has resigned"))?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Trigger {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    server: Server,
}

impl Trigger {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let triggered: Triggered = self.server.client()?.post(&format!("/v1/jobs/{}/trigger", self.named.job))?;
        Ok(say(&format!("started {}", triggered.run))?)
    }
}

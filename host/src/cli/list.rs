//! The listings: `jobs`, `hosts`, `contenders`, `runs`.

use clap::Args;
use serde_json::Value;

use super::output::Output;
use super::{Named, Server};

pub(super) const JOBS: [&str; 10] = [
    "tenant",
    "name",
    "version",
    "trigger",
    "component",
    "group|election",
    "pause|paused",
    "last_outcome",
    "next_tick",
    "problem",
];
pub(super) const HOSTS: [&str; 12] = [
    "host",
    "address",
    "version",
    "started",
    "drained",
    "clock_offset_ms",
    "clock_wrong",
    "groups_led",
    "groups",
    "jobs_led",
    "session",
    "problem",
];
pub(super) const CONTENDERS: [&str; 6] = ["identifier", "host", "znode", "token", "leader", "problem"];
pub(super) const RUNS: [&str; 9] = ["run", "attempt", "tick", "host", "token", "started", "ended", "outcome", "detail"];

#[derive(Debug, Args)]
pub(super) struct Jobs {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

impl Jobs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let rows: Vec<Value> = self.server.client()?.get("/v1/jobs")?;
        Ok(self.output.print(&rows, &JOBS)?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Hosts {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

impl Hosts {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let rows: Vec<Value> = self.server.client()?.get("/v1/hosts")?;
        Ok(self.output.print(&rows, &HOSTS)?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Contenders {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

impl Contenders {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let rows: Vec<Value> = self.server.client()?.get(&format!("/v1/jobs/{}/contenders", self.named.job))?;
        Ok(self.output.print(&rows, &CONTENDERS)?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Runs {
    #[command(flatten)]
    named: Named,
    /// How many at the most
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

impl Runs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let path = format!("/v1/jobs/{}/runs?limit={}", self.named.job, self.limit);
        let rows: Vec<Value> = self.server.client()?.get(&path)?;
        Ok(self.output.print(&rows, &RUNS)?)
    }
}

//! What only a job's leader can do: `resign`, `trigger`, `backfill`, `set-cursor`.

use clap::Args;
use jiff::Timestamp;

use super::output::say;
use super::{Named, Server};
use crate::api::{CursorSet, FilledIn, Resigned, Triggered};

#[derive(Debug, Args)]
pub(super) struct Resign {
    #[command(flatten)]
    named: Named,
    /// Let the leader of a scheduled job's whole group resign: the runs of all jobs in it are stopped, of other tenants too
    #[arg(long)]
    group: bool,
    #[command(flatten)]
    server: Server,
}

impl Resign {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Resign { named: Named { job }, group, server } = self;
        let query = if group { "?group=true" } else { "" };
        let resigned: Resigned = server.client()?.post(&format!("/v1/jobs/{job}/resign{query}"))?;
        let whose = resigned.group.map_or_else(|| job.to_string(), |group| group.to_string());
        Ok(say(&format!("the leader of {whose} has resigned"))?)
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

#[derive(Debug, Args)]
pub(super) struct Backfill {
    #[command(flatten)]
    named: Named,
    /// The span's begin, like 2026-01-01T00:00:00Z; a tick at it counts
    #[arg(long, value_name = "TIME")]
    from: Timestamp,
    /// The span's end, which must be past; a tick at it counts
    #[arg(long, value_name = "TIME")]
    to: Timestamp,
    #[command(flatten)]
    server: Server,
}

impl Backfill {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Backfill { named: Named { job }, from, to, server } = self;
        let filled_in: FilledIn = server.client()?.post(&format!("/v1/jobs/{job}/backfill?from={from}&to={to}"))?;
        Ok(say(&format!("{} ticks of {job} will be run, one after another", filled_in.ticks))?)
    }
}

#[derive(Debug, Args)]
pub(super) struct SetCursor {
    #[command(flatten)]
    named: Named,
    /// Up to when ticks count as decided, like 2026-01-01T00:00:00Z; not in the future
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    #[command(flatten)]
    server: Server,
}

impl SetCursor {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let SetCursor { named: Named { job }, to, server } = self;
        let query = to.map_or_else(String::new, |to| format!("?to={to}"));
        let set: CursorSet = server.client()?.post(&format!("/v1/jobs/{job}/cursor{query}"))?;
        Ok(say(&format!("{job} ticks from {} on", set.cursor))?)
    }
}

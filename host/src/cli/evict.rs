//! `evict`.

use clap::Args;

use super::output::say;
use super::{Named, Server};
use crate::api::{Evicted, Eviction};
use crate::text::plain;

#[derive(Debug, Args)]
pub(super) struct Evict {
    #[command(flatten)]
    named: Named,
    /// The contender: a host's name, another program's identifier, or a node's name where several have one identifier
    #[arg(value_name = "HOST")]
    contender: String,
    /// Remove it from the election of a scheduled job's whole group: if it leads, the runs of all jobs in it are stopped, of
    /// other tenants too
    #[arg(long)]
    group: bool,
    #[command(flatten)]
    server: Server,
}

impl Evict {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Evict { named: Named { job }, contender, group, server } = self;
        let path = format!("/v1/jobs/{job}/evict");
        let Evicted { contender, group } = server.client()?.post_json(&path, &Eviction { contender, group })?;
        let (who, znode) = (plain(&contender.identifier), plain(contender.znode.as_deref().unwrap_or_default()));
        let whose = group.map_or_else(|| job.to_string(), |group| group.to_string());
        Ok(say(&format!("removed {who} ({znode}) from the election of {whose}"))?)
    }
}

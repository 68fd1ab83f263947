//! `evict`.

use clap::Args;

use super::output::say;
use super::{Named, Server};
use crate::api::{ContenderRow, Eviction};
use crate::text::plain;

#[derive(Debug, Args)]
pub(super) struct Evict {
    #[command(flatten)]
    named: Named,
    /// The contender: a host's name, another program's identifier, or a node's name where several have one identifier
    #[arg(value_name = "HOST")]
    contender: String,
    #[command(flatten)]
    server: Server,
}

impl Evict {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let job = &self.named.job;
        let eviction = Eviction { contender: self.contender };
        let evicted: ContenderRow = self.server.client()?.post_json(&format!("/v1/jobs/{job}/evict"), &eviction)?;
        let (who, znode) = (plain(&evicted.identifier), plain(evicted.znode.as_deref().unwrap_or_default()));
        Ok(say(&format!("removed {who} ({znode}) from the election of {job}"))?)
    }
}

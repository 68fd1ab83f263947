//! What concerns the cluster as a whole: `cluster resume-after-restore`.

use clap::{Args, Subcommand};

use super::Server;
use super::output::say;
use crate::api::Resumed;

#[derive(Debug, Args)]
pub(super) struct Cluster {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let the cluster go on after its ensemble was restored from an older state
    ///
    /// Hosts keep the highest position in the ensemble's history that they have seen, and lead nothing on an ensemble that is behind
    /// it: fencing tokens would come a second time, and ticks run again. This sets a new base for tokens, above all that the live
    /// hosts have seen, and jobs tick from now on: what was due before does not run. Start all hosts before you call it, since a
    /// host that is not there can't say what it has seen.
    ResumeAfterRestore {
        #[command(flatten)]
        server: Server,
    },
}

impl Cluster {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::ResumeAfterRestore { server } => {
                let Resumed { base } = server.client()?.post("/v1/cluster/resume-after-restore")?;
                Ok(say(&format!("the cluster goes on; its fencing tokens are above {base} from now on"))?)
            }
        }
    }
}

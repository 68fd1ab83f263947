//! `pause` and `resume`.

use clap::Args;

use super::output::say;
use super::{Named, Server};
use crate::registry::{Applied, PauseOrder};

#[derive(Debug, Args)]
pub(super) struct Pause {
    #[command(flatten)]
    named: Named,
    /// Why, for whoever finds it paused; at most 200 bytes
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    note: String,
    /// Who pauses it [default: the login name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    server: Server,
}

impl Pause {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let job = &self.named.job;
        let by = self.by.or_else(login_name).unwrap_or_else(|| PauseOrder::default().by);
        let order = PauseOrder { by, note: self.note };
        let applied: Applied = self.server.client()?.post_json(&format!("/v1/jobs/{job}/pause"), &order)?;
        Ok(say(&format!("paused {job}, version {}", applied.version))?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Resume {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    server: Server,
}

impl Resume {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let job = &self.named.job;
        let applied: Applied = self.server.client()?.post(&self.change.of(&format!("/v1/jobs/{job}/resume")))?;
        Ok(say(&format!("resumed {job}, version {}", applied.version))?)
    }
}

/// What becomes of ticks that a change passed over.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Change {
    /// Ticks that came since the job's last change and were not run count as missed: its catch_up says which of them run
    /// [default: they are skipped]
    #[arg(long)]
    catch_up: bool,
}

impl Change {
    /// The request's path, with what it is to say.
    pub(super) fn of(self, path: &str) -> String {
        if self.catch_up { format!("{path}?catch_up=true") } else { path.to_owned() }
    }
}

/// As the environment has it.
fn login_name() -> Option<String> {
    let mut names = ["LOGNAME", "USER"].into_iter().filter_map(|variable| std::env::var(variable).ok());
    names.find(|name| !name.is_empty())
}

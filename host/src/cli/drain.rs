//! `drain` and `undrain`.

use clap::Args;
use serde_json::Value;

use super::Server;
use super::output::say;
use crate::config;

#[derive(Debug, Args)]
pub(super) struct Drain {
    /// The host's name
    #[arg(value_parser = host)]
    host: String,
    #[command(flatten)]
    server: Server,
}

impl Drain {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let host = &self.host;
        let _: Value = self.server.client()?.post(&format!("/v1/hosts/{host}/drain"))?;
        Ok(say(&format!("drained {host}: it leads nothing and stands for nothing"))?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Undrain {
    /// The host's name
    #[arg(value_parser = host)]
    host: String,
    #[command(flatten)]
    server: Server,
}

impl Undrain {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let host = &self.host;
        let _: Value = self.server.client()?.post(&format!("/v1/hosts/{host}/undrain"))?;
        Ok(say(&format!("undrained {host}: it stands again"))?)
    }
}

fn host(text: &str) -> Result<String, String> {
    config::check_name(text).map_err(str::to_owned)?;
    Ok(text.to_owned())
}

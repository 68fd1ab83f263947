//! Puts the parts together.

use crate::config::UpSettings;

/// Runs a host until it is told to stop.
///
/// # Errors
/// What keeps it from starting, for people.
pub async fn run(settings: UpSettings) -> anyhow::Result<()> {
    anyhow::bail!("host `{}` can't be started: this build has no daemon", settings.name)
}

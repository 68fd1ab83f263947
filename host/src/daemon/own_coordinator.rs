//! The coordinator of a host that has no ZooKeeper: whether its file may be opened, and made.

use std::sync::Arc;

use anyhow::{Context, bail};
use tracing::warn;

use crate::clock::Clock;
use crate::config::UpSettings;
use crate::coordinator::{Embedded, OpenError};
use crate::history::History;

/// Opens the embedded coordinator in the host's folder. A missing one is made, unless runs were recorded before: then its
/// file was lost, and so were jobs, their state and which ticks are done.
///
/// # Errors
/// What was found, what it means and what to do.
pub(super) async fn open(settings: &UpSettings, history: &History, clock: Arc<dyn Clock>) -> anyhow::Result<Embedded> {
    let dir = settings.data.join("coordinator");
    match (Embedded::is_in(&dir), settings.new) {
        (true, false) | (false, true) => {}
        (true, true) => set_damaged_aside(settings, clock.clone())?,
        (false, false) => {
            if history.has_records().await.context("store")? {
                bail!(
                    "coordinator: `{}` has no coordinator.redb, but store `{}` has records of runs: jobs, their state and which \
                     ticks are done would be forgotten. Put the file back (from a backup, say), or begin without it: \
                     `silverback up --new`",
                    dir.display(),
                    settings.store.display()
                );
            }
        }
    }
    let embedded = Embedded::open(&dir, clock).map_err(with_remedy)?;
    Ok(embedded.with_session_timeout(settings.session_timeout))
}

/// Moves a damaged file out of the way. One that can be used is not given up by a flag that may stand in a script.
fn set_damaged_aside(settings: &UpSettings, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
    let dir = settings.data.join("coordinator");
    match Embedded::open(&dir, clock) {
        Ok(_) => bail!(
            "new: `{}` has a coordinator.redb that can be used: leave out `--new`, or move the file away to begin with an empty one",
            dir.display()
        ),
        Err(damaged @ OpenError::Damaged { .. }) => {
            let aside = Embedded::set_aside(&dir).with_context(|| format!("coordinator: {damaged}"))?;
            warn!(%damaged, kept_as = %aside.display(), "begins with an empty coordinator");
            Ok(())
        }
        Err(other) => Err(with_remedy(other)),
    }
}

fn with_remedy(error: OpenError) -> anyhow::Error {
    let remedy = match &error {
        OpenError::Damaged { .. } => {
            ". Put back a copy from a backup, or begin with an empty coordinator: `silverback up --new`, which keeps the damaged \
             file under another name"
        }
        OpenError::InUse { .. } | OpenError::Version { .. } | OpenError::Io { .. } => "",
    };
    anyhow::anyhow!("coordinator: {error}{remedy}")
}

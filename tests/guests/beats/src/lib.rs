//! The leader function of README.md, but that it says what it has counted, and rests for as long as its term lasts.

use std::time::Duration;

use silverback_guest::{Grant, RunError, leadership, state};

/// Longer than any bench.
const REST: Duration = Duration::from_secs(24 * 3600);

#[silverback_guest::job]
fn lead(grant: Grant) -> Result<(), RunError> {
    log::info!("leading with token {}", grant.token);
    while !leadership::should_stop() {
        let beats = state::increment("beats", 1)?;
        log::info!("alive n={beats}");
        leadership::sleep(REST);
    }
    Ok(())
}

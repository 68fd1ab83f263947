//! Says that it leads as the first thing it does, and that it led as the last; in between it only waits to be told to
//! stop. The lines are those of the witness.

use std::time::Duration;

use silverback_guest::leadership::{self, Wake};
use silverback_guest::{Grant, RunError};

/// It is woken to stop, not by time.
const LONG: Duration = Duration::from_secs(3600);

#[silverback_guest::job]
fn baton(grant: Grant) -> Result<(), RunError> {
    let token = grant.token;
    log::info!("begin token={token} host={}", grant.identifier);
    while leadership::sleep(LONG) != Wake::Stop {}
    log::info!("end token={token}");
    Ok(())
}

//! Does nothing: what a run costs beside what it does.

use silverback_guest::{Grant, RunError};

#[silverback_guest::job]
fn nothing(_grant: Grant) -> Result<(), RunError> {
    Ok(())
}

//! Keeps a copy outside: each change of the key `source` is sent to a URL. The target refuses tokens of earlier terms, so
//! the copy never goes back to what an earlier leader saw.

use std::time::Duration;

use silverback_guest::http::{Error, Request};
use silverback_guest::{Grant, RunError, config, leadership, state};

/// Before a copy that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// What a target answers to the token of an earlier term.
const PRECONDITION_FAILED: u16 = 412;

#[silverback_guest::job]
fn lead(_grant: Grant) -> Result<String, RunError> {
    let url = config::get("url").ok_or_else(|| RunError::permanent("config `url` is missing"))?;
    let mut copies = 0;
    for change in state::watch::<serde_json::Value>("source") {
        let Some(value) = change? else { continue };
        copy(&url, value.to_string())?;
        copies += 1;
    }
    Ok(format!("made {copies} copies"))
}

/// Sends a value until the target has it, or the term goes.
fn copy(url: &str, value: String) -> Result<(), RunError> {
    while !leadership::should_stop() {
        match Request::new("PUT", url).body(value.clone()).send() {
            Ok(response) if response.status == 200 => {
                log::info!("copied {} bytes to {url}", value.len());
                return Ok(());
            }
            Ok(response) if response.status == PRECONDITION_FAILED => Err("a later term has written to the target")?,
            Ok(response) => log::warn!("the target answered {}: {}", response.status, response.text().trim()),
            Err(error @ (Error::Denied { .. } | Error::Private { .. } | Error::Invalid { .. })) => {
                return Err(RunError::permanent(error));
            }
            Err(error @ Error::LostLeadership) => Err(error)?,
            // To write the same value again with the same token does no harm, so what is not known is tried again.
            Err(error @ (Error::Unproven | Error::Unknown { .. } | Error::Other(_))) => {
                log::warn!("not copied: {error}")
            }
        }
        leadership::sleep(PAUSE);
    }
    Ok(())
}

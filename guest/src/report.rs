//! From the host's call to the leader function, and back.

use serde::Serialize;
use serde_json::Value;

use crate::bindings::exports::silverback::leader::job::RunError as WireError;
use crate::error::RunError;
use crate::logger;

/// Sets up what the function stands on, calls it, and turns what it gives into what the host keeps.
///
/// # Errors
/// Those of the function; permanent where its result can't be written.
pub fn run<T: Serialize>(lead: impl FnOnce() -> Result<T, RunError>) -> Result<Vec<u8>, WireError> {
    logger::install();
    let result = lead()?;
    report(&result).map_err(|error| WireError::Permanent(format!("the result can't be written as JSON: {error}")))
}

/// Text as it is, nothing for nothing, everything else as JSON.
fn report(result: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    Ok(match serde_json::to_value(result)? {
        Value::Null => Vec::new(),
        Value::String(text) => text.into_bytes(),
        other => serde_json::to_vec(&other)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_well() {
        let kept = |bytes: serde_json::Result<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
        assert_eq!(kept(report(&())), "");
        assert_eq!(kept(report(&"done")), "done");
        assert_eq!(kept(report(&(1, "two"))), r#"[1,"two"]"#);
    }
}

//! How a run's end is told: the outcome and the sentence that go into its records.

use super::run::{End, RunEnd};
use crate::capability::Ending;
use crate::history::{Outcome, cut};

/// The most of a run's words that its record keeps, in bytes.
const MAX_DETAIL_BYTES: usize = 4096;

impl RunEnd {
    /// The outcome, and why, for people. A result that is text is shown as it is; `ending` is why its term ended, if it did.
    pub fn verdict(&self, ending: Option<Ending>) -> (Outcome, String) {
        let (outcome, mut detail) = match &self.end {
            End::Returned(result) => (Outcome::Succeeded, shown(result)),
            End::Failed { retryable: true, message } => (Outcome::Failed, message.clone()),
            End::Failed { retryable: false, message } => (Outcome::Failed, format!("permanent: {message}")),
            End::Trapped { message } => (Outcome::Failed, message.clone()),
            End::TimedOut { limit_ms } => (Outcome::TimedOut, format!("ran longer than its limit of {limit_ms} ms")),
            End::LostLeadership => {
                let why = ending.map_or_else(String::new, |why| format!(": {why}"));
                (Outcome::LostLeadership, format!("stopped: the term was over{why}"))
            }
            End::Killed => (Outcome::Failed, "stopped: the job was changed or deleted".to_owned()),
        };
        cut(&mut detail, MAX_DETAIL_BYTES);
        (outcome, detail)
    }
}

fn shown(result: &[u8]) -> String {
    match std::str::from_utf8(result) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{} bytes", result.len()),
    }
}

//! Why there is no such schedule.

use thiserror::Error;

/// A field of a schedule that can't be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field} `{value}` is not valid: {reason}")]
pub struct ScheduleError {
    /// The field's name, as in job.toml.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl ScheduleError {
    pub(super) fn new(field: &'static str, value: impl Into<String>, reason: impl Into<String>) -> Self {
        ScheduleError { field, value: value.into(), reason: reason.into() }
    }
}

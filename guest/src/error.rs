//! How a run fails.

use std::error::Error;

use crate::bindings::exports::silverback::leader::job::RunError as WireError;

/// Why a run failed, and whether trying again may help.
///
/// Any error, and any text, becomes a retryable one through `?`; what trying again can't mend is said explicitly:
///
/// ```
/// use silverback_guest::RunError;
///
/// fn lead(limit: &str) -> Result<u32, RunError> {
///     let limit: u32 = limit.parse()?;
///     if limit == 0 {
///         return Err(RunError::permanent("limit 0 leaves nothing to do"));
///     }
///     Ok(limit)
/// }
///
/// assert!(matches!(lead("x"), Err(RunError::Retryable(_))));
/// assert!(matches!(lead("0"), Err(RunError::Permanent(_))));
/// ```
// Not an `Error` itself: then every error could not convert into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// Trying again may help: the host backs off before the next term or attempt.
    Retryable(String),
    /// Trying again won't help.
    Permanent(String),
}

impl RunError {
    /// Trying again may help.
    pub fn retryable(why: impl ToString) -> Self {
        RunError::Retryable(why.to_string())
    }

    /// Trying again won't help.
    pub fn permanent(why: impl ToString) -> Self {
        RunError::Permanent(why.to_string())
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for RunError {
    /// The error and all of its causes, as one line.
    fn from(error: E) -> Self {
        let error = error.into();
        let mut words = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            words.push_str(": ");
            words.push_str(&deeper.to_string());
            cause = deeper.source();
        }
        RunError::Retryable(words)
    }
}

impl From<RunError> for WireError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Retryable(why) => WireError::Retryable(why),
            RunError::Permanent(why) => WireError::Permanent(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u8, RunError> {
        if text.is_empty() { Err("nothing to read")? } else { Ok(text.parse()?) }
    }

    #[test]
    fn errors_and_texts_become_retryable() {
        assert_eq!(read("7"), Ok(7));
        assert_eq!(read(""), Err(RunError::retryable("nothing to read")));
        assert_eq!(read("x"), Err(RunError::retryable("invalid digit found in string")));
    }
}

//! The values of the job's `[config]` table.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::host;

/// A value as text; None where the job sets none.
pub fn get(key: &str) -> Option<String> {
    host::config(key)
}

/// A value of any type that can be read from text; None where the job sets none.
///
/// # Errors
/// [`Invalid`] where the text can't be read as `T`.
pub fn get_as<T>(key: &str) -> Result<Option<T>, Invalid>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let Some(value) = get(key) else { return Ok(None) };
    let invalid = |reason: T::Err| Invalid { key: key.to_owned(), reason: format!("{reason:#}") };
    value.parse().map(Some).map_err(invalid)
}

/// A value that can't be read. It is not told, since it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    key: String,
    reason: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "config `{}` is not valid: {}", self.key, self.reason)
    }
}

impl Error for Invalid {}

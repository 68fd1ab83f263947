//! What the job keeps between runs and hosts: values of any type that serde can write, under keys of 1 to 255 bytes.
//!
//! In a leader job each write commits at once, and is refused by ZooKeeper itself once another host leads. In a scheduled
//! job the run reads its own writes, and they are committed together with its outcome, or not at all.

use std::error;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fate::Fate;
use crate::host::{self, Change, StoreError};
use crate::leadership::millis;

/// The value of a key; None where it doesn't exist.
///
/// # Errors
/// [`Error::Value`] where the value is no `T`; the others as the host says.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    host::get(key)?.map(|bytes| read(key, &bytes)).transpose()
}

/// Sets a key.
///
/// # Errors
/// [`Error::LostLeadership`] where this host no longer leads; a sentence where a limit is passed.
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|source| Error::Value { key: key.to_owned(), source })?;
    Ok(host::set(key, &bytes)?)
}

/// Deletes a key; one that doesn't exist is no error.
///
/// # Errors
/// [`Error::LostLeadership`] where this host no longer leads.
pub fn delete(key: &str) -> Result<(), Error> {
    Ok(host::delete(key)?)
}

/// All keys, in order.
///
/// # Errors
/// As the host says.
pub fn keys() -> Result<Vec<String>, Error> {
    Ok(host::keys()?)
}

/// Adds to a number, from 0 where there is none, and gives the sum. No write in between is lost.
///
/// # Errors
/// A sentence where the value is no number; [`Error::LostLeadership`] where this host no longer leads.
pub fn increment(key: &str, delta: u64) -> Result<u64, Error> {
    Ok(host::increment(key, delta)?)
}

/// Follows a key: first as it is now, then each time it has changed.
pub fn watch<T: DeserializeOwned>(key: &str) -> Watch<T> {
    Watch { key: key.to_owned(), seen: None, value: PhantomData }
}

/// Follows a key. As an iterator it waits for the next change, and ends when the function should stop.
pub struct Watch<T> {
    key: String,
    seen: Option<u64>,
    value: PhantomData<fn() -> T>,
}

/// How a wait for a change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// The key as it is now; None where it doesn't exist. Several changes may be seen as one.
    Changed(Option<T>),
    /// The time given has passed.
    Elapsed,
    /// The function should return.
    Stop,
}

impl<T: DeserializeOwned> Watch<T> {
    /// Waits for the next change, at most as long as `time`.
    ///
    /// # Errors
    /// [`Error::Value`] where the value is no `T` (the next call waits for the next value); the others as the host says.
    pub fn next_within(&mut self, time: Duration) -> Result<Next<T>, Error> {
        match host::wait_for_change(&self.key, self.seen, millis(time)).map_err(told)? {
            Change::Elapsed => Ok(Next::Elapsed),
            Change::Stop => Ok(Next::Stop),
            Change::Changed(entry) => {
                self.seen = Some(entry.revision);
                let value = entry.value.map(|bytes| read(&self.key, &bytes)).transpose()?;
                Ok(Next::Changed(value))
            }
        }
    }
}

impl<T: DeserializeOwned> Iterator for Watch<T> {
    type Item = Result<Option<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            return match self.next_within(Duration::MAX) {
                Ok(Next::Changed(value)) => Some(Ok(value)),
                Ok(Next::Elapsed) => continue,
                Ok(Next::Stop) => None,
                Err(error) => Some(Err(error)),
            };
        }
    }
}

/// Why a request to the state failed.
#[derive(Debug)]
pub enum Error {
    /// This host no longer leads. Nothing was changed.
    LostLeadership,
    /// The host can't reach the ensemble, so whether it leads is not known. Nothing was changed; trying again may help for as
    /// long as the term goes on.
    Unproven,
    /// No answer says whether the write was done. Read before writing again.
    Unknown,
    /// A value can't be read or written as JSON of the type asked for.
    Value {
        /// Whose.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// What the host said.
    Host(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::LostLeadership => f.write_str("leadership is lost"),
            Error::Unproven => f.write_str("the ensemble can't be reached, so whether this host leads is not known"),
            Error::Unknown => f.write_str("no answer says whether the write was done"),
            Error::Value { key, source: _ } => write!(f, "value of key `{key}` is not of the type asked for"),
            Error::Host(words) => f.write_str(words),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Value { source, .. } => Some(source),
            Error::LostLeadership | Error::Unproven | Error::Unknown | Error::Host(_) => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::AccessDenied => Error::Host("the host denies access to the state".to_owned()),
            StoreError::NoSuchStore => Error::Host("the host keeps no state for this job".to_owned()),
            StoreError::Other(words) => told(words),
        }
    }
}

fn told(words: String) -> Error {
    match Fate::of(&words) {
        Some(Fate::Refused) => Error::LostLeadership,
        Some(Fate::Unproven) => Error::Unproven,
        Some(Fate::Unknown) => Error::Unknown,
        None => Error::Host(words),
    }
}

fn read<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Value { key: key.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_says_of_leadership_is_told_apart() {
        let told = |words: &str| Error::from(StoreError::Other(words.to_owned()));
        assert!(matches!(told("refused: leadership is lost"), Error::LostLeadership));
        assert!(matches!(told("unproven: the ensemble can't be reached"), Error::Unproven));
        assert!(matches!(told("unknown: no answer"), Error::Unknown));
        assert!(matches!(told("value bytes 9 is over the limit of 8"), Error::Host(_)));
    }
}

//! Why a guest's request to its state failed, and how the guest is told.

use thiserror::Error;

use super::key::Key;
use crate::capability::bindings::wasi::keyvalue::store;
use crate::capability::gate::Refusal;
use crate::coordinator::{Error, MultiError};

/// Why a request to a job's state failed. Nothing was changed, but where the message says that this is not known.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// The gate, or the ensemble itself, refused: this host no longer leads.
    #[error("leadership is lost")]
    Denied,
    /// The connection did not come back in time, so whether this host leads is not known. Nothing was sent.
    #[error("unproven: the ensemble can't be reached")]
    Unproven,
    /// The connection broke under a write, and did not come back in time.
    #[error("unknown: the connection broke under the write, which may have been done")]
    Unknown,
    /// Over a named limit.
    #[error("{what} {size} is over the limit of {limit}")]
    Limit {
        /// What is limited, and where: `value bytes of key `a``.
        what: String,
        /// What was asked for.
        size: usize,
        /// What may be.
        limit: usize,
    },
    /// A key that can't be one.
    #[error("key is empty, a key has 1 to {} bytes", crate::config::MAX_KEY_BYTES)]
    EmptyKey,
    /// `increment` of something else.
    #[error("key `{key}` holds no number, so it can't be incremented")]
    NotANumber {
        /// Which.
        key: String,
    },
    /// `increment` over the top.
    #[error("key `{key}` plus {delta} is over 64 bits")]
    Overflow {
        /// Which.
        key: String,
        /// What was to be added.
        delta: u64,
    },
    /// Others changed the key each time before the write came through.
    #[error("key `{key}` changed {tries} times under the write")]
    Contended {
        /// Which.
        key: String,
        /// How often it was tried.
        tries: usize,
    },
    /// The coordinator said no.
    #[error(transparent)]
    Coordinator(#[from] Error),
}

impl StateError {
    /// Over a limit, of one key where it is one key's.
    pub(super) fn over(what: &str, key: Option<&Key>, size: usize, limit: usize) -> Self {
        let what = key.map_or_else(|| what.to_owned(), |key| format!("{what} of key `{key}`"));
        StateError::Limit { what, size, limit }
    }
}

impl From<Refusal> for StateError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Over => StateError::Denied,
            Refusal::Unproven => StateError::Unproven,
        }
    }
}

impl From<MultiError> for StateError {
    fn from(error: MultiError) -> Self {
        error.into_error().into()
    }
}

impl From<StateError> for store::Error {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Denied => store::Error::AccessDenied,
            other => store::Error::Other(other.to_string()),
        }
    }
}

//! Why a guest's request to its state failed, and how the guest is told.

use thiserror::Error;

use super::key::Key;
use crate::capability::bindings::wasi::keyvalue::store;
use crate::capability::fate::Fate;
use crate::capability::gate::Refusal;
use crate::coordinator::Error;
use crate::registry::OverLimit;

/// Why a request to a job's state failed. Nothing was changed, but for [`Fate::Unknown`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// This host leads no more, or nobody knows, or nobody knows what was done.
    #[error(transparent)]
    Fate(#[from] Fate),
    /// Over one of the run's limits, which ends it.
    #[error(transparent)]
    Over(#[from] OverLimit),
    /// Over a named limit of each request.
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
    /// The coordinator said no, for another reason.
    #[error("the ensemble says no: {0}")]
    Coordinator(Error),
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
        Fate::from(refusal).into()
    }
}

/// Of a request that has changed nothing, whatever its answer.
impl From<Error> for StateError {
    fn from(error: Error) -> Self {
        match error {
            Error::Lost => Fate::Refused.into(),
            Error::OutcomeUnknown { .. } => Fate::Unproven.into(),
            other => StateError::Coordinator(other),
        }
    }
}

/// `access-denied` isn't used: what guests compare is a text, the same for all imports.
impl From<StateError> for store::Error {
    fn from(error: StateError) -> Self {
        store::Error::Other(error.to_string())
    }
}

//! How the file does, for those who are refused meanwhile.

use std::sync::{Mutex, PoisonError};

use crate::coordinator::Error;

/// Whether the file can be written, and why not.
#[derive(Default)]
pub(super) struct Status(Mutex<Option<String>>);

impl Status {
    pub(super) fn set_trouble(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns what a request is told that wasn't done.
    pub(super) fn refusal(&self) -> Error {
        Error::Unusable { detail: self.why() }
    }

    /// Returns what a request is told whose commit failed.
    pub(super) fn doubt(&self) -> Error {
        Error::OutcomeUnknown { detail: self.why() }
    }

    fn why(&self) -> String {
        let why = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // None: the trouble has just passed.
        why.unwrap_or_else(|| "its file has just been opened again".to_owned())
    }
}

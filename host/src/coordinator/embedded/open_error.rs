//! Why the file of an embedded coordinator can't be opened.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::store::StoreError;

/// Why the coordinator can't be opened. The text names the file.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("file `{}` is in use by another process: stop that one first", file.display())]
    InUse {
        /// Which.
        file: PathBuf,
    },
    /// A later version wrote it.
    #[error("file `{}` was written by another version: {detail}", file.display())]
    Version {
        /// Which.
        file: PathBuf,
        /// What was found.
        detail: String,
    },
    /// It isn't what a coordinator wrote.
    #[error("file `{}`: {detail}", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The system doesn't let it be read or written.
    #[error("file `{}` can't be used: {source}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn new(file: &Path, error: StoreError) -> Self {
        let (file, detail) = (file.to_owned(), error.to_string());
        match error {
            StoreError::InUse => OpenError::InUse { file },
            StoreError::Format(_) | StoreError::TooOld(_) => OpenError::Version { file, detail },
            StoreError::Damaged(_) => OpenError::Damaged { file, detail },
            StoreError::Io(source) => OpenError::Io { file, source },
            StoreError::EarlierIo => OpenError::Io { file, source: io::Error::other(detail) },
        }
    }
}

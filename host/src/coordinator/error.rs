//! What can go wrong with an operation on the coordinator.

use thiserror::Error;

/// Why an operation failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// The node, or for a create its parent, does not exist.
    #[error("no node `{path}`")]
    NoNode {
        /// The path of the request.
        path: String,
    },
    /// A create of what exists.
    #[error("node `{path}` exists already")]
    NodeExists {
        /// The path of the request.
        path: String,
    },
    /// The node is at another version than the one given.
    #[error("node `{path}` is at another version")]
    BadVersion {
        /// The path of the request.
        path: String,
    },
    /// A delete of a node with children.
    #[error("node `{path}` has children")]
    NotEmpty {
        /// The path of the request.
        path: String,
    },
    /// A create under an ephemeral node.
    #[error("the parent of `{path}` is ephemeral and can't have children")]
    ParentEphemeral {
        /// The path of the request.
        path: String,
    },
    /// Not a path that ZooKeeper takes.
    #[error("path `{path}` is not valid: {reason}")]
    InvalidPath {
        /// The path of the request.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Larger than what is sent. Checked before sending: a server answers an oversized request by cutting the
    /// connection.
    #[error("{what} of `{path}` has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// `value`, `path`, `multi`.
        what: &'static str,
        /// The path of the request, the first one of a multi.
        path: String,
        /// In bytes.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// A multi of more operations than the limit.
    #[error("a multi of {count} operations is over the limit of {limit}")]
    TooManyOps {
        /// How many there were.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A watch more than a session can carry over a reconnect.
    #[error("a watch on `{path}` would make {size} bytes of watched paths of this session, over the limit of {limit}")]
    TooManyWatches {
        /// The path of the request.
        path: String,
        /// In bytes, all watched paths of the session together.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// The server's access list says no.
    #[error("access to `{path}` is denied")]
    Denied {
        /// The path of the request.
        path: String,
    },
    /// The session is over; a new one must be opened.
    #[error("the session is lost")]
    Lost,
    /// The connection broke: the operation may or may not have been done. Look before repeating it.
    #[error("the outcome is not known: {detail}")]
    OutcomeUnknown {
        /// What the client library said.
        detail: String,
    },
    /// No server opened a session.
    #[error("no session with `{servers}` within {patience_ms} ms: {detail}")]
    Unavailable {
        /// The connect string.
        servers: String,
        /// How long was waited, in milliseconds.
        patience_ms: u128,
        /// What each server answered.
        detail: String,
    },
    /// The embedded coordinator can't write its file at the moment. Nothing was done.
    #[error("the embedded coordinator can't be used at the moment: {detail}")]
    Unusable {
        /// Why, and what to do.
        detail: String,
    },
    /// A server, or the embedded store, said no.
    #[error("refused: {detail}")]
    Refused {
        /// What it said.
        detail: String,
    },
}

impl Error {
    /// True where the same request can be tried again on the same session after a look at what was done.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Error::OutcomeUnknown { .. })
    }
}

/// Why a multi failed. None of it was done, but where the error is [`Error::OutcomeUnknown`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MultiError {
    /// One operation failed, so none was done.
    #[error("operation {index} of the multi: {source}")]
    Op {
        /// Counted from 0.
        index: usize,
        /// Its error.
        source: Error,
    },
    /// The multi as a whole failed.
    #[error(transparent)]
    Whole(#[from] Error),
}

impl MultiError {
    /// The error, wherever it came from.
    pub fn into_error(self) -> Error {
        match self {
            MultiError::Op { source, .. } => source,
            MultiError::Whole(error) => error,
        }
    }

    /// True when operation `index` is the one that failed.
    pub fn failed_at(&self, index: usize) -> bool {
        matches!(self, MultiError::Op { index: at, .. } if *at == index)
    }
}

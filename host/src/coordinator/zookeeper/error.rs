//! What the client library's errors mean.

use zookeeper_client::{Error as ClientError, MultiWriteError};

use crate::coordinator::{Error, MultiError, Op};

/// The meaning of an error of an operation on `path`.
///
/// What is not known to have been refused may have been done, so everything else is [`Error::OutcomeUnknown`].
pub(super) fn translate(path: &str, error: ClientError) -> Error {
    let path = path.to_owned();
    match error {
        ClientError::NoNode => Error::NoNode { path },
        ClientError::NodeExists => Error::NodeExists { path },
        ClientError::BadVersion => Error::BadVersion { path },
        ClientError::NotEmpty => Error::NotEmpty { path },
        ClientError::NoChildrenForEphemerals => Error::ParentEphemeral { path },
        ClientError::NoAuth => Error::Denied { path },
        ClientError::BadArguments(reason) => Error::InvalidPath { path, reason },
        ClientError::SessionExpired | ClientError::ClientClosed | ClientError::AuthFailed => Error::Lost,
        ClientError::InvalidAcl
        | ClientError::NotReadOnly
        | ClientError::NoWatcher
        | ClientError::QuotaExceeded
        | ClientError::Throttled
        | ClientError::MarshallingError
        | ClientError::Unimplemented
        | ClientError::ReconfigDisabled => Error::Refused { detail: format!("node `{path}`: {error}") },
        // ConnectionLoss, Timeout, Custom (a reset or silent connection), UnexpectedError, SessionMoved, and whatever
        // the library adds.
        other => Error::OutcomeUnknown { detail: other.to_string() },
    }
}

/// The meaning of an error of a multi of `ops`.
pub(super) fn translate_multi(ops: &[Op], error: MultiWriteError) -> MultiError {
    let path_of = |index: usize| ops.get(index).map_or("", Op::path);
    match error {
        MultiWriteError::RequestFailed { source } => MultiError::Whole(translate(path_of(0), source)),
        MultiWriteError::OperationFailed { index, source } => match translate(path_of(index), source) {
            whole @ (Error::OutcomeUnknown { .. } | Error::Lost) => MultiError::Whole(whole),
            source => MultiError::Op { index, source },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_done_is_unknown_and_what_is_over_is_lost() {
        for error in [
            ClientError::ConnectionLoss,
            ClientError::Timeout,
            ClientError::SessionMoved,
            ClientError::UnexpectedError("xid".to_owned()),
            ClientError::UnexpectedErrorCode(-4),
        ] {
            assert!(translate("/a", error.clone()).is_unknown(), "{error}");
        }
        for error in [ClientError::SessionExpired, ClientError::ClientClosed, ClientError::AuthFailed] {
            assert_eq!(translate("/a", error), Error::Lost);
        }
    }

    #[test]
    fn a_failed_operation_of_a_multi_is_told_with_its_own_path() {
        let ops = ["/a", "/b"].map(|path| Op::Check { path: path.to_owned(), version: None });
        let failed = MultiWriteError::OperationFailed { index: 1, source: ClientError::NoNode };
        assert_eq!(translate_multi(&ops, failed).to_string(), "operation 1 of the multi: no node `/b`");
    }
}

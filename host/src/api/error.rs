//! What goes wrong with a request, and how it is said: a status and `{"error": "a sentence"}`.

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use thiserror::Error;

use super::wire::ErrorBody;
use crate::artifact::ArtifactError;
use crate::config::KeyError;
use crate::coordinator::Error;
use crate::registry::{RegistryError, SecretError, SpecError};
use crate::text::clean_lines;

/// The longest sentence, in bytes.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// Why a request failed. The text is for people.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ApiError {
    /// 400: the request can't be right.
    #[error("{0}")]
    Invalid(String),
    /// 403: the caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// 404: it asks for what is not there.
    #[error("{0}")]
    NotFound(String),
    /// 405: the route has no such method.
    #[error("this route doesn't have this method")]
    Method,
    /// 409: it doesn't fit the state of things.
    #[error("{0}")]
    Conflict(String),
    /// 413: it is over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// 500: the host failed.
    #[error("{0}")]
    Internal(String),
    /// 503: the coordinator or another host can't be reached; trying again may help.
    #[error("{0}")]
    Unavailable(String),
}

impl ApiError {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::Invalid(_) => StatusCode::BAD_REQUEST,
            ApiError::Forbidden(_) => StatusCode::FORBIDDEN,
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::Method => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::Conflict(_) => StatusCode::CONFLICT,
            ApiError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ApiError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The error that a peer answered.
    pub(super) fn from_peer(status: StatusCode, message: String) -> Self {
        match status {
            StatusCode::BAD_REQUEST => ApiError::Invalid(message),
            StatusCode::NOT_FOUND => ApiError::NotFound(message),
            StatusCode::CONFLICT => ApiError::Conflict(message),
            StatusCode::INTERNAL_SERVER_ERROR => ApiError::Internal(message),
            _ => ApiError::Unavailable(message),
        }
    }

    /// A body that could not be read, or is over `limit` bytes.
    pub(super) fn body(what: &str, limit: usize, rejection: &BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::TooLarge(format!("{what} is over the limit of {limit} bytes"))
        } else {
            ApiError::Invalid(format!("{what} did not arrive whole: {}", rejection.body_text()))
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // Some quote others: tenants, hosts, whoever writes to ZooKeeper.
        let error = clean_lines(&self.to_string(), MAX_ERROR_BYTES);
        (self.status(), Json(ErrorBody { error })).into_response()
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::TooLarge { .. } | Error::TooManyOps { .. } => ApiError::TooLarge(message),
            Error::InvalidPath { .. } => ApiError::Invalid(message),
            Error::NoNode { .. }
            | Error::NodeExists { .. }
            | Error::BadVersion { .. }
            | Error::NotEmpty { .. }
            | Error::ParentEphemeral { .. } => ApiError::Conflict(message),
            Error::Denied { .. } | Error::Refused { .. } => ApiError::Internal(message),
            Error::Lost => ApiError::Unavailable("the coordinator can't be reached at the moment".to_owned()),
            Error::OutcomeUnknown { .. }
            | Error::Unavailable { .. }
            | Error::Unusable { .. }
            | Error::TooManyWatches { .. } => ApiError::Unavailable(message),
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let message = error.to_string();
        match error {
            RegistryError::NoJob(_) => ApiError::NotFound(message),
            RegistryError::Full { .. }
            | RegistryError::OtherTrigger { .. }
            | RegistryError::Contended(_)
            | RegistryError::ContendedTenant(_) => ApiError::Conflict(message),
            RegistryError::NothingToCatchUp { .. } | RegistryError::Spec(_) => ApiError::Invalid(message),
            RegistryError::Corrupt { .. } | RegistryError::Cluster { .. } => ApiError::Internal(message),
            RegistryError::Coordinator(error) => error.into(),
        }
    }
}

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        let message = error.to_string();
        match error {
            SecretError::NotSet { .. } => ApiError::NotFound(message),
            SecretError::NoKey => ApiError::Conflict(message),
            SecretError::Sealed { .. } => ApiError::Internal(message),
            SecretError::Coordinator(error) => error.into(),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        let why = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        let said = format!("{error}{why}");
        tracing::error!(error = said, "the component store failed");
        ApiError::Internal(said)
    }
}

impl From<object_store::Error> for ApiError {
    fn from(error: object_store::Error) -> Self {
        ApiError::Internal(format!("the history store failed: {error}"))
    }
}

impl From<SpecError> for ApiError {
    fn from(error: SpecError) -> Self {
        ApiError::Invalid(error.to_string())
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        ApiError::Invalid(error.to_string())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        ApiError::Invalid(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        ApiError::Invalid(rejection.body_text())
    }
}

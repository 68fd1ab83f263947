//! `/v1/components`: a tenant's bytes in, and out again to the other hosts.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use serde::Deserialize;

use super::{Api, ApiError, MAX_COMPONENT_BYTES, StoredComponent};
use crate::registry::{Digest, check_tenant};

/// Whose component it is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    tenant: String,
}

/// Admits and stores a component, once it bears a signature where its tenant's have to.
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    of: Result<Query<Of>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<StoredComponent>, ApiError> {
    let bytes = body.map_err(|rejection| ApiError::body("component", MAX_COMPONENT_BYTES, &rejection))?;
    let Query(Of { tenant }) = of?;
    check_tenant(&tenant)?;
    let signers = api.registry.tenant(&tenant).await?.signers;
    Ok(Json(StoredComponent { digest: api.cluster.admit(bytes, signers).await? }))
}

/// A component's bytes, if this host has them.
pub(super) async fn get(State(api): State<Arc<Api>>, Path(digest): Path<String>) -> Result<Bytes, ApiError> {
    let digest: Digest = digest.parse().map_err(|error| ApiError::Invalid(format!("{error}")))?;
    let bytes = api.artifacts.get(&digest).await?;
    bytes.ok_or_else(|| ApiError::NotFound(format!("this host has no component `{digest}`")))
}

impl Api {
    /// Makes sure that this host has a component, if need be from a peer.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] where nobody has it.
    pub(super) async fn have_component(&self, digest: &Digest) -> Result<(), ApiError> {
        if self.artifacts.has(digest).await? {
            return Ok(());
        }
        match self.peers.component(digest).await? {
            Some(bytes) => self.artifacts.put(bytes).await.map(drop).map_err(ApiError::from),
            None => Err(ApiError::Invalid(format!("component `{digest}` is not here: upload it first"))),
        }
    }
}

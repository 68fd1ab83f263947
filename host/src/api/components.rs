//! `/v1/components`: a tenant's bytes in, and out again to the other hosts.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest as _, Path, Query, Request, State};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::timeout;

use super::{Api, ApiError, MAX_COMPONENT_BYTES, StoredComponent};
use crate::registry::{Digest, check_tenant};

/// How many components are taken at once. Each may take its limit of bytes until it is stored.
pub(super) const UPLOADS: usize = 8;
/// How many of them are one tenant's.
pub(super) const UPLOADS_OF_TENANT: usize = 2;
/// How long one may wait to be taken, and how long its bytes may then take to come.
const UPLOAD_TIME: Duration = Duration::from_secs(60);

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
    request: Request,
) -> Result<Json<StoredComponent>, ApiError> {
    let Query(Of { tenant }) = of?;
    check_tenant(&tenant)?;
    let signers = api.registry.tenant(&tenant).await?.signers;
    // Before the first byte is taken: what waits to be compiled waits with whoever sends it.
    let most = || format!("{UPLOADS} in all and {UPLOADS_OF_TENANT} of a tenant at once");
    let busy = || ApiError::Unavailable(format!("others' components are being taken, {}: try again", most()));
    let uploads = api.uploads.of(&tenant);
    let _turn = timeout(UPLOAD_TIME, uploads.turn()).await.map_err(|_| busy())?;
    let bytes = timeout(UPLOAD_TIME, Bytes::from_request(request, &())).await;
    let late = || ApiError::Invalid(format!("component did not arrive whole within {} s", UPLOAD_TIME.as_secs()));
    let bytes = bytes.map_err(|_| late())?;
    let bytes = bytes.map_err(|rejection| ApiError::body("component", MAX_COMPONENT_BYTES, &rejection))?;
    Ok(Json(StoredComponent { digest: api.cluster.admit(&tenant, bytes, signers).await? }))
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

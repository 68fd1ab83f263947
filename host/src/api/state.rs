//! What a job keeps, for an operator to read and write: orders to a leader job, or a look at its results.
//!
//! An operator's write is not fenced: it is no leader's.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;

use super::jobs::{Named, id};
use super::{Api, ApiError, KeyRow};
use crate::config::decode_key;
use crate::coordinator::{CreateMode, Error, MAX_CHILDREN, MAX_VALUE_BYTES, ensure_path};
use crate::registry::JobId;

/// A job's name and a key, in a path.
type Keyed = Result<Path<(String, String, String)>, PathRejection>;

/// The keys of a job.
pub(super) async fn list(State(api): State<Arc<Api>>, path: Named) -> Result<Json<Vec<KeyRow>>, ApiError> {
    let id = id(path)?;
    api.registry.get(&id).await?;
    let names = match api.session().await?.list(&api.layout.state(&id.tenant, &id.name)).await {
        Err(Error::NoNode { .. }) => Vec::new(),
        listed => listed?,
    };
    let mut keys: Vec<KeyRow> = names.iter().filter_map(|name| decode_key(name)).map(|key| KeyRow { key }).collect();
    keys.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(Json(keys))
}

/// A key's value, as bytes.
pub(super) async fn get(State(api): State<Arc<Api>>, path: Keyed) -> Result<Bytes, ApiError> {
    let (id, key, node) = api.key(path).await?;
    let session = api.session().await?;
    session.sync(&node).await?;
    match session.get(&node).await {
        Ok((value, _)) => Ok(value.into()),
        Err(Error::NoNode { .. }) => Err(no_key(&id, &key)),
        Err(error) => Err(error.into()),
    }
}

/// Sets a key.
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    path: Keyed,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let (id, _, node) = api.key(path).await?;
    let value = body.map_err(|rejection| ApiError::body("value", MAX_VALUE_BYTES, &rejection))?;
    let (session, folder) = (api.session().await?, api.layout.state(&id.tenant, &id.name));
    match session.set(&node, &value, None).await {
        Ok(_) => return Ok(StatusCode::NO_CONTENT),
        Err(Error::NoNode { .. }) => ensure_path(&*session, &folder).await?,
        Err(error) => return Err(error.into()),
    }
    if session.list(&folder).await?.len() >= MAX_CHILDREN {
        return Err(ApiError::Conflict(format!("job `{id}` has {MAX_CHILDREN} keys already, which is the limit")));
    }
    match session.create(&node, &value, CreateMode::Persistent).await {
        Ok(_) => {}
        // The job made it meanwhile.
        Err(Error::NodeExists { .. }) => drop(session.set(&node, &value, None).await?),
        Err(error) => return Err(error.into()),
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a key.
pub(super) async fn delete(State(api): State<Arc<Api>>, path: Keyed) -> Result<StatusCode, ApiError> {
    let (id, key, node) = api.key(path).await?;
    match api.session().await?.delete(&node, None).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(Error::NoNode { .. }) => Err(no_key(&id, &key)),
        Err(error) => Err(error.into()),
    }
}

fn no_key(id: &JobId, key: &str) -> ApiError {
    ApiError::NotFound(format!("job `{id}` has no key `{key}`"))
}

impl Api {
    /// A job that exists, a key, and the key's node.
    async fn key(&self, path: Keyed) -> Result<(JobId, String, String), ApiError> {
        let Path((tenant, name, key)) = path?;
        let id = JobId::new(&tenant, &name)?;
        let node = self.layout.state_key(&tenant, &name, &key)?;
        self.registry.get(&id).await?;
        Ok((id, key, node))
    }
}

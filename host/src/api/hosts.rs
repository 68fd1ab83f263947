//! `/v1/hosts`: who is here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::{Api, ApiError};
use crate::config::HostInfo;

/// The live hosts, by name.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Vec<HostInfo>>, ApiError> {
    Ok(Json(api.peers.hosts().await?))
}

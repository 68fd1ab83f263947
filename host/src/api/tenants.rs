//! `/v1/tenants`: what tenants are set. Of whom nothing was set, the defaults hold.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use tracing::info;

use super::{Api, ApiError, MAX_TENANT_BYTES, TenantRow};
use crate::registry::{TenantSettings, check_tenant};

/// A tenant's name in a path.
type Named = Result<Path<String>, PathRejection>;

fn name(path: Named) -> Result<String, ApiError> {
    let Path(name) = path?;
    check_tenant(&name)?;
    Ok(name)
}

/// All tenants that have jobs or were set something, by name.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Vec<TenantRow>>, ApiError> {
    let tenants = api.registry.tenants().await?;
    let row = |(tenant, settings, jobs)| TenantRow { tenant, jobs, settings };
    Ok(Json(tenants.into_iter().map(row).collect()))
}

/// What a tenant is set.
pub(super) async fn get(State(api): State<Arc<Api>>, path: Named) -> Result<Json<TenantSettings>, ApiError> {
    Ok(Json(api.registry.tenant(&name(path)?).await?))
}

/// Sets all of it: what is not said has its default.
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    path: Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<TenantSettings>, ApiError> {
    let name = name(path)?;
    let body = body.map_err(|rejection| ApiError::body("settings", MAX_TENANT_BYTES, &rejection))?;
    let settings = TenantSettings::from_json(&name, &body)?;
    api.registry.set_tenant(&name, &settings).await?;
    info!(tenant = name, ?settings, "a tenant is set limits and weight");
    Ok(Json(settings))
}

/// Takes it away: the defaults hold again.
pub(super) async fn delete(State(api): State<Arc<Api>>, path: Named) -> Result<StatusCode, ApiError> {
    let name = name(path)?;
    if api.registry.clear_tenant(&name).await? {
        info!(tenant = name, "a tenant has the default limits and weight again");
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::NotFound(format!("tenant `{name}` was set nothing")))
    }
}

//! `/v1/tenants/TENANT/secrets`: secrets in, and never out again.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use tracing::info;

use super::{Api, ApiError, MAX_SECRET_BYTES};
use crate::registry::{JobSpec, SecretError, SecretRow, check_secret, check_secret_name, check_tenant};

/// A secret's name in a path.
type Named = Result<Path<(String, String)>, PathRejection>;

fn name(path: Named) -> Result<(String, String), ApiError> {
    let Path((tenant, name)) = path?;
    check_tenant(&tenant)?;
    check_secret_name(&tenant, &name)?;
    Ok((tenant, name))
}

/// A tenant's secrets by name, without what they are.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<SecretRow>>, ApiError> {
    let Path(tenant) = path?;
    check_tenant(&tenant)?;
    Ok(Json(api.registry.secrets(&tenant).await?))
}

/// Sets a secret to the text of the body.
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    path: Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let (tenant, name) = name(path)?;
    let body = body.map_err(|rejection| ApiError::body("secret", MAX_SECRET_BYTES, &rejection))?;
    let secret = check_secret(&tenant, &name, &body)?;
    let sealed = api.secrets.vault()?.seal(&tenant, &name, &secret);
    api.registry.set_secret(&tenant, &name, &sealed).await?;
    info!(tenant, name, "a secret is set");
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a secret: runs that ask for it fail from now on.
pub(super) async fn delete(State(api): State<Arc<Api>>, path: Named) -> Result<StatusCode, ApiError> {
    let (tenant, name) = name(path)?;
    if api.registry.delete_secret(&tenant, &name).await? {
        info!(tenant, name, "a secret is deleted");
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::NotFound(format!("tenant `{tenant}` has no secret `{name}`")))
    }
}

impl Api {
    /// A job is not stored before the secrets that it asks for, nor on a host that can't read them.
    pub(super) async fn have_secrets(&self, spec: &JobSpec) -> Result<(), ApiError> {
        if spec.secrets.is_empty() {
            return Ok(());
        }
        self.secrets.vault()?;
        let there = self.registry.secrets(&spec.id.tenant).await?;
        match spec.secrets.iter().find(|(_, name)| there.iter().all(|row| row.name != **name)) {
            None => Ok(()),
            Some((key, name)) => {
                let (job, tenant) = (&spec.id.name, &spec.id.tenant);
                let why = SecretError::NotSet { tenant: tenant.clone(), name: name.clone() };
                Err(ApiError::Invalid(format!("job `{job}`: secrets.{key} `{name}` is not valid: {why}")))
            }
        }
    }
}

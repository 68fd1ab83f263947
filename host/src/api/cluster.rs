//! `/v1/cluster`: what concerns the cluster as a whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use tracing::warn;

use super::{Api, ApiError, Resumed};
use crate::registry::resume_after_restore;

/// Lets the cluster go on after its ensemble was restored from an older state: its tokens count from above all that a live host, or
/// the host that found the ensemble behind, has seen.
pub(super) async fn resume(State(api): State<Arc<Api>>) -> Result<Json<Resumed>, ApiError> {
    let hosts = api.peers.hosts().await?;
    let seen = hosts.iter().map(|host| host.position).max().unwrap_or(0);
    let held = hosts.iter().any(|host| host.problem.is_some());
    let session = api.session().await?;
    let now_ms = api.clock.wall().as_millisecond();
    let base = match held {
        true => resume_after_restore(session.as_ref(), &api.layout, seen, now_ms).await?,
        false => None,
    };
    let Some(base) = base else {
        let why = "nothing is to be resumed: the ensemble is not behind what the hosts of this cluster have seen";
        return Err(ApiError::Conflict(why.to_owned()));
    };
    warn!(base, "an operator let the cluster go on after the ensemble was restored from an older state");
    Ok(Json(Resumed { base }))
}

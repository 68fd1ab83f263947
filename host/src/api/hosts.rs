//! `/v1/hosts`: who is here, and whether it stands. Asked of another host, draining is handed on to the one that it is about.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::lead::MaybeReach;
use super::{Api, ApiError, MAX_SHOWN_BYTES};
use crate::config::HostInfo;
use crate::text::cut;

/// The live hosts, by name.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Vec<HostInfo>>, ApiError> {
    Ok(Json(api.peers.hosts().await?))
}

type MaybeHost = Result<Path<String>, PathRejection>;

/// Withdraws a host from all elections, and returns when it has given up what it led.
pub(super) async fn drain(
    State(api): State<Arc<Api>>,
    host: MaybeHost,
    reach: MaybeReach,
) -> Result<Json<Value>, ApiError> {
    match api.whose(&host?.0, reach?.0.local).await? {
        None => api.cluster.drain().await?,
        Some(peer) => api.hand_on(&peer, "drain").await?,
    }
    Ok(Json(json!({})))
}

/// Lets a host stand again.
pub(super) async fn undrain(
    State(api): State<Arc<Api>>,
    host: MaybeHost,
    reach: MaybeReach,
) -> Result<Json<Value>, ApiError> {
    match api.whose(&host?.0, reach?.0.local).await? {
        None => api.cluster.undrain(),
        Some(peer) => api.hand_on(&peer, "undrain").await?,
    }
    Ok(Json(json!({})))
}

impl Api {
    /// The live host of this name; None where it is this one.
    async fn whose(&self, host: &str, local: bool) -> Result<Option<HostInfo>, ApiError> {
        if host == self.host {
            return Ok(None);
        }
        let peers = if local { Vec::new() } else { self.peers.others().await? };
        let found = peers.into_iter().find(|peer| peer.host == host);
        found.map(Some).ok_or_else(|| ApiError::NotFound(format!("host `{}` is not there", cut(host, MAX_SHOWN_BYTES))))
    }

    async fn hand_on(&self, peer: &HostInfo, what: &str) -> Result<(), ApiError> {
        let path = format!("/v1/hosts/{}/{what}?local=true", peer.host);
        Ok(self.peers.post::<Value>(peer, &path).await.map(drop)?)
    }
}

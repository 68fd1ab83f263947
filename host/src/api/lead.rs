//! Contenders of a job's election, and what only its leader can do: asked of another host, it is handed on to that one.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tracing::info;

use super::jobs::{Named, id};
use super::{Api, ApiError, ContenderRow, CursorSet, FilledIn, GroupRow, MAX_SHOWN_BYTES, Resigned, Triggered};
use crate::config::HostInfo;
use crate::registry::{JobId, Trigger};
use crate::text::cut;

/// Whether the question may be handed on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reach {
    /// True: answer for this host alone. What keeps two hosts from asking each other for ever.
    #[serde(default)]
    pub(super) local: bool,
}

pub(super) type MaybeReach = Result<Query<Reach>, QueryRejection>;

/// Who stands in the job's election, in queue order.
pub(super) async fn contenders(State(api): State<Arc<Api>>, path: Named) -> Result<Json<Vec<ContenderRow>>, ApiError> {
    let job = api.registry.get(&id(path)?).await?;
    let spec = &job.spec;
    let group = matches!(spec.trigger, Trigger::Schedule { .. }).then(|| api.cluster.group_number(&spec.id));
    let (contenders, problems) = tokio::join!(api.cluster.contenders(spec), api.problems());
    let mut rows = match contenders {
        // Whatever keeps this host from seeing the queue is among what keeps it from standing.
        Err(_) if problems.of(&spec.id, group).is_some() => Vec::new(),
        listed => listed?,
    };
    problems.add_to_contenders(&spec.id, group, &mut rows);
    Ok(Json(rows))
}

/// Which leader is to resign.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resignation {
    /// Whether it may be the leader of the whole group that a scheduled job is in.
    #[serde(default)]
    group: bool,
    #[serde(default)]
    local: bool,
}

/// Makes the leader of the job's election give up.
pub(super) async fn resign(
    State(api): State<Arc<Api>>,
    path: Named,
    resignation: Result<Query<Resignation>, QueryRejection>,
) -> Result<Json<Resigned>, ApiError> {
    let (id, Query(Resignation { group, local })) = (id(path)?, resignation?);
    let meant = api.group_meant(&api.registry.get(&id).await?.spec, group)?;
    match api.leader(&id, &Reach { local }).await? {
        Leader::Here => {
            api.cluster.resign(&id).await?;
            info!(job = %id, group = meant.as_ref().map(GroupRow::to_string), "this host resigned, as an operator asked");
        }
        Leader::Peer(peer) => {
            // Hosts of an earlier version refuse a field that they don't know.
            let group = if group { "&group=true" } else { "" };
            let path = format!("/v1/jobs/{id}/resign?local=true{group}");
            api.peers.post::<Value>(&peer, &path).await.map(drop)?;
        }
    }
    Ok(Json(Resigned { group: meant }))
}

/// Starts a run of a scheduled job.
pub(super) async fn trigger(
    State(api): State<Arc<Api>>,
    path: Named,
    reach: MaybeReach,
) -> Result<Json<Triggered>, ApiError> {
    let id = id(path)?;
    match api.leader(&id, &reach?.0).await? {
        Leader::Here => Ok(Json(Triggered { run: api.cluster.trigger(&id).await? })),
        Leader::Peer(peer) => Ok(Json(api.peers.post(&peer, &format!("/v1/jobs/{id}/trigger?local=true")).await?)),
    }
}

/// The span of a back-fill.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    from: Timestamp,
    to: Timestamp,
    #[serde(default)]
    local: bool,
}

/// Runs the ticks of a span that is past.
pub(super) async fn backfill(
    State(api): State<Arc<Api>>,
    path: Named,
    span: Result<Query<Span>, QueryRejection>,
) -> Result<Json<FilledIn>, ApiError> {
    let (id, Query(Span { from, to, local })) = (id(path)?, span?);
    match api.leader(&id, &Reach { local }).await? {
        Leader::Here => Ok(Json(FilledIn { ticks: api.cluster.backfill(&id, from, to).await? })),
        Leader::Peer(peer) => {
            let path = format!("/v1/jobs/{id}/backfill?from={from}&to={to}&local=true");
            Ok(Json(api.peers.post(&peer, &path).await?))
        }
    }
}

/// Up to when ticks are to count as decided.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    /// Now, if it is not given.
    to: Option<Timestamp>,
    #[serde(default)]
    local: bool,
}

/// Sets up to when a scheduled job's ticks count as decided.
pub(super) async fn set_cursor(
    State(api): State<Arc<Api>>,
    path: Named,
    cursor: Result<Query<Cursor>, QueryRejection>,
) -> Result<Json<CursorSet>, ApiError> {
    let (id, Query(Cursor { to, local })) = (id(path)?, cursor?);
    match api.leader(&id, &Reach { local }).await? {
        Leader::Here => {
            let to = to.unwrap_or_else(|| api.clock.wall());
            Ok(Json(CursorSet { cursor: api.cluster.set_cursor(&id, to).await? }))
        }
        Leader::Peer(peer) => {
            let to = to.map_or_else(String::new, |to| format!("&to={to}"));
            Ok(Json(api.peers.post(&peer, &format!("/v1/jobs/{id}/cursor?local=true{to}")).await?))
        }
    }
}

enum Leader {
    Here,
    Peer(Box<HostInfo>),
}

impl Api {
    async fn leader(&self, id: &JobId, reach: &Reach) -> Result<Leader, ApiError> {
        let job = self.registry.get(id).await?;
        if reach.local {
            return Ok(Leader::Here);
        }
        if job.spec.paused.is_some() {
            let why = format!("job `{id}` is paused: nobody leads it until it is resumed");
            return Err(ApiError::Conflict(why));
        }
        let contenders = self.cluster.contenders(&job.spec).await?;
        let Some(leader) = contenders.into_iter().find(|contender| contender.leader) else {
            return Err(ApiError::Conflict(format!("nobody leads the election of job `{id}` at the moment")));
        };
        let Some(host) = leader.host else {
            let identifier = cut(&leader.identifier, MAX_SHOWN_BYTES);
            return Err(ApiError::Conflict(format!("job `{id}` is led by `{identifier}`, which is none of our hosts")));
        };
        if host == self.host {
            return Ok(Leader::Here);
        }
        match self.peers.others().await?.into_iter().find(|peer| peer.host == host) {
            Some(peer) => Ok(Leader::Peer(Box::new(peer))),
            None => Err(ApiError::Unavailable(format!("host `{host}`, which leads job `{id}`, is not there"))),
        }
    }
}

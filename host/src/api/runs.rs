//! Runs of a job, whichever host ran them: this host's own, the live peers' from them, those of hosts that are gone from
//! the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use futures::future;
use serde::Deserialize;

use super::jobs::{Named, id};
use super::{Api, ApiError};
use crate::config::HostInfo;
use crate::history::RunRecord;
use crate::registry::JobId;

/// How many runs are given unless asked for more, and at the most.
const DEFAULT_RUNS: usize = 20;
const MAX_RUNS: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default = "default_runs")]
    limit: usize,
    /// True: this host's own runs alone.
    #[serde(default)]
    local: bool,
}

fn default_runs() -> usize {
    DEFAULT_RUNS
}

/// Runs of a job, newest first.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    path: Named,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Vec<RunRecord>>, ApiError> {
    let (id, Query(which)) = (id(path)?, which?);
    let limit = which.limit.min(MAX_RUNS);
    if which.local {
        return Ok(Json(api.history.own_runs(&id, limit).await?));
    }
    let runs = api.runs(&id, limit).await?;
    if runs.is_empty() {
        // The history of a deleted job stays readable; a job that never was is an error.
        api.registry.get(&id).await?;
    }
    Ok(Json(runs))
}

impl Api {
    async fn runs(&self, job: &JobId, limit: usize) -> Result<Vec<RunRecord>, ApiError> {
        let peers = self.peers.others().await?;
        let mut runs = self.history.own_runs(job, limit).await?;
        for found in future::join_all(peers.iter().map(|peer| self.peer_runs(peer, job, limit))).await {
            runs.extend(found?);
        }
        for host in self.history.hosts(job).await? {
            if host != self.host && peers.iter().all(|peer| peer.host != host) {
                let mut gone = self.history.stored_runs(job, &host, limit).await?;
                for run in gone.iter_mut().filter(|run| run.ended.is_none() && run.outcome.is_none()) {
                    run.given_up("its host went away before it ended");
                }
                runs.extend(gone);
            }
        }
        Ok(newest(runs, limit))
    }

    /// A live peer's runs, from the store if it doesn't answer.
    async fn peer_runs(&self, peer: &HostInfo, job: &JobId, limit: usize) -> Result<Vec<RunRecord>, ApiError> {
        let path = format!("/v1/jobs/{job}/runs?local=true&limit={limit}");
        match self.peers.get(peer, &path, Duration::ZERO).await {
            Ok(runs) => Ok(runs),
            Err(error) => {
                tracing::warn!(peer = %peer.host, %error, "a peer can't be asked for its runs");
                Ok(self.history.stored_runs(job, &peer.host, limit).await?)
            }
        }
    }

    /// What this host can read without asking another.
    pub(super) async fn readable_runs(&self, job: &JobId, limit: usize) -> Result<Vec<RunRecord>, ApiError> {
        let mut runs = self.history.own_runs(job, limit).await?;
        for host in self.history.hosts(job).await?.into_iter().filter(|host| *host != self.host) {
            runs.extend(self.history.stored_runs(job, &host, limit).await?);
        }
        Ok(newest(runs, limit))
    }
}

/// Each attempt once, newest first. Of two records of the same attempt on the same host the one that has ended counts:
/// the other was written by a host that did not live to say more.
fn newest(runs: Vec<RunRecord>, limit: usize) -> Vec<RunRecord> {
    let mut attempts: BTreeMap<(String, u32, String), RunRecord> = BTreeMap::new();
    for run in runs {
        let key = (run.run.clone(), run.attempt, run.host.clone());
        match attempts.get(&key) {
            Some(known) if known.ended.is_some() => {}
            Some(_) | None => drop(attempts.insert(key, run)),
        }
    }
    let mut runs: Vec<RunRecord> = attempts.into_values().collect();
    runs.sort_by(|a, b| (b.started, &b.run, b.attempt).cmp(&(a.started, &a.run, a.attempt)));
    runs.truncate(limit);
    runs
}

//! Runs of a job, whichever host ran them. What a live host says of its own runs counts; of those of a host that is gone,
//! whatever any host's store has.

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
    /// True: what this host can read without asking another.
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
        return Ok(Json(api.readable_runs(&id, limit).await?));
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
        let mut first_hand = self.history.own_runs(job, limit).await?;
        let mut second_hand = self.others_stored_runs(job, limit).await?;
        let told = future::join_all(peers.iter().map(|peer| self.peer_runs(peer, job, limit))).await;
        for (peer, runs) in peers.iter().zip(told) {
            let (own, others): (Vec<_>, Vec<_>) = runs?.into_iter().partition(|run| run.host == peer.host);
            first_hand.extend(own);
            second_hand.extend(others);
        }
        let live = |host: &str| host == self.host || peers.iter().any(|peer| peer.host == host);
        for run in second_hand.iter_mut().filter(|run| run.ended.is_none() && !live(&run.host)) {
            run.given_up("its host went away before it ended");
        }
        Ok(newest(first_hand, second_hand, limit))
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
        let own = self.history.own_runs(job, limit).await?;
        Ok(newest(own, self.others_stored_runs(job, limit).await?, limit))
    }

    /// What this host's store has of other hosts' runs.
    async fn others_stored_runs(&self, job: &JobId, limit: usize) -> Result<Vec<RunRecord>, ApiError> {
        let mut runs = Vec::new();
        for host in self.history.hosts(job).await?.into_iter().filter(|host| *host != self.host) {
            runs.extend(self.history.stored_runs(job, &host, limit).await?);
        }
        Ok(runs)
    }
}

/// Each attempt once, newest first. A host's own word counts before another's; of two others' the one that tells the end.
fn newest(first_hand: Vec<RunRecord>, second_hand: Vec<RunRecord>, limit: usize) -> Vec<RunRecord> {
    let key = |run: &RunRecord| (run.run.clone(), run.attempt, run.host.clone());
    let mut attempts: BTreeMap<_, RunRecord> = BTreeMap::new();
    for run in second_hand {
        match attempts.get(&key(&run)) {
            Some(known) if known.ended.is_some() => {}
            Some(_) | None => drop(attempts.insert(key(&run), run)),
        }
    }
    attempts.extend(first_hand.into_iter().map(|run| (key(&run), run)));
    let mut runs: Vec<RunRecord> = attempts.into_values().collect();
    runs.sort_by(|a, b| (b.started, &b.run, b.attempt).cmp(&(a.started, &a.run, a.attempt)));
    runs.truncate(limit);
    runs
}

//! Runs of a job, whichever host ran them. What a live host says of its own runs counts; of those of a host that is gone,
//! whatever any host's store has.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::coordinator::Error;
use crate::history::{Known, RunRecord, RunState};
use crate::registry::JobId;
use crate::scheduler;
use crate::scheduler::plan::JobState;

/// How many runs are given unless asked for more, and at the most.
const DEFAULT_RUNS: usize = 20;
const MAX_RUNS: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default = "default_runs")]
    limit: usize,
    /// True: what is in this host's store.
    #[serde(default)]
    local: bool,
    /// True with `local`: only what this host itself wrote, because whoever asks reads the same store.
    #[serde(default)]
    shared: bool,
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
        return Ok(Json(api.local_runs(&id, limit, which.shared).await?));
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
        // Before the records: what it forgets is a record by then.
        let kept = self.kept_runs(job).await?;
        let peers = self.peers.others().await?;
        let live = |host: &str| host == self.host || peers.iter().any(|peer| peer.host == host);
        let (mut first_hand, mut second_hand) = (Vec::new(), Vec::new());
        let mut told = |by: &str, runs: Vec<RunRecord>| {
            let (own, others): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.host == by && live(by));
            first_hand.extend(own);
            second_hand.extend(others);
        };
        told(&self.host, self.history.own_runs(job, limit).await?);
        for (peer, runs) in
            peers.iter().zip(future::join_all(peers.iter().map(|peer| self.peer_runs(peer, job, limit))).await)
        {
            told(&peer.host, runs?);
        }
        for host in self.untold_hosts(job, &peers).await? {
            second_hand.extend(self.history.stored_runs(job, &host, limit).await?);
        }
        for run in second_hand.iter_mut().filter(|run| run.ended.is_none() && !live(&run.host)) {
            run.given_up("its host went away before it ended");
        }
        Ok(newest(mend(by_attempt(first_hand, second_hand), kept), limit))
    }

    /// Runs as this host's store has them.
    async fn local_runs(&self, job: &JobId, limit: usize, shared: bool) -> Result<Vec<RunRecord>, ApiError> {
        let mut runs = self.history.own_runs(job, limit).await?;
        if !shared {
            for host in self.untold_hosts(job, &[]).await? {
                runs.extend(self.history.stored_runs(job, &host, limit).await?);
            }
        }
        Ok(runs)
    }

    /// What the coordinator has of the job's newest runs.
    async fn kept_runs(&self, job: &JobId) -> Result<Vec<RunRecord>, ApiError> {
        let value = match self.session().await?.get(&self.layout.run_state(&job.tenant, &job.name)).await {
            Ok((value, _)) => value,
            Err(Error::NoNode { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        Ok(match RunState::from_bytes(&value) {
            // Of a leader job.
            Ok(state) => state.outcomes.into(),
            Err(_) => scheduler::kept(job, &JobState::from_bytes(&value).unwrap_or_default()),
        })
    }

    /// What a live peer has, from the store if it doesn't answer.
    async fn peer_runs(&self, peer: &HostInfo, job: &JobId, limit: usize) -> Result<Vec<RunRecord>, ApiError> {
        let path = format!("/v1/jobs/{job}/runs?{}&limit={limit}", self.local_query(peer).await);
        match self.peers.get(peer, &path, Duration::ZERO).await {
            Ok(runs) => Ok(runs),
            Err(error) => {
                tracing::warn!(peer = %peer.host, %error, "a peer can't be asked for its runs");
                Ok(self.history.stored_runs(job, &peer.host, limit).await?)
            }
        }
    }
}

/// Returns each attempt once for each host that has a record of it. A live host's own word counts before another's, and of two
/// words of one host the one that tells more. An attempt that a host saw end was not skipped, whoever says so: after a restoration
/// of the ensemble, the next leader knows no better.
fn by_attempt(first_hand: Vec<RunRecord>, second_hand: Vec<RunRecord>) -> Vec<RunRecord> {
    let key = |run: &RunRecord| (run.run.clone(), run.attempt, run.host.clone());
    let mut attempts: BTreeMap<_, RunRecord> = BTreeMap::new();
    for run in second_hand {
        match attempts.get(&key(&run)) {
            Some(known) if known.tells() >= run.tells() => {}
            Some(_) | None => drop(attempts.insert(key(&run), run)),
        }
    }
    let mut own: BTreeMap<_, RunRecord> = BTreeMap::new();
    for run in first_hand {
        match own.get(&key(&run)) {
            Some(known) if known.tells().0 > run.tells().0 => {}
            Some(_) | None => drop(own.insert(key(&run), run)),
        }
    }
    attempts.extend(own);
    let attempt = |run: &RunRecord| (run.run.clone(), run.attempt);
    let ended: BTreeSet<_> = attempts.values().filter(|run| run.tells().0 == Known::Ended).map(attempt).collect();
    let counts = |run: &RunRecord| run.tells().0 == Known::Ended || !ended.contains(&attempt(run));
    attempts.into_values().filter(counts).collect()
}

/// A host that dies between the last write of a run and the store of its record leaves one without an end, or none, and what
/// was written to the coordinator is what counts.
fn mend(mut runs: Vec<RunRecord>, kept: Vec<RunRecord>) -> Vec<RunRecord> {
    let attempt = |run: &RunRecord| (run.run.clone(), run.attempt);
    let kept_ones: BTreeMap<_, &RunRecord> = kept.iter().map(|run| (attempt(run), run)).collect();
    for run in runs.iter_mut().filter(|run| run.tells().0 < Known::Ended) {
        if let Some(kept) = kept_ones.get(&attempt(run)).filter(|kept| kept.tells().0 == Known::Ended) {
            (run.ended, run.outcome) = (kept.ended, kept.outcome);
            run.detail.clone_from(&kept.detail);
        }
    }
    let known: BTreeSet<_> = runs.iter().map(attempt).collect();
    runs.extend(scheduler::told_again(kept).filter(|run| !known.contains(&attempt(run))));
    runs
}

/// Newest first.
fn newest(mut runs: Vec<RunRecord>, limit: usize) -> Vec<RunRecord> {
    runs.sort_by(|a, b| (b.started, &b.run, b.attempt).cmp(&(a.started, &a.run, a.attempt)));
    runs.truncate(limit);
    runs
}

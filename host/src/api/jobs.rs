//! `/v1/jobs`: what there is, and changes to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;

use super::{Api, ApiError, JobRow, MAX_JOB_BYTES};
use crate::coordinator::{Error, Session};
use crate::registry::{Applied, Job, JobId, JobSpec, RegistryError, Schedule, Trigger};

/// How many jobs are looked at at once.
const PIPELINE: usize = 64;

/// A job's name in a path.
pub(super) type Named = Path<(String, String)>;

pub(super) fn id(Path((tenant, name)): Named) -> Result<JobId, ApiError> {
    Ok(JobId::new(&tenant, &name)?)
}

/// All jobs, by name.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Vec<JobRow>>, ApiError> {
    let jobs = api.registry.list().await?;
    let session = api.session().await?;
    let jobs: Vec<Arc<Job>> = jobs.values().cloned().collect();
    let row = async |job: Arc<Job>| api.row(&*session, &job).await;
    let rows = stream::iter(jobs).map(row).buffered(PIPELINE);
    Ok(Json(rows.try_collect().await?))
}

/// A job as it is stored.
pub(super) async fn get(State(api): State<Arc<Api>>, path: Named) -> Result<Json<JobSpec>, ApiError> {
    Ok(Json(api.registry.get(&id(path)?).await?.spec))
}

/// Stores a job.
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    path: Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Applied>, ApiError> {
    let id = id(path)?;
    let body = body.map_err(|rejection| ApiError::body("job", MAX_JOB_BYTES, &rejection))?;
    let spec = JobSpec::from_json(&body)?;
    if spec.id != id {
        return Err(ApiError::Invalid(format!("job `{}` can't be stored as `{id}`", spec.id)));
    }
    api.check_schedule(&spec).await?;
    api.have_component(&spec.component).await?;
    Ok(Json(api.registry.apply(&spec).await?))
}

/// Deletes a job and what it keeps.
pub(super) async fn delete(State(api): State<Arc<Api>>, path: Named) -> Result<StatusCode, ApiError> {
    api.registry.delete(&id(path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a job rest.
pub(super) async fn pause(State(api): State<Arc<Api>>, path: Named) -> Result<Json<Applied>, ApiError> {
    Ok(Json(api.registry.set_paused(&id(path)?, true).await?))
}

/// Lets a paused job go on.
pub(super) async fn resume(State(api): State<Arc<Api>>, path: Named) -> Result<Json<Applied>, ApiError> {
    Ok(Json(api.registry.set_paused(&id(path)?, false).await?))
}

impl Api {
    async fn row(&self, session: &dyn Session, job: &Job) -> Result<JobRow, ApiError> {
        let spec = &job.spec;
        let path = Some(self.cluster.election(spec));
        let (group, election) = match &spec.trigger {
            Trigger::Leader { .. } => (None, path),
            Trigger::Schedule { .. } => (path, None),
        };
        Ok(JobRow {
            tenant: spec.id.tenant.clone(),
            name: spec.id.name.clone(),
            version: job.version,
            trigger: spec.trigger.name().to_owned(),
            component: spec.component.clone(),
            group,
            election,
            paused: spec.paused,
            last_outcome: self.last_outcome(session, spec).await?,
            next_tick: self.next_tick(spec),
        })
    }

    /// A schedule has ticks to come when it is stored; one that is stored already may have come to its end.
    async fn check_schedule(&self, spec: &JobSpec) -> Result<(), ApiError> {
        let Err(refused) = spec.validate_at(self.clock.wall()) else { return Ok(()) };
        match self.registry.get(&spec.id).await {
            Ok(job) if job.spec.trigger == spec.trigger => Ok(()),
            Ok(_) | Err(RegistryError::NoJob(_)) => Err(refused.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn next_tick(&self, spec: &JobSpec) -> Option<jiff::Timestamp> {
        match &spec.trigger {
            Trigger::Schedule { times, .. } if !spec.paused => {
                Schedule::parse(times, Some(&spec.id)).ok()?.next_after(self.clock.wall())
            }
            Trigger::Schedule { .. } | Trigger::Leader { .. } => None,
        }
    }

    /// From the job's tick state, where there is one, else from the history that this host can read.
    async fn last_outcome(&self, session: &dyn Session, spec: &JobSpec) -> Result<Option<String>, ApiError> {
        let kept = match session.get(&self.layout.run_state(&spec.id.tenant, &spec.id.name)).await {
            Ok((value, _)) => newest_outcome(&value),
            Err(Error::NoNode { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if kept.is_some() {
            return Ok(kept);
        }
        let runs = self.readable_runs(&spec.id, 2).await?;
        Ok(runs.into_iter().find_map(|run| run.outcome).map(|outcome| outcome.to_string()))
    }
}

/// The tick state is the scheduler's; only the head of its ring of outcomes is looked at.
fn newest_outcome(state: &[u8]) -> Option<String> {
    let state: Value = serde_json::from_slice(state).ok()?;
    Some(state.pointer("/outcomes/0/outcome")?.as_str()?.to_owned())
}

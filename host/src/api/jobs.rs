//! `/v1/jobs`: what there is, and changes to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use tracing::info;

use super::{Api, ApiError, JobRow, MAX_JOB_BYTES, MAX_PAUSE_BYTES, PauseRow};
use crate::coordinator::{Error, Session};
use crate::registry::{Applied, Job, JobId, JobSpec, PassedOver, PauseOrder, RegistryError, Schedule, Trigger};
use crate::scheduler::plan::JobState;

/// How many jobs are looked at at once.
const PIPELINE: usize = 64;

/// A job's name in a path.
pub(super) type Named = Path<(String, String)>;

pub(super) fn id(Path((tenant, name)): Named) -> Result<JobId, ApiError> {
    Ok(JobId::new(&tenant, &name)?)
}

/// All jobs, by name.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Vec<JobRow>>, ApiError> {
    let (listing, problems) = tokio::join!(api.registry.list_all(), api.problems());
    let (listing, session) = (listing?, api.session().await?);
    let row = async |job: Arc<Job>| api.row(&*session, &job).await;
    let rows = stream::iter(listing.jobs).map(row).buffered(PIPELINE);
    let mut rows: Vec<JobRow> = rows.try_collect().await?;
    rows.extend(listing.unreadable.into_iter().map(|(id, why)| JobRow::unreadable(&id, why)));
    rows.sort_by(|a, b| (&a.tenant, &a.name).cmp(&(&b.tenant, &b.name)));
    for row in &mut rows {
        let Ok(id) = JobId::new(&row.tenant, &row.name) else { continue };
        let group = row.group.is_some().then(|| api.cluster.group_number(&id));
        let told = row.problem.take().into_iter().chain(problems.of(&id, group)).collect::<Vec<_>>();
        row.problem = Some(told.join("; ")).filter(|told| !told.is_empty());
    }
    Ok(Json(rows))
}

/// A job as it is stored.
pub(super) async fn get(State(api): State<Arc<Api>>, path: Named) -> Result<Json<JobSpec>, ApiError> {
    Ok(Json(api.registry.get(&id(path)?).await?.spec))
}

/// What becomes of ticks that a change passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// True: they were missed, and the job's `catch_up` says which of them run.
    #[serde(default)]
    catch_up: bool,
}

type MaybeChange = Result<Query<Change>, QueryRejection>;

impl Change {
    fn passed_over(&self) -> PassedOver {
        if self.catch_up { PassedOver::CaughtUp } else { PassedOver::Skipped }
    }
}

/// Stores a job.
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    path: Named,
    change: MaybeChange,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Applied>, ApiError> {
    let (id, Query(change)) = (id(path)?, change?);
    let body = body.map_err(|rejection| ApiError::body("job", MAX_JOB_BYTES, &rejection))?;
    let spec = JobSpec::from_json(&body)?;
    if spec.id != id {
        return Err(ApiError::Invalid(format!("job `{}` can't be stored as `{id}`", spec.id)));
    }
    let (settings, (), (), ()) = tokio::try_join!(
        async { Ok::<_, ApiError>(api.registry.tenant(&id.tenant).await?) },
        api.check_schedule(&spec),
        api.have_component(&spec.component),
        api.have_secrets(&spec),
    )?;
    let scheduled = matches!(spec.trigger, Trigger::Schedule { .. });
    api.cluster.check_signature(&spec.component, &settings.signers).await?;
    spec.limits.check_below(&settings.limits, scheduled, &id.tenant, &id.name)?;
    Ok(Json(api.registry.apply_with(&spec, change.passed_over()).await?))
}

/// Deletes a job and what it keeps.
pub(super) async fn delete(State(api): State<Arc<Api>>, path: Named) -> Result<StatusCode, ApiError> {
    api.registry.delete(&id(path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a job rest. Who and why may be said.
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    path: Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Applied>, ApiError> {
    let id = id(path)?;
    let body = body.map_err(|rejection| ApiError::body("pause", MAX_PAUSE_BYTES, &rejection))?;
    let pause = PauseOrder::from_json(&id.name, &body)?.at(api.clock.wall(), &id.name)?;
    let applied = api.registry.pause(&id, pause.clone()).await?;
    info!(job = %id, by = pause.by, note = pause.note, version = applied.version, "a job is paused");
    Ok(Json(applied))
}

/// Lets a paused job go on, also one that paused itself.
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    path: Named,
    change: MaybeChange,
) -> Result<Json<Applied>, ApiError> {
    Ok(Json(api.registry.resume(&id(path)?, change?.passed_over()).await?))
}

impl Api {
    async fn row(&self, session: &dyn Session, job: &Job) -> Result<JobRow, ApiError> {
        let spec = &job.spec;
        let path = Some(self.cluster.election(spec));
        let (group, election) = match &spec.trigger {
            Trigger::Leader { .. } => (None, path),
            Trigger::Schedule { .. } => (path, None),
        };
        let state = self.run_state(session, &spec.id).await?;
        let pause = pause_of(job, &state);
        Ok(JobRow {
            tenant: spec.id.tenant.clone(),
            name: spec.id.name.clone(),
            version: job.version,
            trigger: Some(spec.trigger.name().to_owned()),
            component: Some(spec.component.clone()),
            group,
            election,
            paused: pause.is_some(),
            next_tick: if pause.is_some() { None } else { self.next_tick(spec, &state) },
            pause,
            last_outcome: state.outcomes.front().map(|kept| kept.outcome.to_string()),
            problem: None,
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

    fn next_tick(&self, spec: &JobSpec, state: &JobState) -> Option<jiff::Timestamp> {
        match &spec.trigger {
            Trigger::Schedule { times, .. } => {
                Schedule::parse(times, Some(&spec.id)).ok()?.next_after(self.undecided_from(state))
            }
            Trigger::Leader { .. } => None,
        }
    }

    /// Returns the time after which ticks are yet to come: now, or the job's cursor if that is ahead of the clock.
    pub(super) fn undecided_from(&self, state: &JobState) -> jiff::Timestamp {
        let now = self.clock.wall();
        state.cursor.map_or(now, |cursor| cursor.max(now))
    }

    /// What the coordinator keeps of the job's runs: nothing where it keeps none, or what it has can't be read.
    pub(super) async fn run_state(&self, session: &dyn Session, id: &JobId) -> Result<JobState, ApiError> {
        match session.get(&self.layout.run_state(&id.tenant, &id.name)).await {
            Ok((value, _)) => Ok(JobState::from_bytes(&value).unwrap_or_default()),
            Err(Error::NoNode { .. }) => Ok(JobState::default()),
            Err(error) => Err(error.into()),
        }
    }
}

impl JobRow {
    /// Returns the row of a job whose node holds something that this host can't read.
    fn unreadable(id: &JobId, why: String) -> Self {
        JobRow {
            tenant: id.tenant.clone(),
            name: id.name.clone(),
            version: 0,
            trigger: None,
            component: None,
            group: None,
            election: None,
            paused: false,
            pause: None,
            last_outcome: None,
            next_tick: None,
            problem: Some(format!("{why}: it does not run; apply it again, or delete it")),
        }
    }
}

/// By an operator, or by itself after failures: the latter ends with the job's next change, which may not be seen to yet.
fn pause_of(job: &Job, state: &JobState) -> Option<PauseRow> {
    let by_itself = state.paused.clone().filter(|paused| paused.at.as_millisecond() > job.mtime_ms);
    job.spec.paused.as_deref().cloned().map(PauseRow::from).or(by_itself.map(PauseRow::from))
}

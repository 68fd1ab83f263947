//! `/v1/jobs`: what there is, and changes to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::Deserialize;
use tracing::info;

use super::{Api, ApiError, JobRow, MAX_JOB_BYTES, MAX_PAUSE_BYTES, PauseRow};
use crate::coordinator::{Error, Session};
use crate::registry::{Applied, Job, JobId, JobSpec, PassedOver, PauseOrder, RegistryError, SpecError, Trigger};
use crate::scheduler::plan::JobState;

/// How many jobs a listing looks at at once, and how many times so many are under way.
const PIPELINE: usize = 64;
const CHUNKS: usize = 2;

/// A job's name in a path.
pub(super) type Named = Path<(String, String)>;

pub(super) fn id(Path((tenant, name)): Named) -> Result<JobId, ApiError> {
    Ok(JobId::new(&tenant, &name)?)
}

/// All jobs, by name.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Vec<JobRow>>, ApiError> {
    let (listing, problems) = tokio::join!(api.registry.list_all(), api.problems());
    let (listing, session) = (listing?, api.session().await?);
    let some: Vec<Vec<Arc<Job>>> = listing.jobs.chunks(PIPELINE).map(<[Arc<Job>]>::to_vec).collect();
    drop(listing.jobs);
    let rows = stream::iter(some).map(|some| api.rows(&*session, some)).buffered(CHUNKS);
    let mut rows: Vec<JobRow> = rows.try_concat().await?;
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
    let now = api.clock.wall();
    let read = move || JobSpec::from_json(&body).map(|spec| (spec.validate_at(now), spec));
    let (ticks, spec) = api.compute(read).await??;
    if spec.id != id {
        return Err(ApiError::Invalid(format!("job `{}` can't be stored as `{id}`", spec.id)));
    }
    let (settings, (), (), ()) = tokio::try_join!(
        async { Ok::<_, ApiError>(api.registry.tenant(&id.tenant).await?) },
        api.check_schedule(&spec, ticks),
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
    let (now, name) = (api.clock.wall(), id.name.clone());
    let pause = api.compute(move || PauseOrder::from_json(&name, &body)?.at(now, &name)).await??;
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
    /// Returns the rows of some jobs.
    async fn rows(&self, session: &dyn Session, jobs: Vec<Arc<Job>>) -> Result<Vec<JobRow>, ApiError> {
        let state = async |job: Arc<Job>| Ok::<_, ApiError>((self.run_state(session, &job.spec.id).await?, job));
        let found: Vec<(JobState, Arc<Job>)> = stream::iter(jobs).map(state).buffered(PIPELINE).try_collect().await?;
        let from = found.iter().map(|(state, job)| (self.undecided_from(state), job.clone())).collect::<Vec<_>>();
        let next = |(from, job): &(Timestamp, Arc<Job>)| job.spec.schedule()?.ok()?.next_after(*from);
        let ticks = self.compute(move || from.iter().map(next).collect::<Vec<_>>()).await?;
        Ok(found.iter().zip(ticks).map(|((state, job), tick)| self.row(job, state, tick)).collect())
    }

    fn row(&self, job: &Job, state: &JobState, next_tick: Option<Timestamp>) -> JobRow {
        let spec = &job.spec;
        let path = Some(self.cluster.election(spec));
        let (group, election) = match &spec.trigger {
            Trigger::Leader { .. } => (None, path),
            Trigger::Schedule { .. } => (path, None),
        };
        let pause = pause_of(job, state);
        JobRow {
            tenant: spec.id.tenant.clone(),
            name: spec.id.name.clone(),
            version: job.version,
            trigger: Some(spec.trigger.name().to_owned()),
            component: Some(spec.component.clone()),
            group,
            election,
            paused: pause.is_some(),
            next_tick: next_tick.filter(|_| pause.is_none()),
            pause,
            last_outcome: state.outcomes.front().map(|kept| kept.outcome.to_string()),
            problem: None,
        }
    }

    /// A schedule has ticks to come when it is stored; one that is stored already may have come to its end.
    async fn check_schedule(&self, spec: &JobSpec, ticks: Result<(), SpecError>) -> Result<(), ApiError> {
        let Err(refused) = ticks else { return Ok(()) };
        match self.registry.get(&spec.id).await {
            Ok(job) if job.spec.trigger == spec.trigger => Ok(()),
            Ok(_) | Err(RegistryError::NoJob(_)) => Err(refused.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the time after which ticks are yet to come: now, or the job's cursor if that is ahead of the clock.
    pub(super) fn undecided_from(&self, state: &JobState) -> Timestamp {
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

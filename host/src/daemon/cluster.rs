//! What the API asks of the parts that lead and run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tracing::{info, warn};

use super::elections::{Post, Standings, election_of};
use super::withdrawal::Withdrawal;
use crate::api::{ApiError, Cluster, ContenderRow, GroupRow};
use crate::artifact::Artifacts;
use crate::candidacy::{Timeline, contenders};
use crate::coordinator::{Error, Sessions};
use crate::registry::{Digest, JobId, JobSpec, Problem, Registry, Signers, Trigger, group_of};
use crate::runtime::{AdmissionError, ComponentError, Components};
use crate::scheduler::plan::BackfillError;
use crate::scheduler::{Scheduling, TriggerError};

/// How long a request waits for a session.
const PATIENCE: Duration = Duration::from_secs(5);

/// This host's parts, as the API sees them.
pub(super) struct Parts {
    pub timeline: Arc<Timeline>,
    pub components: Components,
    pub artifacts: Artifacts,
    pub registry: Registry,
    pub sessions: Sessions,
    pub scheduling: Arc<Scheduling>,
    pub standing: Arc<Standings>,
    pub withdrawal: Arc<Withdrawal>,
    /// How long a drain that the API asks for is waited for.
    pub drain_patience: Duration,
}

impl Parts {
    fn post(&self, spec: &JobSpec) -> Post {
        match spec.trigger {
            Trigger::Leader { .. } => Post::Job(spec.id.clone()),
            Trigger::Schedule { .. } => Post::Group(group_of(&spec.id, self.scheduling.groups)),
        }
    }
}

/// A component that isn't taken, or not now.
fn not_taken(error: AdmissionError) -> ApiError {
    let said = error.to_string();
    if error.may_pass() { ApiError::Unavailable(said) } else { ApiError::Invalid(said) }
}

#[async_trait]
impl Cluster for Parts {
    async fn admit(&self, tenant: &str, bytes: Bytes, signers: Signers) -> Result<Digest, ApiError> {
        let runtime = self.components.runtime();
        let checked = bytes.clone();
        runtime.quickly(move |runtime| runtime.check_signature(&checked, &signers)).await.map_err(not_taken)?;
        let (build, checked) = (Digest::of(&bytes).into(), bytes.clone());
        let admission =
            runtime.apart(tenant, &build, move |runtime| runtime.admit(&checked)).await.map_err(not_taken)?;
        self.artifacts.put(bytes).await?;
        Ok(admission.digest)
    }

    async fn check_signature(&self, component: &Digest, signers: &Signers) -> Result<(), ApiError> {
        self.components.check_signature(component, signers).await.map_err(|error| match error {
            ComponentError::Missing(_) => ApiError::Invalid(error.to_string()),
            ComponentError::Unfit { source, .. } => not_taken(source),
            ComponentError::Artifact(error) => error.into(),
        })
    }

    fn election(&self, spec: &JobSpec) -> String {
        election_of(spec, &self.scheduling)
    }

    fn group(&self, spec: &JobSpec) -> Option<GroupRow> {
        let Post::Group(group) = self.post(spec) else { return None };
        let jobs = self.scheduling.jobs.borrow().group(group, self.scheduling.groups);
        let scheduled = jobs.values().filter(|job| matches!(job.spec.trigger, Trigger::Schedule { .. }));
        // The job itself may have been stored a moment ago, and not be followed yet.
        let jobs: BTreeSet<&JobId> = scheduled.map(|job| &job.spec.id).chain([&spec.id]).collect();
        let tenants: BTreeSet<&str> = jobs.iter().map(|job| job.tenant.as_str()).collect();
        Some(GroupRow { group, jobs: jobs.len(), tenants: tenants.len() })
    }

    async fn contenders(&self, spec: &JobSpec) -> Result<Vec<ContenderRow>, ApiError> {
        let session = self.sessions.get(PATIENCE).await?;
        let queue = contenders(session.as_ref(), &self.election(spec)).await?;
        let hosts = match session.list(&self.scheduling.layout.hosts()).await {
            // Somebody deleted it, and it is about to be made again.
            Err(Error::NoNode { .. }) => Vec::new(),
            listed => listed?,
        };
        let rows = queue.into_iter().enumerate().map(|(at, entry)| ContenderRow {
            host: hosts.contains(&entry.identifier).then(|| entry.identifier.clone()),
            identifier: entry.identifier,
            znode: Some(entry.znode),
            token: Some(self.timeline.token(entry.token)),
            leader: at == 0,
            problem: None,
        });
        Ok(rows.collect())
    }

    async fn resign(&self, job: &JobId) -> Result<(), ApiError> {
        let job = self.registry.get(job).await?;
        if self.standing.resign(&self.post(&job.spec)).await {
            Ok(())
        } else {
            Err(ApiError::Conflict(format!("this host does not lead the election of job `{}`", job.spec.id)))
        }
    }

    async fn drain(&self) -> Result<(), ApiError> {
        info!("an operator drains this host: guests are asked to stop");
        if self.withdrawal.withdraw(self.drain_patience).await {
            info!("drained by an operator: this host leads nothing");
            return Ok(());
        }
        let (host, patience_ms) = (&self.scheduling.host, self.drain_patience.as_millis());
        warn!(patience_ms, "the drain goes on: this host still gives up what it led");
        let why =
            format!("host `{host}` stands for nothing new, and still gives up what it led after {patience_ms} ms");
        Err(ApiError::Unavailable(why))
    }

    fn undrain(&self) {
        self.withdrawal.end();
        info!("undrained by an operator");
    }

    async fn trigger(&self, job: &JobId) -> Result<String, ApiError> {
        self.may_order(job).await?;
        self.scheduling.trigger(job).await.map_err(|error| refused(job, &error))
    }

    async fn backfill(&self, job: &JobId, from: Timestamp, to: Timestamp) -> Result<usize, ApiError> {
        self.may_order(job).await?;
        self.scheduling.backfill(job, from, to).await.map_err(|error| refused(job, &error))
    }

    async fn set_cursor(&self, job: &JobId, to: Timestamp) -> Result<Timestamp, ApiError> {
        self.may_order(job).await?;
        self.scheduling.set_cursor(job, to).await.map_err(|error| refused(job, &error))
    }

    fn group_number(&self, job: &JobId) -> u32 {
        group_of(job, self.scheduling.groups)
    }

    fn problems(&self) -> Vec<Problem> {
        self.scheduling.problems.list()
    }
}

impl Parts {
    /// Runs beside the schedule are for jobs that have one, and don't rest.
    async fn may_order(&self, job: &JobId) -> Result<(), ApiError> {
        let spec = &self.registry.get(job).await?.spec;
        if let Trigger::Leader { .. } = spec.trigger {
            let why = "has the trigger `leader`: it runs for as long as its host leads, and can't be run besides";
            return Err(ApiError::Conflict(format!("job `{job}` {why}")));
        }
        if spec.paused.is_some() {
            return Err(ApiError::Conflict(format!("job `{job}` is paused, and runs again once it is resumed")));
        }
        Ok(())
    }
}

fn refused(job: &JobId, error: &TriggerError) -> ApiError {
    let message = format!("job `{job}`: {error}");
    match error {
        TriggerError::NotHere
        | TriggerError::UnderWay
        | TriggerError::Backfill(BackfillError::UnderWay { .. } | BackfillError::Paused { .. }) => {
            ApiError::Conflict(message)
        }
        TriggerError::Refused(_) => ApiError::Unavailable(message),
        TriggerError::Future { .. }
        | TriggerError::Backfill(
            BackfillError::Backwards { .. }
            | BackfillError::Future { .. }
            | BackfillError::Empty { .. }
            | BackfillError::TooMany { .. },
        ) => ApiError::Invalid(message),
    }
}

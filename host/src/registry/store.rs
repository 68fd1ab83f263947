//! Jobs in the coordinator. Every change of a job also sets the registry's own node in the same multi, with the job's
//! name as value, so that hosts watch one node and re-read one job. A tenant's settings are told the same way.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::news::ChangeKind;
use super::stored::{decode, encode};
use super::{Job, JobId, JobSpec, PassedOver, Pause, SpecError, Trigger, news};
use crate::config::Layout;
use crate::coordinator::{Error, MAX_CHILDREN, MultiError, Op, OpResult, Session, Sessions, ensure_path};

/// How long a request waits for a session.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a change is tried that others get in the way of, or whose reply is lost.
pub(super) const ATTEMPTS: u32 = 20;
/// How many requests are under way at once while many jobs are read.
pub(super) const PIPELINE: usize = 64;
/// How many keys are deleted in one multi: at the longest keys still below the coordinator's size limit.
const DELETES: usize = 500;

/// Why a request to the registry failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RegistryError {
    /// The job can't be stored in this cluster.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There is no such job.
    #[error("there is no job `{0}`")]
    NoJob(JobId),
    /// A directory is at its limit.
    #[error("there are {count} {what} already, which is the limit")]
    Full {
        /// `tenants` or ``jobs of tenant `acme` ``.
        what: String,
        /// How many there are.
        count: usize,
    },
    /// What a job is run by stays as it is: what is kept of its runs has another form for each, and a guest of the one may
    /// still be under way when the other begins.
    #[error("job `{job}`: trigger `{wanted}` is not valid: it is `{is}`, and stays so until the job is deleted")]
    OtherTrigger {
        /// Its name.
        job: JobId,
        /// As it is.
        is: &'static str,
        /// As it was to be.
        wanted: &'static str,
    },
    /// It was to catch up with what was passed over, and nothing of it would have run.
    #[error("job `{job}`: {field} `{value}` is not valid where missed ticks are to be caught up with")]
    NothingToCatchUp {
        /// Its name.
        job: JobId,
        /// Which of its fields says so.
        field: &'static str,
        /// What it says.
        value: &'static str,
    },
    /// What is stored is no job: somebody else wrote there.
    #[error("what is stored as job `{job}` is no job: {detail}")]
    Corrupt {
        /// Its name.
        job: JobId,
        /// What serde said.
        detail: String,
    },
    /// What is stored as the cluster's node is something else.
    #[error("what is stored as node `{path}` is no cluster: {detail}")]
    Cluster {
        /// The node.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Others changed the job each time.
    #[error("job `{0}` is being changed by others: try again")]
    Contended(JobId),
    /// Others changed the tenant's settings each time.
    #[error("the settings of tenant `{0}` are being changed by others: try again")]
    ContendedTenant(String),
    /// The coordinator failed.
    #[error(transparent)]
    Coordinator(#[from] Error),
}

/// What an apply did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// There was no such job.
    Created,
    /// The job was another.
    Updated,
    /// The job was the same already; nothing was written.
    Unchanged,
}

/// The outcome of [`Registry::apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The job's version now: its node's.
    pub version: i32,
    /// What was done.
    pub change: Change,
}

/// The jobs of all tenants.
#[derive(Clone)]
pub struct Registry {
    sessions: Sessions,
    layout: Layout,
}

impl Registry {
    /// The registry below `layout`.
    pub fn new(sessions: Sessions, layout: Layout) -> Self {
        Registry { sessions, layout }
    }

    /// Stores a valid job, in place of the one of its name where there is one. A job that rests and is stored as one that rests,
    /// with no more words, keeps its pause. It ticks from now on.
    ///
    /// # Errors
    /// [`RegistryError::Spec`] where it would stand in the cluster's own place; [`RegistryError::Full`],
    /// [`RegistryError::OtherTrigger`], [`RegistryError::Contended`], or what the coordinator says. The spec must have passed
    /// [`JobSpec::validate`].
    pub async fn apply(&self, spec: &JobSpec) -> Result<Applied, RegistryError> {
        self.apply_with(spec, PassedOver::Skipped).await
    }

    /// Below the cluster's root there is no queue but its own: whoever led in another's would lead that.
    fn check_election(&self, spec: &JobSpec) -> Result<(), SpecError> {
        let Trigger::Leader { election: Some(path), .. } = &spec.trigger else { return Ok(()) };
        let (root, JobId { tenant, name }) = (self.layout.root(), &spec.id);
        let is_below = path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !is_below || *path == self.layout.election(tenant, name) {
            return Ok(());
        }
        let reason = format!("what is below `{root}` is the cluster's own");
        Err(SpecError::invalid(name, "election", path, reason))
    }

    /// As [`Self::apply`], and says what becomes of ticks from before that nobody has decided.
    ///
    /// # Errors
    /// Besides those of [`Self::apply`], [`RegistryError::NothingToCatchUp`].
    pub async fn apply_with(&self, spec: &JobSpec, passed_over: PassedOver) -> Result<Applied, RegistryError> {
        passed_over.check(spec)?;
        self.check_election(spec)?;
        // Set once a write went out whose reply was lost: if the job then is as wanted, it was ours.
        let mut maybe = None;
        for _ in 0..ATTEMPTS {
            let session = self.session().await?;
            let found = self.read(&*session, &spec.id).await;
            let wanted = with_pause_of(spec, found.as_ref().ok().and_then(Option::as_ref));
            let ticks_from = found.as_ref().ok().and_then(Option::as_ref).and_then(|job| passed_over.ticks_from(job));
            let born = found.as_ref().ok().and_then(Option::as_ref).map(|job| job.born);
            let data = encode(&wanted, ticks_from, born);
            let change = match &found {
                Ok(Some(job)) if job.spec == wanted => match self.repair_job(&*session, &spec.id).await {
                    Ok(()) => return Ok(Applied { version: job.version, change: maybe.unwrap_or(Change::Unchanged) }),
                    Err(Error::Lost | Error::OutcomeUnknown { .. }) => continue,
                    Err(error) => return Err(error.into()),
                },
                Ok(Some(job)) if job.spec.trigger.name() != spec.trigger.name() => {
                    let (is, wanted) = (job.spec.trigger.name(), spec.trigger.name());
                    return Err(RegistryError::OtherTrigger { job: spec.id.clone(), is, wanted });
                }
                Ok(Some(_)) | Err(RegistryError::Corrupt { .. }) => Change::Updated,
                Ok(None) => Change::Created,
                // Nothing was written: look again, if need be on the next session.
                Err(RegistryError::Coordinator(Error::Lost | Error::OutcomeUnknown { .. })) => continue,
                Err(error) => return Err(error.clone()),
            };
            let ops = match found {
                Ok(Some(job)) => vec![self.set(&spec.id, &data, Some(job.version))],
                Ok(None) => {
                    self.room_for(&*session, &spec.id).await?;
                    match self.create_ops(&*session, &spec.id, data).await {
                        Ok(ops) => ops,
                        Err(Error::Lost | Error::OutcomeUnknown { .. }) => continue,
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(_) => vec![self.set(&spec.id, &data, None)],
            };
            match self.commit(&*session, &spec.id.to_string(), ops).await? {
                Committed::Yes(version) => return Ok(Applied { version, change }),
                Committed::Perhaps => maybe = Some(change),
                Committed::No => {}
            }
        }
        Err(RegistryError::Contended(spec.id.clone()))
    }

    /// A job.
    ///
    /// # Errors
    /// [`RegistryError::NoJob`], [`RegistryError::Corrupt`].
    pub async fn get(&self, id: &JobId) -> Result<Job, RegistryError> {
        let session = self.session().await?;
        session.sync(&self.path(id)).await?;
        self.read(&*session, id).await?.ok_or_else(|| RegistryError::NoJob(id.clone()))
    }

    /// Pauses a job; of one that rests already this is the pause from now on.
    ///
    /// # Errors
    /// As [`Self::get`] and [`Self::apply`]. The pause must be valid, as [`PauseOrder::at`](super::PauseOrder::at) gives it.
    pub async fn pause(&self, id: &JobId, pause: Pause) -> Result<Applied, RegistryError> {
        self.set_pause(id, Some(Box::new(pause)), PassedOver::Skipped).await
    }

    /// Lets a job go on. Its node is written in any case: a scheduled job that paused itself goes on by that, whose spec says
    /// nothing of a pause.
    ///
    /// # Errors
    /// As [`Self::get`] and [`Self::apply_with`].
    pub async fn resume(&self, id: &JobId, passed_over: PassedOver) -> Result<Applied, RegistryError> {
        self.set_pause(id, None, passed_over).await
    }

    /// Deletes a job with its tick state and all that it keeps. The job goes first, so that nobody starts it again; a run
    /// under way may still write a key, until its host hears of it. What a deletion cut short left behind is swept up by
    /// the next one. History stays.
    ///
    /// # Errors
    /// [`RegistryError::NoJob`] if there is neither such a job nor a run state that one left, or what the coordinator says.
    pub async fn delete(&self, id: &JobId) -> Result<(), RegistryError> {
        let mut existed = false;
        for _ in 0..ATTEMPTS {
            let session = self.session().await?;
            let delete = Op::Delete { path: self.path(id), version: None };
            match self.commit(&*session, &id.to_string(), vec![delete]).await? {
                Committed::Yes(_) => existed = true,
                // Gone, or gone by the time of the next look.
                Committed::Perhaps => existed = true,
                Committed::No => {}
            }
            if session.stat(&self.path(id)).await?.is_none() {
                existed |= self.sweep(&*session, id).await?;
                return if existed { Ok(()) } else { Err(RegistryError::NoJob(id.clone())) };
            }
        }
        Err(RegistryError::Contended(id.clone()))
    }

    // ---- for following ----

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn node(&self) -> String {
        self.layout.registry()
    }

    pub(super) async fn read(&self, session: &dyn Session, id: &JobId) -> Result<Option<Job>, RegistryError> {
        match session.get(&self.path(id)).await {
            Ok((data, stat)) => decode(id, &data, stat).map(Some),
            Err(Error::NoNode { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    // ---- within ----

    /// Writes the job with this pause and otherwise as it is, whoever else changes it meanwhile.
    async fn set_pause(
        &self,
        id: &JobId,
        pause: Option<Box<Pause>>,
        passed_over: PassedOver,
    ) -> Result<Applied, RegistryError> {
        // The job before a write whose reply was lost: if it is another now and as wanted, the write was done.
        let mut before = None;
        for _ in 0..ATTEMPTS {
            let session = self.session().await?;
            let found = match session.sync(&self.path(id)).await {
                Ok(()) => self.read(&*session, id).await,
                Err(error) => Err(error.into()),
            };
            let job = match found {
                Ok(Some(job)) => job,
                Ok(None) => return Err(RegistryError::NoJob(id.clone())),
                Err(RegistryError::Coordinator(Error::Lost | Error::OutcomeUnknown { .. })) => continue,
                Err(error) => return Err(error),
            };
            passed_over.check(&job.spec)?;
            let ticks_from = passed_over.ticks_from(&job);
            let Job { mut spec, version, born, mzxid, .. } = job;
            if before.is_some_and(|before| before != mzxid) && spec.paused == pause {
                return Ok(Applied { version, change: Change::Updated });
            }
            spec.paused.clone_from(&pause);
            let set = self.set(id, &encode(&spec, ticks_from, Some(born)), Some(version));
            match self.commit(&*session, &id.to_string(), vec![set]).await? {
                Committed::Yes(version) => return Ok(Applied { version, change: Change::Updated }),
                Committed::Perhaps => before = Some(mzxid),
                Committed::No => {}
            }
        }
        Err(RegistryError::Contended(id.clone()))
    }

    pub(super) async fn session(&self) -> Result<Arc<dyn Session>, RegistryError> {
        Ok(self.sessions.get(PATIENCE).await?)
    }

    pub(super) fn path(&self, id: &JobId) -> String {
        self.layout.job(&id.tenant, &id.name)
    }

    fn set(&self, id: &JobId, data: &[u8], version: Option<i32>) -> Op {
        Op::Set { path: self.path(id), data: data.to_vec(), version }
    }

    /// Commits one change of a job or of a tenant's settings together with the registry's own node, which says what changed
    /// last. The first operation is the change itself: the version that it leads to is returned.
    pub(super) async fn commit(
        &self,
        session: &dyn Session,
        changed: &str,
        mut ops: Vec<Op>,
    ) -> Result<Committed, RegistryError> {
        let deletes = matches!(ops.first(), Some(Op::Delete { .. }));
        let (said, stat) = match session.get(&self.layout.registry()).await {
            Ok(found) => found,
            Err(error @ Error::NoNode { .. }) => return self.make_way(session, error).await,
            // Nothing was written: look again, if need be on the next session.
            Err(Error::Lost | Error::OutcomeUnknown { .. }) => return Ok(Committed::No),
            Err(error) => return Err(error.into()),
        };
        let change = if deletes { ChangeKind::Deleted } else { ChangeKind::Written };
        let data = news::after(&said, changed, change);
        ops.push(Op::Set { path: self.layout.registry(), data, version: Some(stat.version) });
        match session.multi(ops).await {
            Ok(results) => Ok(Committed::Yes(match results.first() {
                Some(OpResult::Set(stat)) => stat.version,
                Some(OpResult::Created(_) | OpResult::Checked | OpResult::Deleted) | None => 0,
            })),
            // Nothing to delete.
            Err(MultiError::Op { index: 0, source: Error::NoNode { .. } }) if deletes => Ok(Committed::No),
            Err(error @ MultiError::Op { .. }) => self.make_way(session, error.into_error()).await,
            Err(MultiError::Whole(Error::OutcomeUnknown { .. } | Error::Lost)) => Ok(Committed::Perhaps),
            Err(MultiError::Whole(error)) => Err(error.into()),
        }
    }

    /// After a multi that failed: creates the registry's own node where it was missing.
    async fn make_way(&self, session: &dyn Session, error: Error) -> Result<Committed, RegistryError> {
        match error {
            Error::NoNode { .. } => {
                ensure_path(session, &self.layout.registry()).await?;
                Ok(Committed::No)
            }
            Error::NodeExists { .. } | Error::BadVersion { .. } => Ok(Committed::No),
            other => Err(other.into()),
        }
    }

    async fn room_for(&self, session: &dyn Session, id: &JobId) -> Result<(), RegistryError> {
        let tenants = children(session, &self.layout.tenants()).await?;
        if tenants.len() >= MAX_CHILDREN && !tenants.contains(&id.tenant) {
            return Err(RegistryError::Full { what: "tenants".to_owned(), count: tenants.len() });
        }
        let jobs = children(session, &self.layout.jobs(&id.tenant)).await?;
        if jobs.len() >= MAX_CHILDREN {
            let what = format!("jobs of tenant `{}`", id.tenant);
            return Err(RegistryError::Full { what, count: jobs.len() });
        }
        Ok(())
    }

    /// Deletes what a job without a spec left. Returns whether it left a run state.
    async fn sweep(&self, session: &dyn Session, id: &JobId) -> Result<bool, RegistryError> {
        let run_state = self.layout.run_state(&id.tenant, &id.name);
        let existed = session.stat(&run_state).await?.is_some();
        gone(session.delete(&run_state, None).await)?;
        let state = self.layout.state(&id.tenant, &id.name);
        for _ in 0..ATTEMPTS {
            let keys = children(session, &state).await?;
            for some in keys.chunks(DELETES) {
                let delete = |key| Op::Delete { path: format!("{state}/{key}"), version: None };
                match session.multi(some.iter().map(delete).collect()).await.map_err(MultiError::into_error) {
                    // Another sweeps too: list again.
                    Ok(_) | Err(Error::NoNode { .. } | Error::OutcomeUnknown { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match session.delete(&state, None).await {
                Err(Error::NotEmpty { .. } | Error::OutcomeUnknown { .. }) => {}
                other => {
                    gone(other)?;
                    return Ok(existed);
                }
            }
        }
        Err(RegistryError::Contended(id.clone()))
    }
}

/// Whether a change was done.
pub(super) enum Committed {
    /// At this version of the node.
    Yes(i32),
    /// The reply was lost.
    Perhaps,
    /// No: look again, and try again.
    No,
}

/// A spec that says only that the job rests leaves the pause as it is that the stored one has.
fn with_pause_of(spec: &JobSpec, stored: Option<&Job>) -> JobSpec {
    let mut spec = spec.clone();
    if spec.paused.as_ref().is_some_and(|pause| pause.is_bare())
        && let Some(pause) = stored.and_then(|job| job.spec.paused.clone())
    {
        spec.paused = Some(pause);
    }
    spec
}

pub(super) async fn children(session: &dyn Session, path: &str) -> Result<Vec<String>, Error> {
    match session.list(path).await {
        Err(Error::NoNode { .. }) => Ok(Vec::new()),
        other => other,
    }
}

/// A delete of what is gone already is done.
fn gone(deleted: Result<(), Error>) -> Result<(), Error> {
    match deleted {
        Err(Error::NoNode { .. }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;

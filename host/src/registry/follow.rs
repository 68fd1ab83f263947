//! What hosts know of all jobs and of what tenants were set: maps kept up to date by one watch on the registry's own node.
//! Whoever follows also makes sure that the nodes exist which these maps stand for, see [`super::repair`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::news::{self, ChangeKind, Changed};
use super::repair::{Missing, ensure_directories};
use super::tenant_store::Known;
use super::tenants::Tenants;
use super::{JobId, JobMap, JobSpec, Registry, RegistryError};
use crate::coordinator::{Error, Session, Stat, Watch, ensure_path};
use crate::vital;

/// How long a look waits for a session, and between two looks that failed.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);
/// How often a follower compares what it knows with the names of the nodes that exist: one listing a tenant.
const AUDIT: Duration = Duration::from_secs(60);
/// How many reports of missing jobs may wait. One more is dropped: the audit finds what it was about.
const REPORTS: usize = 64;

/// A stored job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What it is.
    pub spec: JobSpec,
    /// How often it was changed since it was created.
    pub version: i32,
    /// The transaction that created the job. A job that is deleted and applied again has another one; a job whose node was
    /// made again after somebody deleted it by hand keeps it.
    pub born: i64,
    /// The transaction of its last change: another one for each change, also over a deletion.
    pub mzxid: i64,
    /// When it was last changed, by the ensemble's clock, in milliseconds since 1970.
    pub mtime_ms: i64,
    /// It ticks from here on and not only from its last change, as [`PassedOver::CaughtUp`](super::PassedOver) asked for; in
    /// milliseconds since 1970.
    pub ticks_from_ms: Option<i64>,
}

/// All jobs at one moment.
pub type Jobs = Arc<JobMap>;

/// Where to report that a job's node is missing although the job is known.
#[derive(Clone)]
pub struct MissingJobs(mpsc::Sender<JobId>);

impl MissingJobs {
    /// Has the follower look whether the job was deleted in order, which it then hears of, or by hand: then it makes the node
    /// again.
    pub fn report(&self, job: &JobId) {
        let _ = self.0.try_send(job.clone());
    }

    /// Reports to nobody.
    pub fn ignored() -> Self {
        MissingJobs(mpsc::channel(1).0)
    }
}

/// All that a host follows.
#[derive(Clone)]
pub struct Followed {
    /// Takes reports of jobs whose node is missing.
    pub missing: MissingJobs,
    /// All jobs.
    pub jobs: watch::Receiver<Jobs>,
    /// What tenants were set.
    pub tenants: watch::Receiver<Tenants>,
}

impl Registry {
    /// Follows all jobs; as [`Self::follow_all`].
    pub async fn follow(&self) -> watch::Receiver<Jobs> {
        self.follow_all().await.jobs
    }

    /// Follows all jobs and what tenants were set. Returns once they were read for the first time, however long that takes;
    /// from then on the maps lag behind the registry while there is no session, and catch up with the next. Ends when both
    /// receivers and their clones are dropped.
    pub async fn follow_all(&self) -> Followed {
        let mut follower = Follower::new(self.clone());
        let mut watch = follower.look().await;
        let jobs = watch::Sender::new(Arc::new(follower.jobs.clone()));
        let tenants = watch::Sender::new(Arc::new(follower.tenants.all().clone()));
        let (report, mut reports) = mpsc::channel(REPORTS);
        let followed = Followed { missing: MissingJobs(report), jobs: jobs.subscribe(), tenants: tenants.subscribe() };
        tokio::spawn(report_leftovers(self.clone(), follower.jobs.clone()));
        tokio::spawn(async move {
            let _part = vital::part("the follower of the registry");
            let mut audits = interval(AUDIT);
            audits.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let nobody_follows = async { tokio::join!(jobs.closed(), tenants.closed()) };
                tokio::select! {
                    _ = nobody_follows => return,
                    // Also fires when the session is lost; the next look then waits for another.
                    () = watch.changed() => watch = follower.look().await,
                    // It was deleted in order, which this host is about to hear of, or by hand, and then maybe others with it.
                    Some(job) = reports.recv() => follower.suspects |= follower.jobs.contains_key(&job),
                    _ = audits.tick() => follower.suspects = true,
                    () = sleep_until(follower.next_audit), if follower.suspects => {
                        // One audit answers all of them.
                        while reports.try_recv().is_ok() {}
                        follower.audit().await;
                    }
                }
                tell(&jobs, &follower.jobs, JobMap::is_same);
                tell(&tenants, follower.tenants.all(), PartialEq::eq);
            }
        });
        followed
    }
}

/// Logs what is left of jobs that don't exist. That is told once, when a host starts: from then on it has the jobs in memory, and
/// makes those again that somebody deletes by hand.
async fn report_leftovers(registry: Registry, jobs: JobMap) {
    let reported = async {
        let session = registry.sessions().get(PATIENCE).await?;
        registry.report_leftovers(&*session, &jobs).await
    };
    if let Err(error) = reported.await {
        tracing::warn!(%error, "run states without a job can't be looked for now");
    }
}

/// Says how things are, where that is something new.
fn tell<T: Clone>(known: &watch::Sender<Arc<T>>, now: &T, is_same: impl Fn(&T, &T) -> bool) {
    known.send_if_modified(|known| {
        let modified = !is_same(known, now);
        if modified {
            *known = Arc::new(now.clone());
        }
        modified
    });
}

/// A state of the registry: which node, changed how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    czxid: i64,
    pub(super) version: i32,
}

impl Generation {
    pub(super) fn of(stat: &Stat) -> Self {
        Generation { czxid: stat.czxid, version: stat.version }
    }

    /// Whether both are of the same node, which was not deleted in between.
    pub(super) fn is_of_same_node(self, other: Self) -> bool {
        self.czxid == other.czxid
    }

    /// How many changes lie between; None where it can't be told.
    fn since(self, earlier: Generation) -> Option<usize> {
        let changes = self.version.wrapping_sub(earlier.version);
        usize::try_from(changes).ok().filter(|_| self.czxid == earlier.czxid)
    }
}

struct Follower {
    registry: Registry,
    /// None: never read.
    seen: Option<Seen>,
    jobs: JobMap,
    tenants: Known,
    /// Whether something of these may have been deleted by hand, so that the next audit doesn't wait for its turn.
    suspects: bool,
    /// The next audit is not before that.
    next_audit: Instant,
    /// How many audits in a row failed.
    failed_audits: u32,
}

/// What the registry's own node was when everything that it tells of had been read.
#[derive(Clone, Copy)]
struct Seen {
    generation: Generation,
    deletions: Option<u64>,
}

impl Follower {
    fn new(registry: Registry) -> Self {
        let (jobs, tenants) = (JobMap::default(), Known::default());
        let next_audit = sleep(Duration::ZERO).deadline();
        Follower { registry, seen: None, jobs, tenants, suspects: false, next_audit, failed_audits: 0 }
    }

    /// Brings the map up to date, and gives the watch that tells of the next change. Tries for ever.
    async fn look(&mut self) -> Watch {
        loop {
            match self.try_look().await {
                Ok(watch) => return watch,
                Err(error) => {
                    tracing::warn!(%error, "the registry can't be read, trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn try_look(&mut self) -> Result<Watch, RegistryError> {
        let session = self.registry.sessions().get(PATIENCE).await?;
        let directories = ensure_directories(&*session, self.registry.layout()).await?;
        // The watch is set before anything is read: what changes meanwhile makes it fire.
        let (mut node, mut watch) = session.get_and_watch(&self.registry.node()).await?;
        if node.is_none() {
            ensure_path(&*session, &self.registry.node()).await?;
            if self.seen.is_some() {
                tracing::warn!(node = self.registry.node(), "the registry's node was deleted, and is made again");
            }
            (node, watch) = session.get_and_watch(&self.registry.node()).await?;
        }
        let Some((value, stat)) = node else { return Err(Error::NoNode { path: self.registry.node() }.into()) };
        let watch = watch.or(directories);
        let now = Seen { generation: Generation::of(&stat), deletions: news::deletions(&value) };
        let changes = self.seen.and_then(|seen| now.generation.since(seen.generation));
        match changes.and_then(|changes| news::last(&value, changes)) {
            Some(changed) => {
                for (changed, kind) in changed {
                    self.look_at(&*session, changed, kind).await?;
                }
            }
            // It changes the registry, so the watch fires, and the next look reads everything.
            None if self.read_everything(&*session, now).await? => return Ok(watch),
            None => {}
        }
        self.seen = Some(now);
        Ok(watch)
    }

    /// Reads everything. What this host has in memory and is not there was deleted by hand if the registry's own node was deleted
    /// too, or if that says that nothing was deleted in order since the last look: somebody may still be deleting, and what is
    /// forgotten can't be made again. Returns true if everything is to be read once more, after a repair.
    async fn read_everything(&mut self, session: &dyn Session, now: Seen) -> Result<bool, RegistryError> {
        let mut listing = self.registry.read_all(session).await?;
        let mut settings = self.registry.read_all_settings(session).await?;
        if let Some(seen) = self.seen {
            let missing = Missing::among((&self.jobs, self.tenants.all()), (&listing, &settings));
            let deleted = || Some(now.deletions?.saturating_sub(seen.deletions?));
            if !missing.is_empty() && !seen.generation.is_of_same_node(now.generation) {
                self.registry.restore_missing(session, &missing, now.generation).await?;
                return Ok(true);
            }
            if !missing.is_empty() && deleted() == Some(0) {
                missing.keep_in(&self.jobs, &mut listing, &mut settings);
                self.suspects = true;
            } else if deleted().is_some_and(|deleted| deleted < missing.count()) {
                let names = missing.names();
                tracing::warn!(
                    names,
                    "these are gone, and not all of them were deleted in order: apply again what is missing"
                );
            }
        }
        self.jobs.replace(listing.or_log());
        self.tenants.replace(settings);
        Ok(false)
    }

    /// Makes all jobs and settings of tenants again whose nodes somebody deleted by hand. If nothing is missing any more, nothing is
    /// suspected any more; until then audits follow each other, the longer apart the more of them fail.
    async fn audit(&mut self) {
        let Some(seen) = self.seen else { return };
        let audited = async {
            let session = self.registry.sessions().get(PATIENCE).await?;
            session.sync(&self.registry.node()).await?;
            let missing = self.registry.missing(&*session, &self.jobs, self.tenants.all()).await?;
            self.registry.restore_missing(&*session, &missing, seen.generation).await?;
            Ok::<_, RegistryError>(missing.is_empty())
        };
        match audited.await {
            Ok(nothing_missing) => (self.suspects, self.failed_audits) = (!nothing_missing, 0),
            Err(error) => {
                if self.failed_audits == 0 {
                    tracing::warn!(%error, "what may be missing in the coordinator can't be looked for or made again now");
                }
                self.failed_audits += 1;
            }
        }
        self.next_audit = sleep((RETRY * 2_u32.pow(self.failed_audits.min(10))).min(AUDIT)).deadline();
    }

    /// Reads again what alone has changed. What is not there although nobody deleted it in order is kept, and an audit makes it
    /// again: somebody may delete by hand what was written a moment ago, as a repair does.
    async fn look_at(
        &mut self,
        session: &dyn Session,
        changed: Changed,
        kind: ChangeKind,
    ) -> Result<(), RegistryError> {
        match changed {
            Changed::Job(id) => match (self.registry.read(session, &id).await, kind) {
                (Ok(Some(job)), _) => self.jobs.insert(Arc::new(job)),
                (Ok(None), ChangeKind::Written) => self.suspects = true,
                (Ok(None), ChangeKind::Deleted) => self.jobs.remove(&id),
                (Err(RegistryError::Coordinator(error)), _) => return Err(error.into()),
                (Err(error), _) => {
                    tracing::error!(job = %id, %error, "a stored job can't be read and does not run");
                    self.jobs.remove(&id);
                }
            },
            Changed::Tenant(name) => match (self.registry.read_settings(session, &name).await?, kind) {
                (None, ChangeKind::Written) => self.suspects = true,
                (settings, _) => self.tenants.set(&name, settings),
            },
        }
        Ok(())
    }
}

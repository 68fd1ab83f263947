//! What hosts know of all jobs and of what tenants were set: maps kept up to date by one watch on the registry's own node.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::news::{self, Changed};
use super::tenant_store::Known;
use super::tenants::Tenants;
use super::{JobMap, JobSpec, Registry, RegistryError};
use crate::coordinator::{Session, Stat, Watch};

/// How long a look waits for a session, and between two looks that failed.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);

/// A stored job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What it is.
    pub spec: JobSpec,
    /// How often it was changed since it was created.
    pub version: i32,
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

/// All that a host follows.
#[derive(Clone)]
pub struct Followed {
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
        let mut follower =
            Follower { registry: self.clone(), seen: None, jobs: JobMap::default(), tenants: Known::default() };
        let mut watch = follower.look().await;
        let jobs = watch::Sender::new(Arc::new(follower.jobs.clone()));
        let tenants = watch::Sender::new(Arc::new(follower.tenants.all().clone()));
        let followed = Followed { jobs: jobs.subscribe(), tenants: tenants.subscribe() };
        tokio::spawn(async move {
            loop {
                let nobody_follows = async { tokio::join!(jobs.closed(), tenants.closed()) };
                let look = async {
                    // Also fires when the session is lost; the next look then waits for another.
                    watch.changed().await;
                    follower.look().await
                };
                tokio::select! {
                    _ = nobody_follows => return,
                    next = look => watch = next,
                }
                tell(&jobs, &follower.jobs, JobMap::is_same);
                tell(&tenants, follower.tenants.all(), PartialEq::eq);
            }
        });
        followed
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
#[derive(Clone, Copy, PartialEq, Eq)]
struct Generation {
    czxid: i64,
    version: i32,
}

impl Generation {
    fn of(stat: &Stat) -> Self {
        Generation { czxid: stat.czxid, version: stat.version }
    }

    /// How many changes lie between; None where it can't be told.
    fn since(self, earlier: Generation) -> Option<usize> {
        let changes = self.version.wrapping_sub(earlier.version);
        usize::try_from(changes).ok().filter(|_| self.czxid == earlier.czxid)
    }
}

struct Follower {
    registry: Registry,
    /// None: never read, or there was no registry.
    seen: Option<Generation>,
    jobs: JobMap,
    tenants: Known,
}

impl Follower {
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
        // The watch is set before anything is read: what changes meanwhile makes it fire.
        let (node, watch) = session.get_and_watch(&self.registry.node()).await?;
        let Some((value, stat)) = node else {
            (self.seen, self.jobs) = (None, JobMap::default());
            self.tenants.forget();
            return Ok(watch);
        };
        let now = Generation::of(&stat);
        let changes = self.seen.and_then(|seen| now.since(seen));
        match changes.and_then(|changes| news::last(&value, changes)) {
            Some(changed) => {
                for changed in changed {
                    self.look_at(&*session, changed).await?;
                }
            }
            None => {
                self.jobs.replace(self.registry.read_all(&*session).await?);
                self.tenants.look(&self.registry, &*session).await?;
            }
        }
        self.seen = Some(now);
        Ok(watch)
    }

    /// Reads again what alone has changed.
    async fn look_at(&mut self, session: &dyn Session, changed: Changed) -> Result<(), RegistryError> {
        match changed {
            Changed::Job(id) => match self.registry.read_or_log(session, &id).await? {
                Some(job) => self.jobs.insert(job),
                None => self.jobs.remove(&id),
            },
            Changed::Tenant(name) => self.tenants.look_at(&self.registry, session, &name).await?,
        }
        Ok(())
    }
}

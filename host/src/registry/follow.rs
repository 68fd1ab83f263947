//! What hosts know of all jobs and of what tenants were set: maps kept up to date by one watch on the registry's own node.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::tenant_store::Known;
use super::tenants::{Tenants, check_tenant};
use super::{JobId, JobSpec, Registry, RegistryError};
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
}

/// All jobs at one moment.
pub type Jobs = Arc<BTreeMap<JobId, Arc<Job>>>;

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
            Follower { registry: self.clone(), seen: None, jobs: BTreeMap::new(), tenants: Known::default() };
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
                tell(&jobs, &follower.jobs);
                tell(&tenants, follower.tenants.all());
            }
        });
        followed
    }
}

/// Says how things are, where that is something new.
fn tell<T: Clone + PartialEq>(known: &watch::Sender<Arc<T>>, now: &T) {
    known.send_if_modified(|known| {
        let modified = **known != *now;
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

    /// True when exactly one change lies between.
    fn directly_follows(self, earlier: Generation) -> bool {
        self.czxid == earlier.czxid && self.version == earlier.version.wrapping_add(1)
    }
}

/// What the registry's own node says: what was changed last.
enum Changed {
    Job(JobId),
    /// What a tenant of this name was set.
    Tenant(String),
}

impl Changed {
    /// `TENANT/JOB`, or the name of a tenant. None for what is neither: another program's hand.
    fn parse(value: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(value).ok()?;
        if name.contains('/') {
            return JobId::from_str(name).ok().map(Changed::Job);
        }
        check_tenant(name).ok().map(|()| Changed::Tenant(name.to_owned()))
    }
}

struct Follower {
    registry: Registry,
    /// None: never read, or there was no registry.
    seen: Option<Generation>,
    jobs: BTreeMap<JobId, Arc<super::Job>>,
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
            (self.seen, self.jobs) = (None, BTreeMap::new());
            self.tenants.forget();
            return Ok(watch);
        };
        let now = Generation::of(&stat);
        match (self.seen, Changed::parse(&value)) {
            (Some(seen), _) if seen == now => {}
            (Some(seen), Some(changed)) if now.directly_follows(seen) => self.look_at(&*session, changed).await?,
            (Some(_) | None, Some(_) | None) => {
                self.jobs = BTreeMap::clone(&*self.registry.read_all(&*session).await?);
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
                Some(job) => drop(self.jobs.insert(id, job)),
                None => drop(self.jobs.remove(&id)),
            },
            Changed::Tenant(name) => self.tenants.look_at(&self.registry, session, &name).await?,
        }
        Ok(())
    }
}

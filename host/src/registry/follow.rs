//! What hosts know of all jobs: a map kept up to date by one watch on the registry's own node.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{JobId, JobSpec, Registry, RegistryError};
use crate::coordinator::{Stat, Watch};

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

impl Registry {
    /// Follows all jobs. Returns once they were read for the first time, however long that takes; from then on the map
    /// lags behind the registry while there is no session, and catches up with the next. Ends when the receiver and its
    /// clones are dropped.
    pub async fn follow(&self) -> watch::Receiver<Jobs> {
        let mut follower = Follower { registry: self.clone(), seen: None, jobs: BTreeMap::new() };
        let mut watch = follower.look().await;
        let (jobs, receiver) = watch::channel(Arc::new(follower.jobs.clone()));
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = jobs.closed() => return,
                    // Also fires when the session is lost; the next look then waits for another.
                    () = watch.changed() => {}
                }
                tokio::select! {
                    () = jobs.closed() => return,
                    next = follower.look() => watch = next,
                }
                jobs.send_if_modified(|known| {
                    let modified = **known != follower.jobs;
                    if modified {
                        *known = Arc::new(follower.jobs.clone());
                    }
                    modified
                });
            }
        });
        receiver
    }
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

struct Follower {
    registry: Registry,
    /// None: never read, or there was no registry.
    seen: Option<Generation>,
    jobs: BTreeMap<JobId, Arc<super::Job>>,
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
            return Ok(watch);
        };
        let now = Generation::of(&stat);
        let changed = std::str::from_utf8(&value).ok().and_then(|name| JobId::from_str(name).ok());
        match (self.seen, changed) {
            (Some(seen), _) if seen == now => {}
            (Some(seen), Some(id)) if now.directly_follows(seen) => {
                match self.registry.read_or_log(&*session, &id).await? {
                    Some(job) => self.jobs.insert(id, job),
                    None => self.jobs.remove(&id),
                };
            }
            (Some(_) | None, Some(_) | None) => {
                self.jobs = BTreeMap::clone(&*self.registry.read_all(&*session).await?);
            }
        }
        self.seen = Some(now);
        Ok(watch)
    }
}

//! All stored jobs at once, also those that can't be read.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::store::{Registry, RegistryError, children};
use super::stored::decode;
use super::{Job, JobId};
use crate::coordinator::Session;

/// How many jobs are read with one request, and how many of these are under way at once.
const AT_ONCE: usize = 64;
const REQUESTS: usize = 4;
/// All jobs that are stored.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Those that can be read, in no order.
    pub jobs: Vec<Arc<Job>>,
    /// Those that can't, each with the reason.
    pub unreadable: Vec<(JobId, String)>,
}

/// A stored job, or its name and why it can't be read.
type Found = Result<Arc<Job>, (JobId, String)>;

impl Listing {
    fn take(&mut self, found: Found) {
        match found {
            Ok(job) => self.jobs.push(job),
            Err(unreadable) => self.unreadable.push(unreadable),
        }
    }

    /// Returns those that can be read, and logs the others.
    pub(super) fn or_log(self) -> Vec<Arc<Job>> {
        for (job, error) in self.unreadable {
            tracing::error!(%job, error, "a stored job can't be read and does not run");
        }
        self.jobs
    }
}

impl Registry {
    /// All jobs. What is no job is logged and left out.
    ///
    /// # Errors
    /// What the coordinator says.
    pub async fn list(&self) -> Result<BTreeMap<JobId, Arc<Job>>, RegistryError> {
        let session = self.session().await?;
        session.sync(&self.layout().registry()).await?;
        let jobs = self.read_all(&*session).await?.or_log();
        Ok(jobs.into_iter().map(|job| (job.spec.id.clone(), job)).collect())
    }

    /// All jobs, and the names of those that are stored and can't be read.
    ///
    /// # Errors
    /// What the coordinator says.
    pub async fn list_all(&self) -> Result<Listing, RegistryError> {
        let session = self.session().await?;
        session.sync(&self.layout().registry()).await?;
        self.read_all(&*session).await
    }

    // ---- for following ----

    pub(super) async fn read_all(&self, session: &dyn Session) -> Result<Listing, RegistryError> {
        let mut listing = Listing::default();
        for tenant in children(session, &self.layout().tenants()).await? {
            // Names of another's making are no jobs.
            let names = children(session, &self.layout().jobs(&tenant)).await?;
            let ids: Vec<JobId> = names.iter().filter_map(|name| JobId::new(&tenant, name).ok()).collect();
            let some: Vec<Vec<JobId>> = ids.chunks(AT_ONCE).map(<[JobId]>::to_vec).collect();
            let read = stream::iter(some).map(|some| self.read_some(session, some)).buffered(REQUESTS);
            let mut read = pin!(read);
            while let Some(some) = read.try_next().await? {
                some.into_iter().for_each(|found| listing.take(found));
            }
        }
        Ok(listing)
    }

    async fn read_some(&self, session: &dyn Session, ids: Vec<JobId>) -> Result<Vec<Found>, RegistryError> {
        let paths: Vec<String> = ids.iter().map(|id| self.path(id)).collect();
        let found = session.get_each(&paths).await?;
        let jobs = ids.into_iter().zip(found).filter_map(|(id, found)| {
            let (data, stat) = found?;
            Some(decode(&id, &data, stat).map(Arc::new).map_err(|error| (id, error.to_string())))
        });
        Ok(jobs.collect())
    }
}

//! What must exist in the coordinator for a cluster, a tenant and a job, and how it is made again after somebody deleted it
//! by hand or with a clean-up tool.
//!
//! A job and a tenant's settings are deleted in order only together with a change of the registry's own node. So if one of
//! them is gone while that node is as a host saw it last, somebody deleted it by other means, and the host that still has it
//! in memory makes it again. Every repair is logged at warn, after it is made.

use std::collections::{BTreeMap, HashMap, HashSet};

use tracing::warn;

use super::follow::{Generation, Job};
use super::listing::Listing;
use super::news::ChangeKind;
use super::store::{Registry, RegistryError, children};
use super::stored::encode_again;
use super::tenants::TenantSettings;
use super::{JobId, JobMap, news};
use crate::config::Layout;
use crate::coordinator::{
    CreateMode, Error, MAX_MULTI_BYTES, MAX_MULTI_OPS, MultiError, Op, Session, Watch, ensure_path,
};

/// Creates the cluster's root and those of its directories that are missing, and logs them. Returns a watch that fires when a
/// node directly below the root is created or deleted.
///
/// # Errors
/// What the coordinator says; [`Error::OutcomeUnknown`] may be tried again.
pub async fn ensure_directories(session: &dyn Session, layout: &Layout) -> Result<Watch, Error> {
    let (names, watch) = match session.list_and_watch(layout.root()).await {
        Err(Error::NoNode { .. }) => {
            ensure_path(session, layout.root()).await?;
            warn!(node = layout.root(), "the root of the cluster was missing, and is made again");
            session.list_and_watch(layout.root()).await?
        }
        listed => listed?,
    };
    for directory in layout.directories() {
        let name = directory.rsplit('/').next().unwrap_or_default();
        if !names.iter().any(|there| there == name) {
            ensure_path(session, &directory).await?;
            warn!(node = directory, "a directory of the cluster was missing, and is made again");
        }
    }
    Ok(watch)
}

/// How many nodes are made again at once.
const PORTION: usize = if news::KEPT < MAX_MULTI_OPS / 4 { news::KEPT } else { MAX_MULTI_OPS / 4 };
/// How many names a line of the log has at most.
const MAX_NAMES: usize = 100;
/// The most bytes of the registry's own node: 32 names of a tenant and a job each.
const MAX_NEWS_BYTES: usize = 32 * 128;

/// A node that is missing, and what it held.
struct Lost {
    /// What the registry calls it: `TENANT/JOB`, or a tenant.
    name: String,
    path: String,
    data: Vec<u8>,
}

impl Registry {
    /// Creates what a stored job needs beside its own node: the directories above its nodes, and its run state. What is missing
    /// was deleted by hand, and is logged.
    pub(super) async fn repair_job(&self, session: &dyn Session, id: &JobId) -> Result<(), Error> {
        for directory in self.layout().parents(&id.tenant, &id.name) {
            if session.stat(&directory).await?.is_none() {
                ensure_path(session, &directory).await?;
                warn!(job = %id, node = directory, "a directory of a job was missing, and is made again");
            }
        }
        // A run state is left to the host that leads the job, which may still have it in memory.
        Ok(())
    }

    /// Returns what creates a new job: its node and its run state, whose directories it creates at once. Each job has a run
    /// state from the beginning, so that a missing one means that somebody deleted it and not that nothing ran yet.
    pub(super) async fn create_ops(&self, session: &dyn Session, id: &JobId, data: Vec<u8>) -> Result<Vec<Op>, Error> {
        let make = async |parent: String| match session.stat(&parent).await? {
            Some(_) => Ok(()),
            None => ensure_path(session, &parent).await,
        };
        futures::future::try_join_all(self.layout().parents(&id.tenant, &id.name).map(make)).await?;
        let mut ops = vec![Op::Create { path: self.path(id), data, mode: CreateMode::Persistent }];
        let run_state = self.layout().run_state(&id.tenant, &id.name);
        // One may be left of a deletion that was cut short.
        if session.stat(&run_state).await?.is_none() {
            ops.push(Op::Create { path: run_state, data: Vec::new(), mode: CreateMode::Persistent });
        }
        Ok(ops)
    }

    /// Logs each run state that has no job, neither in `jobs` nor in the coordinator. One listing a tenant.
    ///
    /// A job whose node was deleted by hand while no host ran can't be made again, because no host has it in memory. Its run
    /// state is then all that tells of it.
    pub(super) async fn report_leftovers(&self, session: &dyn Session, jobs: &JobMap) -> Result<(), Error> {
        for tenant in children(session, &self.layout().all_runs()).await? {
            for name in children(session, &self.layout().runs(&tenant)).await? {
                let Ok(id) = JobId::new(&tenant, &name) else { continue };
                // One that is not in the map may have been applied since.
                if !jobs.contains_key(&id) && session.stat(&self.path(&id)).await?.is_none() {
                    warn!(
                        job = %id,
                        node = self.layout().run_state(&tenant, &name),
                        "this run state has no job: the job was deleted without the API while no host ran, or its deletion was \
                         cut short; apply the job again, or remove what is left of it with `silverback delete {id}`"
                    );
                }
            }
        }
        Ok(())
    }

    /// Makes jobs and settings of tenants again, unless they were deleted in order: that is, if the registry is still as it was
    /// `seen` when they were there. If somebody else changes it meanwhile, the rest is left to the next audit.
    pub(super) async fn restore_missing(
        &self,
        session: &dyn Session,
        Missing { jobs, tenants }: &Missing<'_>,
        seen: Generation,
    ) -> Result<(), RegistryError> {
        let mut lost = Vec::with_capacity(jobs.len() + tenants.len());
        for job in jobs {
            self.repair_job(session, &job.spec.id).await?;
            lost.push(Lost { name: job.spec.id.to_string(), path: self.path(&job.spec.id), data: encode_again(job) });
        }
        for (name, settings) in tenants {
            let data = serde_json::to_vec(settings).expect("settings are plain data");
            lost.push(Lost { name: (*name).to_owned(), path: self.layout().tenant(name), data });
        }
        self.restore(session, &lost, seen).await
    }

    /// Creates nodes for as long as the registry is as it was `seen`, and names each of them there. A host that follows reads again
    /// what is named, and no more of it is written at once than the registry tells of.
    async fn restore(&self, session: &dyn Session, lost: &[Lost], mut seen: Generation) -> Result<(), RegistryError> {
        for some in in_multis(lost) {
            let (mut said, stat) = match session.get(&self.node()).await {
                Ok(found) => found,
                // Followers hear of that, and make everything again.
                Err(Error::NoNode { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if seen != Generation::of(&stat) {
                return Ok(());
            }
            let (mut ops, mut version) = (Vec::with_capacity(2 * some.len()), seen.version);
            for Lost { name, path, data } in some {
                ops.push(Op::Create { path: path.clone(), data: data.clone(), mode: CreateMode::Persistent });
                said = news::after(&said, name, ChangeKind::Written);
                ops.push(Op::Set { path: self.node(), data: said.clone(), version: Some(version) });
                version = version.wrapping_add(1);
            }
            match session.multi(ops).await {
                Ok(_) => {
                    seen.version = version;
                    some.iter().for_each(|lost| {
                        warn!(
                            node = lost.path,
                            "somebody deleted this node without the API; it is made again, with version 0"
                        );
                    });
                }
                // Another host was first, or the registry changed meanwhile.
                Err(MultiError::Op { source: Error::NodeExists { .. } | Error::BadVersion { .. }, .. }) => {
                    return Ok(());
                }
                Err(error) => return Err(error.into_error().into()),
            }
        }
        Ok(())
    }

    /// Returns those of `jobs` and `tenants` that have no node. One listing a tenant.
    pub(super) async fn missing<'a>(
        &self,
        session: &dyn Session,
        jobs: &'a JobMap,
        tenants: &'a BTreeMap<String, TenantSettings>,
    ) -> Result<Missing<'a>, RegistryError> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        jobs.values().for_each(|job| *counts.entry(job.spec.id.tenant.as_str()).or_default() += 1);
        let mut missing = Missing::default();
        for (tenant, count) in counts {
            let names = children(session, &self.layout().jobs(tenant)).await?;
            let is_known = |name: &&String| JobId::new(tenant, name).is_ok_and(|id| jobs.contains_key(&id));
            if names.iter().filter(is_known).count() < count {
                let is_gone = |job: &&Job| job.spec.id.tenant == tenant && !names.contains(&job.spec.id.name);
                missing.jobs.extend(jobs.values().map(AsRef::as_ref).filter(is_gone));
            }
        }
        let there = children(session, &self.layout().tenant_settings()).await?;
        missing.keep_tenants(tenants, |name| there.contains(name));
        Ok(missing)
    }
}

/// What a host has in memory and has no node.
#[derive(Debug, Default)]
pub(super) struct Missing<'a> {
    jobs: Vec<&'a Job>,
    tenants: Vec<(&'a str, &'a TenantSettings)>,
}

impl<'a> Missing<'a> {
    /// Returns those of `jobs` and `tenants` that are not among what was read of the coordinator.
    pub(super) fn among(
        (jobs, tenants): (&'a JobMap, &'a BTreeMap<String, TenantSettings>),
        (listing, settings): (&Listing, &BTreeMap<String, TenantSettings>),
    ) -> Self {
        let ids = listing.jobs.iter().map(|job| &job.spec.id).chain(listing.unreadable.iter().map(|(id, _)| id));
        let there: HashSet<&JobId> = ids.collect();
        let is_gone = |job: &&Job| !there.contains(&job.spec.id);
        let mut missing =
            Missing { jobs: jobs.values().map(AsRef::as_ref).filter(is_gone).collect(), tenants: Vec::new() };
        missing.keep_tenants(tenants, |name| settings.contains_key(name));
        missing
    }

    /// Adds what is missing to what was read.
    pub(super) fn keep_in(
        &self,
        known: &JobMap,
        listing: &mut Listing,
        settings: &mut BTreeMap<String, TenantSettings>,
    ) {
        listing.jobs.extend(self.jobs.iter().filter_map(|job| known.get(&job.spec.id).cloned()));
        settings.extend(self.tenants.iter().map(|(name, settings)| ((*name).to_owned(), (*settings).clone())));
    }

    pub(super) fn count(&self) -> u64 {
        (self.jobs.len() + self.tenants.len()) as u64
    }

    /// Returns the names of the first of them, for people.
    pub(super) fn names(&self) -> String {
        let jobs = self.jobs.iter().map(|job| job.spec.id.to_string());
        let names: Vec<String> =
            jobs.chain(self.tenants.iter().map(|(name, _)| (*name).to_owned())).take(MAX_NAMES).collect();
        let more = self.count() - names.len() as u64;
        if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
    }

    fn keep_tenants(&mut self, tenants: &'a BTreeMap<String, TenantSettings>, is_there: impl Fn(&String) -> bool) {
        let gone = tenants.iter().filter(|(name, _)| !is_there(name));
        self.tenants.extend(gone.map(|(name, settings)| (name.as_str(), settings)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.tenants.is_empty()
    }
}

/// Splits what is lost into portions of which the registry's own node tells all, and whose multis stay within half of the limits.
fn in_multis(lost: &[Lost]) -> Vec<&[Lost]> {
    let mut portions = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, one) in lost.iter().enumerate() {
        // With what the registry's node then says: at most 32 names.
        let size = one.path.len() + one.data.len() + MAX_NEWS_BYTES;
        if at > start && (bytes + size > MAX_MULTI_BYTES / 2 || at - start >= PORTION) {
            portions.push(&lost[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    portions.push(&lost[start..]);
    portions.retain(|portion| !portion.is_empty());
    portions
}

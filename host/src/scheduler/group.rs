//! The duty of leading a group: keep the schedule of each of its jobs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use silverback_election::Report;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::group_of::group_of;
use super::keeper::{Keeper, Order, Retire, TriggerError};
use crate::candidacy::{Duty, Served};
use crate::capability::Gate;
use crate::clock::Clock;
use crate::config::Layout;
use crate::history::History;
use crate::registry::{Job, JobId, Jobs, Trigger};
use crate::runtime::Components;

/// What all groups of a host share.
pub struct Scheduling {
    /// This host's name.
    pub host: String,
    /// How many groups the cluster has.
    pub groups: u32,
    /// Where things live.
    pub layout: Layout,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
    /// Runs the jobs.
    pub components: Components,
    /// Keeps their records.
    pub history: History,
    /// All jobs of the cluster.
    pub jobs: watch::Receiver<Jobs>,
    /// Where schedules are kept: not on the threads of the session, nor on those of the guests.
    pub handle: Handle,
    /// The jobs that are kept here now, and how to give each an order.
    pub kept: Mutex<HashMap<JobId, mpsc::Sender<Order>>>,
}

impl Scheduling {
    /// Runs a job now, beside its schedule. Gives the run's id once it is begun.
    ///
    /// # Errors
    /// [`TriggerError::NotHere`] where this host doesn't lead the job's group.
    pub async fn trigger(&self, job: &JobId) -> Result<String, TriggerError> {
        let orders = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(job).cloned();
        let (answer, answered) = oneshot::channel();
        orders.ok_or(TriggerError::NotHere)?.send(Order { answer }).await.map_err(|_| TriggerError::NotHere)?;
        answered.await.unwrap_or(Err(TriggerError::NotHere))
    }

    /// By the wall clock.
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }
}

/// Leads one group.
pub struct GroupDuty {
    /// Which.
    pub group: u32,
    /// What it shares with the others.
    pub scheduling: Arc<Scheduling>,
}

#[async_trait]
impl Duty for GroupDuty {
    async fn serve(&self, gate: Arc<Gate>) -> Served {
        let term = Term { group: self.group, scheduling: self.scheduling.clone(), gate, keepers: BTreeMap::new() };
        let served = self.scheduling.handle.spawn(term.serve()).await;
        if let Err(panicked) = served {
            std::panic::resume_unwind(panicked.into_panic());
        }
        Served::with(Report::Done)
    }
}

/// A keeper under way.
struct Kept {
    mzxid: i64,
    retire: watch::Sender<Retire>,
}

impl Kept {
    /// Who is to stop at once stays so, even where a job of the same name comes after.
    fn retire(&self, how: Retire) {
        self.retire.send_if_modified(|now| *now != Retire::Now && std::mem::replace(now, how) != how);
    }
}

struct Term {
    group: u32,
    scheduling: Arc<Scheduling>,
    gate: Arc<Gate>,
    keepers: BTreeMap<JobId, Kept>,
}

impl Term {
    async fn serve(mut self) {
        let mut jobs = self.scheduling.jobs.clone();
        let mut stop = self.gate.stop_asked();
        let mut tasks = JoinSet::new();
        loop {
            let all = jobs.borrow_and_update().clone();
            let wanted = self.wanted(&all);
            self.retire_unwanted(&all, &wanted);
            self.start_missing(wanted, &mut tasks);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = tasks.join_next() => self.forget(ended),
                changed = jobs.changed() => if changed.is_err() { break },
            }
        }
        // Each keeper sees for itself that the group stops, ends its run and writes how it ended.
        while let Some(ended) = tasks.join_next().await {
            self.forget(ended);
        }
    }

    fn wanted(&self, jobs: &Jobs) -> BTreeMap<JobId, Arc<Job>> {
        let groups = self.scheduling.groups;
        let ours = jobs.iter().filter(|(id, job)| {
            matches!(job.spec.trigger, Trigger::Schedule { .. })
                && !job.spec.paused
                && group_of(id, groups) == self.group
        });
        ours.map(|(id, job)| (id.clone(), job.clone())).collect()
    }

    /// A changed job's run goes on to its end; a deleted job's is stopped.
    fn retire_unwanted(&self, all: &Jobs, wanted: &BTreeMap<JobId, Arc<Job>>) {
        for (id, kept) in &self.keepers {
            if wanted.get(id).is_none_or(|job| job.mzxid != kept.mzxid) {
                kept.retire(if all.contains_key(id) { Retire::AfterRun } else { Retire::Now });
            }
        }
    }

    fn start_missing(&mut self, wanted: BTreeMap<JobId, Arc<Job>>, tasks: &mut JoinSet<JobId>) {
        // Keepers end by themselves with the lease, a moment before the group is told to stop.
        if self.gate.is_over() {
            return;
        }
        for (id, job) in wanted {
            if self.keepers.contains_key(&id) {
                continue;
            }
            let (retire, retired) = watch::channel(Retire::No);
            self.keepers.insert(id, Kept { mzxid: job.mzxid, retire });
            let keeper = Keeper::new(self.scheduling.clone(), self.gate.clone(), job, retired);
            tasks.spawn(keeper.keep());
        }
    }

    /// A keeper that ended is forgotten, and started anew at the next look where its job is still wanted.
    fn forget(&mut self, ended: Result<JobId, tokio::task::JoinError>) {
        match ended {
            Ok(id) => {
                self.keepers.remove(&id);
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
}

//! The duty of leading a group: keep the schedule of each of its jobs. What all groups of a host share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use silverback_election::Report;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::order::{Order, TriggerError};
use super::pipeline::Pipelines;
use super::runner::Runner;
use super::term::Term;
use super::turns::Turns;
use crate::candidacy::{Duty, Served, Timeline};
use crate::capability::Gate;
use crate::clock::Clock;
use crate::config::Layout;
use crate::history::History;
use crate::registry::{JobId, Jobs, MissingJobs, Problems, Secrets, group_of};

/// How many orders may wait for a group to hear them.
const ORDERS: usize = 16;

/// What all groups of a host share.
pub struct Scheduling {
    /// This host's name.
    pub host: String,
    /// How many groups the cluster has.
    pub groups: u32,
    /// Where things live.
    pub layout: Layout,
    /// Where runs have their secrets from.
    pub secrets: Secrets,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
    /// Runs the jobs.
    pub runner: Arc<dyn Runner>,
    /// Whose run may begin next.
    pub turns: Turns,
    /// The ways to the coordinator.
    pub pipelines: Pipelines,
    /// Keeps their records.
    pub history: History,
    /// All jobs of the cluster.
    pub jobs: watch::Receiver<Jobs>,
    /// Takes reports of jobs whose node is missing.
    pub missing: MissingJobs,
    /// What keeps jobs from going on at this host.
    pub problems: Problems,
    /// Says when the ensemble was last restored from an older state.
    pub timeline: Arc<Timeline>,
    /// Where schedules are kept: not on the threads of the session, nor on those of the guests.
    pub handle: Handle,
    /// The groups that are led here now, and how to give each an order.
    pub led: Led,
}

/// The groups that are led here now.
#[derive(Default)]
pub struct Led(Mutex<HashMap<u32, mpsc::Sender<Told>>>);

/// An order for one job.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) job: JobId,
    pub(super) order: Order,
}

impl Led {
    fn groups(&self) -> MutexGuard<'_, HashMap<u32, mpsc::Sender<Told>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheduling {
    /// Runs a job now, beside its schedule. Gives the run's id once it is begun.
    ///
    /// # Errors
    /// [`TriggerError::NotHere`] where this host doesn't lead the job's group.
    pub async fn trigger(&self, job: &JobId) -> Result<String, TriggerError> {
        self.tell(job, Order::Run).await
    }

    /// Runs the ticks of a job from `from` to `to`, both included, one after another beside its schedule. Gives how many they
    /// are.
    ///
    /// # Errors
    /// [`TriggerError::NotHere`] where this host doesn't lead the job's group, [`TriggerError::Backfill`] where the span can't
    /// be filled in.
    pub async fn backfill(&self, job: &JobId, from: Timestamp, to: Timestamp) -> Result<usize, TriggerError> {
        self.tell(job, |answer| Order::Backfill { from, to, answer }).await
    }

    /// Counts a job's ticks up to `to` as decided and those after it as not. Gives the time back once that is written.
    ///
    /// # Errors
    /// [`TriggerError::NotHere`] where this host doesn't lead the job's group, [`TriggerError::Future`] for a time that is yet to
    /// come.
    pub async fn set_cursor(&self, job: &JobId, to: Timestamp) -> Result<Timestamp, TriggerError> {
        self.tell(job, |answer| Order::SetCursor { to, answer }).await
    }

    async fn tell<T>(
        &self,
        job: &JobId,
        order: impl FnOnce(oneshot::Sender<Result<T, TriggerError>>) -> Order,
    ) -> Result<T, TriggerError> {
        let led = self.led.groups().get(&group_of(job, self.groups)).cloned();
        let (answer, answered) = oneshot::channel();
        let told = Told { job: job.clone(), order: order(answer) };
        led.ok_or(TriggerError::NotHere)?.send(told).await.map_err(|_| TriggerError::NotHere)?;
        answered.await.unwrap_or(Err(TriggerError::NotHere))
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
        let (orders, received) = mpsc::channel(ORDERS);
        self.scheduling.led.groups().insert(self.group, orders.clone());
        let term = Term::new(self.group, self.scheduling.clone(), gate, received);
        let served = self.scheduling.handle.spawn(term.serve()).await;
        let mut led = self.scheduling.led.groups();
        if led.get(&self.group).is_some_and(|now| now.same_channel(&orders)) {
            led.remove(&self.group);
        }
        drop(led);
        if let Err(panicked) = served {
            std::panic::resume_unwind(panicked.into_panic());
        }
        Served::with(Report::Done)
    }
}

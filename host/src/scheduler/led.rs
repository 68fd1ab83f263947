//! Takes orders to the group that leads their job, and lets them wait a while for its term to begin.
//!
//! Who sees in the queue that a host leads may be ahead of that host: its term is about to begin, or it hasn't heard of the job
//! yet. So an order waits for both. Until a keeper has taken it, it can be withdrawn; from then on it is answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout_at};

use super::group::Scheduling;
use super::order::{Order, TriggerError};
use crate::registry::{JobId, group_of};

/// How long an order waits until the host leads the job's group and knows the job.
const PATIENCE: Duration = Duration::from_secs(5);

/// The groups that are led here now, and how to give each an order.
#[derive(Default)]
pub struct Led(watch::Sender<HashMap<u32, mpsc::Sender<Told>>>);

/// An order for one job.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) job: JobId,
    pub(super) order: Order,
    pub(super) claim: Claim,
}

/// Whether an order is taken, to be carried out, or withdrawn: one of the two, and only once.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Takes or withdraws the order. False if the other was done before.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether neither was done.
    pub(super) fn is_open(&self) -> bool {
        !self.0.load(Ordering::SeqCst)
    }
}

/// Withdraws an order that nobody waits for any more.
struct Waits(Claim);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.take();
    }
}

impl Led {
    /// A group's term begins, which takes orders.
    pub(super) fn begins(&self, group: u32, orders: mpsc::Sender<Told>) {
        self.0.send_modify(|led| drop(led.insert(group, orders)));
    }

    /// The term that took these orders is over.
    pub(super) fn is_over(&self, group: u32, orders: &mpsc::Sender<Told>) {
        self.0.send_if_modified(|led| {
            led.get(&group).is_some_and(|now| now.same_channel(orders)) && led.remove(&group).is_some()
        });
    }

    /// Waits until the group is led here.
    async fn orders(&self, group: u32) -> mpsc::Sender<Told> {
        let mut led = self.0.subscribe();
        loop {
            if let Some(orders) = led.borrow_and_update().get(&group).filter(|orders| !orders.is_closed()) {
                return orders.clone();
            }
            // It never ends: the sender is borrowed here.
            let _ = led.changed().await;
        }
    }
}

impl Scheduling {
    /// Runs a job now, beside its schedule. Gives the run's id once it is begun.
    ///
    /// # Errors
    /// [`TriggerError::NotHere`] where this host doesn't lead the job's group, nor comes to within a few seconds.
    pub async fn trigger(&self, job: &JobId) -> Result<String, TriggerError> {
        self.trigger_within(job, PATIENCE).await
    }

    pub(super) async fn trigger_within(&self, job: &JobId, patience: Duration) -> Result<String, TriggerError> {
        self.tell(job, patience, Order::Run).await
    }

    /// Runs the ticks of a job from `from` to `to`, both included, one after another beside its schedule. Gives how many they
    /// are.
    ///
    /// # Errors
    /// As [`Self::trigger`], and [`TriggerError::Backfill`] where the span can't be filled in.
    pub async fn backfill(&self, job: &JobId, from: Timestamp, to: Timestamp) -> Result<usize, TriggerError> {
        self.tell(job, PATIENCE, |answer| Order::Backfill { from, to, answer }).await
    }

    /// Counts a job's ticks up to `to` as decided and those after it as not. Gives the time back once that is written.
    ///
    /// # Errors
    /// As [`Self::trigger`], and [`TriggerError::Future`] for a time that is yet to come.
    pub async fn set_cursor(&self, job: &JobId, to: Timestamp) -> Result<Timestamp, TriggerError> {
        self.set_cursor_within(job, to, PATIENCE).await
    }

    pub(super) async fn set_cursor_within(
        &self,
        job: &JobId,
        to: Timestamp,
        patience: Duration,
    ) -> Result<Timestamp, TriggerError> {
        self.tell(job, patience, |answer| Order::SetCursor { to, answer }).await
    }

    /// An order that is refused because a term ends is given to the next one, as long as there is patience left.
    async fn tell<T>(
        &self,
        job: &JobId,
        patience: Duration,
        order: impl Fn(oneshot::Sender<Result<T, TriggerError>>) -> Order,
    ) -> Result<T, TriggerError> {
        let deadline = sleep(patience).deadline();
        let group = group_of(job, self.groups);
        loop {
            let Ok(orders) = timeout_at(deadline, self.led.orders(group)).await else {
                return Err(TriggerError::NotHere);
            };
            let (answer, mut answered) = oneshot::channel();
            let claim = Claim::default();
            let _waits = Waits(claim.clone());
            let told = Told { job: job.clone(), order: order(answer), claim: claim.clone() };
            match timeout_at(deadline, orders.send(told)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => continue,
                Err(_) => return Err(TriggerError::NotHere),
            }
            let answer = match timeout_at(deadline, &mut answered).await {
                Ok(answer) => answer,
                Err(_) if claim.take() => return Err(TriggerError::NotHere),
                // It is being carried out, which takes as long as it takes.
                Err(_) => answered.await,
            };
            match answer {
                // Nothing was begun. The next try ends at once if the time is over.
                Ok(Err(TriggerError::NotHere)) => {}
                // It went with its term, and no keeper had it.
                Err(_) if claim.take() => {}
                Err(_) => return Err(TriggerError::NotHere),
                Ok(answer) => return answer,
            }
        }
    }
}

//! Where guests compute. Each begins on the prompt threads; those of a tenant whose guests compute for long have their turns on
//! the patient ones, which give way to all else on the machine. So what has something short to do never waits behind what has
//! not, and no clock could tell beforehand which is which: the idea of multi-level feedback queues (Corbató, Merwin-Daggett and
//! Daley, "An experimental time-sharing system", 1962), with the tenant's whole computing as what moves it.
//!
//! Only the turns themselves are on the patient threads. What wakes a guest, what it waits for and what stops it is seen to on
//! the prompt ones, and a guest that is to be stopped doesn't wait for a turn.

mod account;
mod ride;
mod slots;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use self::account::Accounts;
use self::ride::Ride;
use self::slots::Slots;
use super::cpu_time::CpuTime;
use crate::clock::Clock;

/// Threads for guests, and for nothing else: one guest can keep one of them busy for a tick of the epoch.
#[derive(Debug)]
pub struct GuestThreads {
    prompt: Runtime,
    patient: Runtime,
    slots: Arc<Slots>,
    accounts: Arc<Accounts>,
}

/// Where guests compute.
#[derive(Clone, Debug)]
pub struct Lanes {
    prompt: Handle,
    patient: Option<Patient>,
}

#[derive(Clone, Debug)]
struct Patient {
    threads: Handle,
    slots: Arc<Slots>,
    accounts: Arc<Accounts>,
}

impl GuestThreads {
    /// As many prompt threads as there are processors, and as many patient ones.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn start() -> std::io::Result<Self> {
        Self::with(available_parallelism().map_or(1, std::num::NonZero::get))
    }

    fn with(threads: usize) -> std::io::Result<Self> {
        let prompt = Builder::new_multi_thread()
            .thread_name("silverback-guests")
            .worker_threads(threads)
            // After each guest's turn, and not only after many, waits of other guests are looked at.
            .event_interval(1)
            .global_queue_interval(1)
            .enable_all()
            .build()?;
        let patient = Builder::new_multi_thread()
            .thread_name("silverback-patient")
            .worker_threads(threads)
            .on_thread_start(give_way)
            .build()?;
        Ok(GuestThreads { prompt, patient, slots: Slots::new(threads), accounts: Arc::default() })
    }

    /// Where guests compute.
    pub fn lanes(&self) -> Lanes {
        let threads = self.patient.handle().clone();
        let patient = Patient { threads, slots: self.slots.clone(), accounts: self.accounts.clone() };
        Lanes { prompt: self.prompt.handle().clone(), patient: Some(patient) }
    }

    /// Ends the threads; what is on them is dropped, after so long at the latest.
    pub fn shut_down(self, patience: Duration) {
        self.prompt.shutdown_timeout(patience);
        self.patient.shutdown_timeout(patience);
    }
}

/// One lane for all, on threads that are somebody's own.
impl From<Handle> for Lanes {
    fn from(threads: Handle) -> Self {
        Lanes { prompt: threads, patient: None }
    }
}

impl Lanes {
    /// Brings a tenant's guest to its end. What `stop` gives returns when it is only to be stopped any more.
    pub(super) fn spawn(
        &self,
        tenant: &str,
        clock: &Arc<dyn Clock>,
        cpu: Arc<CpuTime>,
        stop: impl Fn() -> ride::Guest + Send + 'static,
        guest: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        // It is some kilobytes large, and would be copied with each step from here to its thread.
        let mut guest = Box::pin(guest);
        let Some(patient) = &self.patient else {
            return self.prompt.spawn(poll_fn(move |context| cpu.turn(|| guest.as_mut().poll(context)).0));
        };
        let account = patient.accounts.of(tenant, clock.boot());
        self.prompt.spawn(Ride::new(guest, Box::new(stop), account, self.prompt.clone(), patient, clock, cpu))
    }
}

/// A patient thread computes when nothing else on its processor wants to: with the lowest nice value it would keep what wakes
/// there waiting for a slice of its time.
fn give_way() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy) {
        tracing::warn!(?error, "the threads of guests that compute for long don't give way to the others");
    }
}

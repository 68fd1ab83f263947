//! The duty of leading a group: keep the schedule of each of its jobs. What all groups of a host share.

use std::sync::Arc;

use async_trait::async_trait;
use silverback_election::Report;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::led::Led;
use super::pipeline::Pipelines;
use super::runner::Runner;
use super::term::Term;
use super::turns::Turns;
use crate::candidacy::{Duty, Served, Timeline};
use crate::capability::Gate;
use crate::clock::Clock;
use crate::config::Layout;
use crate::history::History;
use crate::registry::{Jobs, MissingJobs, Problems, Secrets};

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
        self.scheduling.led.begins(self.group, orders.clone());
        let term = Term::new(self.group, self.scheduling.clone(), gate, received);
        let served = self.scheduling.handle.spawn(term.serve()).await;
        self.scheduling.led.is_over(self.group, &orders);
        if let Err(panicked) = served {
            std::panic::resume_unwind(panicked.into_panic());
        }
        Served::with(Report::Done)
    }
}

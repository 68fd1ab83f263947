//! A host that leads the group: the scheduler as the product has it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::memory::InMemory;
use silverback::candidacy::{Duty, Served, Timeline};
use silverback::capability::{Gate, Lease};
use silverback::clock::Clock;
use silverback::coordinator::{CreateMode, Session};
use silverback::history::History;
use silverback::registry::{MissingJobs, Problems, Secrets, Tenants};
use silverback::scheduler::{GroupDuty, Led, Pipelines, Scheduling, Turns};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::guest::Pretender;
use super::wire::Wire;
use super::{FOR_EVER, World};
use crate::chance::Chance;

/// How long guests that were asked to stop are waited for.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct Host {
    gate: Arc<Gate>,
    /// Past all faults.
    session: Arc<dyn Session>,
    serving: JoinHandle<Served>,
}

impl Host {
    /// Stands, wins, and begins to lead.
    pub(super) async fn lead(name: &str, wire: Arc<Wire>, world: &mut World) -> Self {
        let contender = format!("{}/{name}__lock__", world.layout.group(0));
        // How a term is won is another's to test.
        let session = world.onlooker.clone();
        let contender = session.create(&contender, name.as_bytes(), CreateMode::PersistentSequential).await.unwrap();
        let token = session.stat(&contender).await.unwrap().unwrap().czxid;
        let clock: Arc<dyn Clock> = Arc::new(world.clock);
        let lease = Lease::new(clock.clone());
        lease.extend(clock.boot() + FOR_EVER);
        let gate = Gate::new(wire, contender, token, name.to_owned(), lease);
        let tenants: watch::Receiver<Tenants> = watch::channel(Tenants::default()).1;
        let chance = Chance::seeded(world.chance.below(usize::MAX) as u64);
        let scheduling = Arc::new(Scheduling {
            host: name.to_owned(),
            groups: 1,
            layout: world.layout.clone(),
            secrets: Secrets::new(None, world.layout.clone()),
            clock: clock.clone(),
            runner: Arc::new(Pretender(Arc::new(Mutex::new(chance)))),
            turns: Turns::new(4, tenants, clock.clone(), Handle::current()),
            history: History::new(Arc::new(InMemory::new()), name, clock),
            jobs: world.jobs.clone(),
            missing: MissingJobs::ignored(),
            problems: Problems::default(),
            timeline: Timeline::unkept(),
            handle: Handle::current(),
            led: Led::default(),
            pipelines: Pipelines::default(),
        });
        let (duty, served) = (GroupDuty { group: 0, scheduling }, gate.clone());
        let serving = tokio::spawn(async move { duty.serve(served).await });
        Host { gate, session, serving }
    }

    /// Gives up in order: guests are waited for, then stopped.
    pub(super) async fn drain(self) {
        self.gate.ask_stop();
        let Host { gate, session, mut serving } = self;
        if tokio::time::timeout(GRACE, &mut serving).await.is_err() {
            gate.end();
            serving.await.unwrap();
        }
        gate.end();
        session.delete(gate.contender(), None).await.unwrap();
    }

    /// It is dead: the ensemble drops its contender, and whatever of it is still there gets nowhere.
    pub(super) async fn end(self) {
        self.session.delete(self.gate.contender(), None).await.unwrap();
        self.gate.end();
        self.serving.await.unwrap();
    }
}

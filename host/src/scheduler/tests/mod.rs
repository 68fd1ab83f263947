//! Groups that are led by hand, on a coordinator in memory and a real runtime.

mod bugs;
mod commit;
mod handover;
mod jobs;
mod orders;
mod policies;
mod problems;
mod removed;
mod ticks;
mod turns;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::plan::JobState;
use super::{GroupDuty, Led as LedGroups, Pipelines, Scheduling, Turns};
use crate::artifact::Artifacts;
use crate::candidacy::{Duty, Served, Timeline};
use crate::capability::{Gate, Lease};
use crate::clock::{self, Clock, SetClock};
use crate::config::Layout;
use crate::coordinator::{Coordinator, CreateMode, Embedded, Session, Sessions, ensure_path};
use crate::history::{History, Outcome, RunRecord};
use crate::registry::{
    Digest, Followed, JobId, JobSpec, Jobs, KeptPolicies, Limits, MissingJobs, PassedOver, Problems, Registry,
    ScheduleSpec, Secrets, Trigger,
};
use crate::runtime::tests::{OK, guest, waiting_guest};
use crate::runtime::{Components, Runtime, RuntimeSettings};

/// Long beside what a test should take, short beside what a person waits.
const HANGS: Duration = Duration::from_secs(20);
/// Longer than any test.
const AMPLE: Duration = Duration::from_secs(60);

/// Fails the test where what is awaited does not come.
async fn soon<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, awaited).await.unwrap_or_else(|_| panic!("{what} does not come"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Returns at once.
fn quick() -> Vec<u8> {
    guest(OK)
}

/// Waits to be asked to stop, and then returns.
fn patient() -> Vec<u8> {
    waiting_guest(&format!("(drop (call $sleep (i64.const 3600000))) {OK}"))
}

/// Never returns.
fn endless() -> Vec<u8> {
    guest("(loop $again (br $again)) (unreachable)")
}

/// A cluster of one group.
struct Place {
    clock: Arc<dyn Clock>,
    embedded: Arc<Embedded>,
    onlooker: Arc<dyn Session>,
    layout: Layout,
    registry: Registry,
    jobs: watch::Receiver<Jobs>,
    missing: MissingJobs,
    runtime: Arc<Runtime>,
    folder: TempDir,
}

impl Place {
    async fn new(clock: Arc<dyn Clock>) -> Self {
        let embedded = Arc::new(Embedded::in_memory(clock.clone(), AMPLE));
        let coordinator: Arc<dyn Coordinator> = embedded.clone();
        let sessions = Sessions::open(coordinator, HANGS).await.unwrap();
        let layout = Layout::new("/zoo");
        let registry = Registry::new(sessions, layout.clone());
        let Followed { missing, jobs, .. } = registry.follow_all().await;
        let settings = RuntimeSettings { max_runs: 8, ..RuntimeSettings::default() };
        let runtime = Runtime::new(settings, Handle::current(), clock::system()).unwrap();
        let onlooker = embedded.connect(HANGS).await.unwrap();
        ensure_path(onlooker.as_ref(), &layout.group(0)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        Place { clock, embedded, onlooker, layout, registry, jobs, missing, runtime, folder }
    }

    fn store(&self) -> Arc<LocalFileSystem> {
        Arc::new(LocalFileSystem::new_with_prefix(self.folder.path()).unwrap())
    }

    /// Stores a job with its component, and waits until hosts know of it.
    async fn apply(&self, name: &str, schedule: &str, component: Vec<u8>) -> JobId {
        self.apply_with(name, schedule, component, Limits::SCHEDULED).await
    }

    async fn apply_with(&self, name: &str, schedule: &str, component: Vec<u8>, limits: Limits) -> JobId {
        let digest = self.put(component).await;
        self.apply_spec(spec(name, schedule, digest, limits)).await
    }

    async fn put(&self, component: Vec<u8>) -> Digest {
        Artifacts::new(self.store()).put(component.into()).await.unwrap()
    }

    async fn apply_spec(&self, spec: JobSpec) -> JobId {
        self.registry.apply(&spec).await.unwrap();
        let known = |jobs: &Jobs| jobs.get(&spec.id).is_some_and(|job| job.spec == spec);
        soon("the job", self.jobs.clone().wait_for(known)).await.unwrap();
        spec.id
    }

    /// What the coordinator keeps of a job's runs, once it is as wanted.
    async fn until(&self, job: &JobId, wanted: impl Fn(&JobState) -> bool) -> JobState {
        let path = self.layout.run_state(&job.tenant, &job.name);
        soon("the run state", async {
            loop {
                let (found, mut watch) = self.onlooker.get_and_watch(&path).await.unwrap();
                if let Some(state) =
                    found.map(|(value, _)| JobState::from_bytes(&value).unwrap()).filter(|state| wanted(state))
                {
                    return state;
                }
                watch.changed().await;
            }
        })
        .await
    }

    /// What the coordinator keeps of a job's runs now.
    async fn state(&self, job: &JobId) -> JobState {
        self.until(job, |_| true).await
    }

    /// Leads the group as this host, until it is told to stop.
    async fn lead(&self, host: &str) -> Led {
        self.lead_with(self.scheduling(host, self.jobs.clone())).await
    }

    /// As [`Self::lead`], on a host whose API may have been asked something before.
    async fn lead_with(&self, scheduling: Arc<Scheduling>) -> Led {
        let host = scheduling.host.as_str();
        let session = self.embedded.connect(HANGS).await.unwrap();
        let contender = format!("{}/{host}__lock__", self.layout.group(0));
        let contender = session.create(&contender, host.as_bytes(), CreateMode::EphemeralSequential).await.unwrap();
        let token = session.stat(&contender).await.unwrap().unwrap().czxid;
        let lease = Lease::new(clock::system());
        lease.extend(clock::system().boot() + AMPLE);
        let gate = Gate::new(session.clone(), contender, token, host.to_owned(), lease);
        let duty = GroupDuty { group: 0, scheduling: scheduling.clone() };
        let served = gate.clone();
        let serving = tokio::spawn(async move { duty.serve(served).await });
        Led { session, gate, scheduling, serving }
    }

    /// A host that leads nothing yet, and knows these jobs.
    fn scheduling(&self, host: &str, jobs: watch::Receiver<Jobs>) -> Arc<Scheduling> {
        let artifacts = Artifacts::new(self.store());
        let nobody = Arc::new(|_| Box::pin(async { None }) as futures::future::BoxFuture<'static, _>);
        Arc::new(Scheduling {
            host: host.to_owned(),
            groups: 1,
            layout: self.layout.clone(),
            secrets: Secrets::new(None, self.layout.clone()),
            clock: self.clock.clone(),
            runner: Arc::new(Components::new(self.runtime.clone(), artifacts, nobody)),
            turns: Turns::new(8, watch::channel(Default::default()).1, self.clock.clone(), Handle::current()),
            history: History::new(self.store(), host, self.clock.clone()),
            jobs,
            missing: self.missing.clone(),
            problems: Problems::default(),
            timeline: Timeline::unkept(),
            handle: Handle::current(),
            led: LedGroups::default(),
            pipelines: Pipelines::default(),
        })
    }
}

fn spec(name: &str, schedule: &str, component: Digest, limits: Limits) -> JobSpec {
    JobSpec {
        id: JobId::new("acme", name).unwrap(),
        component,
        trigger: Trigger::Schedule { times: ScheduleSpec::new(schedule), policies: KeptPolicies::default() },
        limits,
        config: BTreeMap::new(),
        secrets: Default::default(),
        http: Default::default(),
        paused: None,
    }
}

/// A group that is led.
struct Led {
    session: Arc<dyn Session>,
    gate: Arc<Gate>,
    scheduling: Arc<Scheduling>,
    serving: JoinHandle<Served>,
}

impl Led {
    /// Asks it to stop, waits for that, and gives the lead up.
    async fn drain(self) {
        self.gate.ask_stop();
        soon("the end of the duty", self.serving).await.unwrap();
        self.gate.end();
        self.session.close().await;
    }

    /// This host's record of a run, once it has ended.
    async fn ended(&self, job: &JobId, run: &str) -> RunRecord {
        soon("the record", async {
            loop {
                let runs = self.scheduling.history.own_runs(job, 100).await.unwrap();
                if let Some(record) = runs.into_iter().find(|record| record.run == run && record.outcome.is_some()) {
                    return record;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// Ticks and outcomes, newest first.
fn ring(state: &JobState) -> Vec<(Option<Timestamp>, Outcome)> {
    state.outcomes.iter().map(|record| (record.of.tick(), record.outcome)).collect()
}

fn count(state: &JobState, outcome: Outcome) -> usize {
    state.outcomes.iter().filter(|kept| kept.outcome == outcome).count()
}

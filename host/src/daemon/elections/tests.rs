//! One host's elections, on a coordinator in memory, with real guests.

mod returned;

use std::collections::BTreeSet;
use std::future::Future;

use object_store::local::LocalFileSystem;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::*;
use crate::artifact::Artifacts;
use crate::candidacy::{Placement, QueueEntry, Standing, Timeline, contenders};
use crate::clock;
use crate::config::Layout;
use crate::coordinator::{Coordinator, CreateMode, Embedded, Session, ensure_path};
use crate::history::{History, RunState};
use crate::registry::{
    Digest, Followed, JobSpec, Jobs, KeptPolicies, Limits, MissingJobs, Names, OnReturn, Problems, Registry,
    ScheduleSpec, Secrets, TermRules,
};
use crate::runtime::tests::{OK, guest, waiting_guest};
use crate::runtime::{Components, Runtime, RuntimeSettings};
use crate::scheduler::{Led, Pipelines, Turns};

const HANGS: Duration = Duration::from_secs(20);
/// Long beside what a guest takes that does as it is asked.
const GRACE: Duration = Duration::from_secs(1);

/// How long a group is led before way is made.
const HOLD: Duration = Duration::from_secs(30);

/// Fails the test where what is awaited does not come.
async fn soon<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, awaited).await.unwrap_or_else(|_| panic!("{what} does not come"))
}

/// Waits to be asked to stop, and then returns.
fn patient() -> Vec<u8> {
    waiting_guest(&format!("(drop (call $sleep (i64.const 3600000))) {OK}"))
}

/// A cluster of one host.
struct Place {
    embedded: Arc<Embedded>,
    onlooker: Arc<dyn Session>,
    sessions: Sessions,
    layout: Layout,
    registry: Registry,
    jobs: watch::Receiver<Jobs>,
    missing: MissingJobs,
    standing: Arc<Standings>,
    withdrawal: Arc<Withdrawal>,
    seats: watch::Sender<Arc<Seats>>,
    clock: watch::Sender<ClockState>,
    artifacts: Artifacts,
    drain: watch::Sender<bool>,
    joined: watch::Receiver<bool>,
    holding: JoinHandle<Result<(), JoinError>>,
    _folder: TempDir,
}

impl Place {
    /// With this session timeout; `taken`: another host has this one's name.
    async fn new(timeout: Duration, taken: bool) -> Self {
        Self::sharing(timeout, taken, ELECTIONS_SHARE).await
    }

    /// As [`Self::new`], where the elections of a session may watch so many bytes.
    async fn sharing(timeout: Duration, taken: bool, share: usize) -> Self {
        let embedded = Arc::new(Embedded::in_memory(clock::system(), timeout));
        let coordinator: Arc<dyn Coordinator> = embedded.clone();
        let onlooker = embedded.connect(HANGS).await.unwrap();
        let layout = Layout::new("/zoo");
        ensure_path(onlooker.as_ref(), &layout.hosts()).await.unwrap();
        if taken {
            onlooker.create(&layout.host("a"), b"another", CreateMode::Ephemeral).await.unwrap();
        }
        let sessions = Sessions::open(coordinator.clone(), HANGS).await.unwrap();
        let registry = Registry::new(sessions.clone(), layout.clone());
        let Followed { missing, jobs, .. } = registry.follow_all().await;
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let artifacts = Artifacts::new(store.clone());
        let settings = RuntimeSettings { max_runs: 8, ..RuntimeSettings::default() };
        let runtime = Runtime::new(settings, Handle::current(), clock::system()).unwrap();
        let nobody = Arc::new(|_| Box::pin(async { None }) as futures::future::BoxFuture<'static, _>);
        let components = Components::new(runtime, artifacts.clone(), nobody);
        let scheduling = Arc::new(Scheduling {
            host: "a".to_owned(),
            groups: 1,
            layout: layout.clone(),
            secrets: Secrets::new(None, layout.clone()),
            clock: clock::system(),
            runner: Arc::new(components.clone()),
            turns: Turns::new(8, watch::channel(Default::default()).1, clock::system(), Handle::current()),
            history: History::new(store, "a", clock::system()),
            jobs: jobs.clone(),
            missing: missing.clone(),
            problems: Problems::default(),
            timeline: Timeline::unkept(),
            handle: Handle::current(),
            led: Led::default(),
            pipelines: Pipelines::default(),
        });
        let standing = Arc::new(Standings::default());
        let withdrawal = Arc::new(Withdrawal::default());
        let seats = watch::Sender::default();
        let (drain, draining) = watch::channel(false);
        let (tell, joined) = watch::channel(false);
        let clock = watch::Sender::new(ClockState::Right);
        let elections = Elections {
            coordinator,
            sessions: sessions.clone(),
            components,
            scheduling,
            presence: Arc::new(Vec::new),
            timeline: TimelineKeeper {
                host: "a".to_owned(),
                layout: layout.clone(),
                timeline: Timeline::unkept(),
                problems: Problems::default(),
                clock: clock::system(),
            },
            lease: LeaseRule::new(timeout, Duration::ZERO).unwrap(),
            grace: GRACE,
            standing: standing.clone(),
            share,
            withdrawal: withdrawal.clone(),
            group_hold: HOLD,
            seats: seats.clone(),
            clock: clock.subscribe(),
        };
        let holding = tokio::spawn(elections.hold(draining, tell));
        Place {
            embedded,
            onlooker,
            sessions,
            layout,
            registry,
            jobs,
            missing,
            standing,
            withdrawal,
            seats,
            clock,
            artifacts,
            drain,
            joined,
            holding,
            _folder: folder,
        }
    }

    async fn standing() -> Self {
        let place = Place::new(Duration::from_secs(6), false).await;
        soon("the membership", place.joined.clone().wait_for(|joined| *joined)).await.unwrap();
        place
    }

    async fn apply(&self, trigger: Trigger, component: Vec<u8>) -> JobId {
        let digest = self.artifacts.put(component.into()).await.unwrap();
        self.apply_digest(trigger, digest).await
    }

    async fn apply_digest(&self, trigger: Trigger, component: Digest) -> JobId {
        self.apply_as("job", trigger, component).await
    }

    async fn apply_as(&self, name: &str, trigger: Trigger, component: Digest) -> JobId {
        let id = JobId::new("acme", name).unwrap();
        let limits = if matches!(trigger, Trigger::Leader { .. }) { Limits::LEADER } else { Limits::SCHEDULED };
        let spec = JobSpec {
            id,
            component,
            trigger,
            limits,
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            http: Default::default(),
            paused: None,
        };
        self.registry.apply(&spec).await.unwrap();
        spec.id
    }

    fn election(&self) -> String {
        self.layout.election("acme", "job")
    }

    /// The queue of an election, once it is as wanted.
    async fn until(&self, election: &str, wanted: impl Fn(&[QueueEntry]) -> bool) -> Vec<QueueEntry> {
        ensure_path(self.onlooker.as_ref(), election).await.unwrap();
        soon("the queue", async {
            loop {
                let (_, mut watch) = self.onlooker.list_and_watch(election).await.unwrap();
                let queue = contenders(self.onlooker.as_ref(), election).await.unwrap();
                if wanted(&queue) {
                    return queue;
                }
                watch.changed().await;
            }
        })
        .await
    }

    /// The token of this host's contender, once it is above `token`.
    async fn token_above(&self, token: i64) -> i64 {
        self.until(&self.election(), |queue| queue.first().is_some_and(|first| first.token > token)).await[0].token
    }

    /// Which session leads a job's election, and its token, once that is above `token` and its candidate knows.
    async fn leader_above(&self, name: &str, token: i64) -> (i64, i64) {
        let election = self.layout.election("acme", name);
        let queue = self.until(&election, |queue| queue.first().is_some_and(|first| first.token > token)).await;
        self.until_leading(&JobId::new("acme", name).unwrap(), queue[0].token).await;
        let stat = self.onlooker.stat(&format!("{election}/{}", queue[0].znode)).await.unwrap().unwrap();
        (stat.ephemeral_owner, stat.czxid)
    }

    /// The token of the job's last term, once one is over.
    async fn token_of_the_last_term(&self) -> i64 {
        let path = self.layout.run_state("acme", "job");
        soon("the end of a term", async {
            loop {
                let (found, mut watch) = self.onlooker.get_and_watch(&path).await.unwrap();
                let state = found.map(|(value, _)| RunState::from_bytes(&value).unwrap());
                if let Some(last) = state.and_then(|state| state.outcomes.front().cloned()) {
                    return last.token;
                }
                watch.changed().await;
            }
        })
        .await
    }

    /// Returns when this host's node belongs to a session that lives.
    async fn until_member_again(&self) {
        let path = self.layout.host("a");
        soon("the membership", async {
            loop {
                let (stat, mut watch) = self.onlooker.stat_and_watch(&path).await.unwrap();
                let now = self.sessions.now().map(|session| session.id());
                if now.is_some() && stat.map(|stat| stat.ephemeral_owner) == now {
                    return;
                }
                watch.changed().await;
            }
        })
        .await;
    }

    /// Returns when this host leads the job's election under this token.
    async fn until_leading(&self, id: &JobId, token: i64) {
        let post = Post::Job(id.clone());
        soon("the lead", async {
            loop {
                let candidate = self.standing.lock().get(&post).cloned();
                if let Some(candidate) = candidate
                    && candidate.follow().wait_for(|now| *now == Standing::Leading { token }).await.is_ok()
                {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Returns when this host stands for nothing.
    async fn until_nothing(&self) {
        soon("the leaving", async {
            while !self.standing.lock().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn leader(on_return: OnReturn) -> Trigger {
    Trigger::Leader { election: None, names: Names::Kazoo, on_return, rules: TermRules::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_led_led_anew_after_an_edit_and_left_after_its_deletion() {
    let place = Place::standing().await;
    let job = place.apply(leader(OnReturn::Requeue), patient()).await;
    let first = place.token_above(0).await;
    place.until_leading(&job, first).await;
    assert_eq!(place.standing.counts().jobs_led, 1);
    place.apply(leader(OnReturn::Stop), patient()).await;
    let second = place.token_above(first).await;
    place.until_leading(&job, second).await;
    place.registry.delete(&job).await.unwrap();
    place.until(&place.election(), <[QueueEntry]>::is_empty).await;
    place.until_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_session_is_followed_by_standing_again_on_the_next() {
    let place = Place::standing().await;
    let job = place.apply(leader(OnReturn::Requeue), patient()).await;
    let mut token = place.token_above(0).await;
    for _ in 0..3 {
        place.until_leading(&job, token).await;
        place.embedded.expire(place.sessions.now().unwrap().id()).await.unwrap();
        token = place.token_above(token).await;
    }
    place.until_leading(&job, token).await;
    assert_eq!(place.onlooker.list(&place.election()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_leaves_everything_before_it_ends() {
    let place = Place::standing().await;
    let job = place.apply(leader(OnReturn::Requeue), patient()).await;
    let token = place.token_above(0).await;
    place.until_leading(&job, token).await;
    place.drain.send_replace(true);
    soon("the end", place.holding).await.unwrap().unwrap();
    let election = place.layout.election("acme", "job");
    assert_eq!(contenders(place.onlooker.as_ref(), &election).await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_withdrawn_leads_nothing_until_it_may_stand_again_whatever_its_session_does() {
    let place = Place::standing().await;
    let job = place.apply(leader(OnReturn::Requeue), patient()).await;
    let token = place.token_above(0).await;
    place.until_leading(&job, token).await;
    assert!(place.withdrawal.withdraw(HANGS).await);
    assert_eq!(contenders(place.onlooker.as_ref(), &place.election()).await, Ok(Vec::new()));
    assert!(place.withdrawal.withdraw(HANGS).await, "twice is once");
    place.embedded.expire(place.sessions.now().unwrap().id()).await.unwrap();
    place.until_member_again().await;
    place.apply(leader(OnReturn::Stop), patient()).await;
    soon("the edit", place.jobs.clone().wait_for(|jobs| jobs[&job].version == 1)).await.unwrap();
    assert!(place.withdrawal.withdraw(HANGS).await);
    place.withdrawal.end();
    let again = place.token_above(token).await;
    place.until_leading(&job, again).await;
    let stood = place.onlooker.list(&place.election()).await.unwrap();
    assert!(stood.len() == 1 && stood[0].ends_with("0000000001"), "there was another in between: {stood:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resigning_returns_when_the_term_is_given_up() {
    let place = Place::standing().await;
    // It doesn't do as it is asked, so giving up takes the grace period.
    let endless = guest("(loop $again (br $again)) (unreachable)");
    let job = place.apply(leader(OnReturn::Requeue), endless).await;
    let token = place.token_above(0).await;
    place.until_leading(&job, token).await;
    assert!(!place.standing.resign(&Post::Group(0)).await);
    assert!(soon("the resignation", place.standing.resign(&Post::Job(job))).await);
    let queue = contenders(place.onlooker.as_ref(), &place.election()).await.unwrap();
    assert!(queue.iter().all(|entry| entry.token > token), "it is still in the queue");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_stood_for_while_it_has_a_job() {
    let place = Place::standing().await;
    let trigger = Trigger::Schedule { times: ScheduleSpec::new("@every 1h"), policies: KeptPolicies::default() };
    let job = place.apply(trigger, guest(OK)).await;
    let group = place.layout.group(0);
    place.until(&group, |queue| queue.len() == 1).await;
    place.registry.delete(&job).await.unwrap();
    place.until(&group, <[QueueEntry]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_led_on_without_a_place_in_it_and_left_after_the_lead() {
    let timeout = Duration::from_secs(4);
    let place = Place::new(timeout, false).await;
    let trigger = Trigger::Schedule { times: ScheduleSpec::new("@every 1h"), policies: KeptPolicies::default() };
    place.apply(trigger, guest(OK)).await;
    let group = place.layout.group(0);
    let token = place.until(&group, |queue| queue.len() == 1).await[0].token;

    // Three that have the places, and one that stands for the group now.
    let hosts: Vec<String> =
        (0..).map(|at| format!("host-{at}")).filter(|host| host_ranks_above_a(host)).take(3).collect();
    for host in &hosts {
        place.onlooker.create(&place.layout.host(host), b"{}", CreateMode::Ephemeral).await.unwrap();
    }
    let other = format!("{group}/0f__lock__");
    place.onlooker.create(&other, hosts[0].as_bytes(), CreateMode::EphemeralSequential).await.unwrap();
    let seats = place.seats.clone();
    soon("the placement", seats.subscribe().wait_for(|seats| seats.placement.hosts().len() == 4)).await.unwrap();
    assert!(!seats.borrow().placement.has(0, "a"));
    tokio::time::sleep(timeout * LINGER_TIMEOUTS + LOOK * 3).await;
    assert_eq!(place.until(&group, |_| true).await[0].token, token, "it leads, and nobody took it over");

    assert!(soon("the resignation", place.standing.resign(&Post::Group(0))).await);
    let queue = place.until(&group, |queue| queue.len() == 1 && queue[0].identifier == hosts[0]).await;
    assert_eq!(queue.len(), 1);
    place.until_nothing().await;
}

/// For the only group that there is.
fn host_ranks_above_a(host: &str) -> bool {
    Placement::of(1, ["a", host]).first(0) == Some(host)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_the_component_does_not_stand_until_it_has_it() {
    let place = Place::standing().await;
    let component = patient();
    let job = place.apply_digest(leader(OnReturn::Requeue), Digest::of(&component)).await;
    soon("the job", place.jobs.clone().wait_for(|jobs| jobs.contains_key(&job))).await.unwrap();
    assert_eq!(contenders(place.onlooker.as_ref(), &place.election()).await, Ok(Vec::new()));
    place.artifacts.put(component.into()).await.unwrap();
    place.token_above(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_led_only_while_the_clock_is_right_and_leader_jobs_in_any_case() {
    let place = Place::standing().await;
    let times = ScheduleSpec::new("@every 1h");
    let scheduled = Trigger::Schedule { times, policies: KeptPolicies::default() };
    let component = place.artifacts.put(patient().into()).await.unwrap();
    place.apply_as("tick", scheduled, component.clone()).await;
    let job = place.apply_digest(leader(OnReturn::Requeue), component).await;
    let token = place.token_above(0).await;
    place.until_leading(&job, token).await;
    let group = place.layout.group(0);
    for clock in [ClockState::Wrong, ClockState::Unknown] {
        place.until(&group, |queue| queue.len() == 1).await;
        place.clock.send_replace(clock);
        place.until(&group, <[QueueEntry]>::is_empty).await;
        place.clock.send_replace(ClockState::Right);
    }
    place.until(&group, |queue| queue.len() == 1).await;
    assert_eq!(place.token_above(0).await, token, "the leader job's term went on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_ends_it_and_a_drain_does_not_wait_for_the_name() {
    let place = Place::new(Duration::from_secs(1), true).await;
    let error = soon("the end", place.holding).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "host name: `a` is in use by another live host of this cluster");
    let place = Place::new(Duration::from_secs(600), true).await;
    place.drain.send_replace(true);
    soon("the end", place.holding).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elections_past_the_share_of_a_session_stand_on_further_ones_that_live_and_die_apart() {
    // Two of these elections are watched in some 150 bytes.
    let place = Place::sharing(Duration::from_secs(6), false, 200).await;
    let component = place.artifacts.put(patient().into()).await.unwrap();
    let names = ["j1", "j2", "j3", "j4", "j5"];
    for name in names {
        place.apply_as(name, leader(OnReturn::Requeue), component.clone()).await;
    }
    let mut owners = BTreeMap::new();
    for name in names {
        let (owner, token) = place.leader_above(name, 0).await;
        owners.insert(name, (owner, token));
    }
    let first = place.sessions.now().unwrap().id();
    let on = |session: i64| owners.values().filter(|(owner, _)| *owner == session).count();
    assert_eq!(on(first), 2, "{owners:?}");
    let further: BTreeSet<i64> = owners.values().map(|(owner, _)| *owner).filter(|owner| *owner != first).collect();
    let mut held: Vec<usize> = further.iter().map(|session| on(*session)).collect();
    held.sort_unstable();
    assert_eq!(held, [1, 2], "{owners:?}");
    assert_eq!(place.onlooker.list("/zoo/sessions").await.unwrap(), ["a:1", "a:2"]);
    assert_eq!(place.onlooker.list(&place.layout.hosts()).await.unwrap(), ["a"], "a further session is no host");

    let lost = *further.first().unwrap();
    place.embedded.expire(lost).await.unwrap();
    for (name, (owner, token)) in &owners {
        let (now, newest) = place.leader_above(name, if *owner == lost { *token } else { 0 }).await;
        assert_eq!(newest > *token, *owner == lost, "{name}");
        assert_eq!(now == *owner, *owner != lost, "{name}");
    }

    place.drain.send_replace(true);
    soon("the end", place.holding).await.unwrap().unwrap();
    for name in names {
        let election = place.layout.election("acme", name);
        assert_eq!(contenders(place.onlooker.as_ref(), &election).await, Ok(Vec::new()));
    }
    assert_eq!(place.onlooker.list("/zoo/sessions").await.unwrap(), [""; 0], "a further session was left open");
}

//! Puts the parts together, and takes them apart again in order. The only place that names concrete types.
//!
//! Three threads of life, none able to starve the others: the session with its heartbeats, elections and deadlines; the
//! API and the scheduler; the guests.

mod cluster;
mod elections;
mod folders;
mod founding;
mod known_cluster;
mod machine;
mod mark;
mod own_coordinator;
mod rehearsal;
mod timeline;
mod withdrawal;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use silverback_election::LeaseRule;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime as Threads};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::api::{Api, ApiParts, Peers};
use crate::artifact::Artifacts;
use crate::candidacy::{ClockCheck, ClockState, JoinError, PresenceValue, Timeline};
use crate::clock::{self, Clock};
use crate::config::{HostInfo, Layout, UpSettings};
use crate::coordinator::{Coordinator, Sessions, ZooKeeper};
use crate::history::History;
use crate::registry::{Problems, Registry, Secrets};
use crate::runtime::{
    CompileLimits, Compiler, Components, DEFAULT_MAX_RUNS, GuestThreads, Lanes, Runtime, RuntimeSettings,
};
use crate::scheduler::{Led, Pipelines, Scheduling, Turns};
use crate::vital;
use cluster::Parts;
use elections::{ELECTIONS_SHARE, Elections, Standings};
use founding::found_cluster;
use machine::memory_bytes;
pub use rehearsal::{Changes, Rehearsal, Rehearsed, Turn, Values, rehearse};
use timeline::TimelineKeeper;
use withdrawal::Withdrawal;

/// How long the first session is waited for.
const FIRST_SESSION: Duration = Duration::from_secs(20);
/// How long records still on their way to the store are waited for at the end.
const SETTLE: Duration = Duration::from_secs(5);
/// What is done at the end is bounded by the drain grace and this.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

/// How many threads write and read files, or compile. Each keeps some memory of what it wrote, some 3 MB where runs say much.
const BLOCKING_THREADS: usize = 16;

/// Runs a host until it is told to stop by SIGTERM or SIGINT, then drains it: guests are asked to stop, stopped, leadership
/// is released, and only then the session closed. `ready` is told, in one sentence, when the host answers and stands.
///
/// # Errors
/// What keeps it from starting or from going on, for people.
pub fn run(settings: UpSettings, ready: impl FnOnce(&str) + Send) -> anyhow::Result<()> {
    folders::restrict_new_files();
    let session = threads("session", 1)?;
    let guests = GuestThreads::start().context("the guests' threads can't be started")?;
    let main = threads("host", 2)?;
    let outcome = main.block_on(async {
        tokio::select! {
            outcome = up(settings, session.handle().clone(), guests.lanes(), ready) => outcome,
            reason = vital::failed() => Err(anyhow!(reason)),
        }
    });
    guests.shut_down(Duration::from_secs(1));
    for runtime in [session, main] {
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
    outcome
}

fn threads(name: &str, count: usize) -> anyhow::Result<Threads> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(count).max_blocking_threads(BLOCKING_THREADS).thread_name(name).enable_all();
    let built = builder.build();
    built.with_context(|| format!("the `{name}` threads can't be started"))
}

async fn up(
    settings: UpSettings,
    session_threads: Handle,
    guest_threads: Lanes,
    ready: impl FnOnce(&str),
) -> anyhow::Result<()> {
    let mut asked_to_stop = StopSignals::new()?;
    // Again with the session timeout that is negotiated, when the host joins.
    let lease = lease_rule(&settings);
    lease.check().context("lease")?;
    let clock = clock::system();
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("listen: `{}` can't be listened on", settings.listen))?;
    let address = listener.local_addr()?;
    let _lock = folders::own_folder(&settings.data)?;
    let stores = folders::store_folder(&settings.store)?;
    let vault = folders::vault(settings.secrets_key.as_deref())?;
    let artifacts = Artifacts::new(stores.durable.clone());
    let history = History::in_stores(stores, &settings.name, clock.clone());
    let coordinator = coordinator(&settings, &history, clock.clone()).await?;
    let label = coordinator.describe();
    let limits = CompileLimits { cpu_seconds: settings.compile_time.as_secs(), memory_bytes: settings.compile_memory };
    let compiler = Compiler::apart(&settings.data.join("compiled"), limits, clock.clone(), Handle::current())?;
    let guest_memory = settings.guest_memory.unwrap_or_else(|| memory_bytes() / 2);
    let max_terms = settings.leader_terms;
    let runtime_settings = RuntimeSettings { compiler, guest_memory, max_terms, ..RuntimeSettings::default() };
    let runtime = Runtime::new(runtime_settings, guest_threads, clock.clone())?;

    let first = coordinator.clone();
    let opening = session_threads.spawn(async move { Sessions::open(first, FIRST_SESSION).await });
    let sessions = tokio::select! {
        opened = opening => opened?.context("coordinator")?,
        () = asked_to_stop.wait() => {
            info!("told to stop before there was a session");
            return Ok(());
        }
    };
    let layout = Layout::new(&settings.root);
    let problems = Problems::default();
    let known = known_cluster::read(&settings.data, &settings.root)?;
    let timeline = TimelineKeeper {
        host: settings.name.clone(),
        layout: layout.clone(),
        timeline: if settings.new { Timeline::beginning_anew(known) } else { Timeline::new(known) },
        problems: problems.clone(),
        clock: clock.clone(),
    };
    timeline.timeline.keep_with(known_cluster::keep(&settings.data, &settings.root));
    let groups = found_cluster(sessions.get(FIRST_SESSION).await?.as_ref(), &timeline).await?.groups;
    tokio::spawn(timeline.clone().follow(sessions.clone()));
    tokio::spawn(timeline.clone().tell(sessions.clone()));
    tokio::spawn(timeline.clone().tell_unkept());
    // Numbers alone tell of an embedded coordinator that was restored: it has no epochs.
    if settings.zookeeper.is_some() {
        tokio::spawn(timeline.clone().keep_marking(sessions.clone(), lease.interval()));
    }

    let secrets = Secrets::new(vault, layout.clone());
    let peers = Peers::new(sessions.clone(), layout.clone(), &settings.name);
    let registry = Registry::new(sessions.clone(), layout.clone());
    let components = Components::new(runtime.clone(), artifacts.clone(), ask_peers(peers));
    let followed = registry.follow_all().await;
    let scheduling = Arc::new(Scheduling {
        host: settings.name.clone(),
        groups,
        layout: layout.clone(),
        secrets: secrets.clone(),
        clock: clock.clone(),
        runner: Arc::new(components.clone()),
        turns: Turns::new(DEFAULT_MAX_RUNS, followed.tenants, clock.clone(), Handle::current()),
        history: history.clone(),
        jobs: followed.jobs,
        missing: followed.missing,
        problems: problems.clone(),
        timeline: timeline.timeline.clone(),
        handle: Handle::current(),
        led: Led::default(),
        pipelines: Pipelines::default(),
    });

    let about = HostInfo {
        host: settings.name.clone(),
        address: address.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: clock.wall(),
        store: history.store_id().await,
        ..HostInfo::default()
    };
    let standing = Arc::new(Standings::default());
    let withdrawal = Arc::new(Withdrawal::default());
    let (drain, draining) = watch::channel(false);
    let (joined, mut has_joined) = watch::channel(false);
    let clock_check = Arc::new(ClockCheck::new(settings.max_clock_offset));
    let elections = Elections {
        share: elections_share(coordinator.path_overhead()),
        coordinator,
        sessions: sessions.clone(),
        components: components.clone(),
        scheduling: scheduling.clone(),
        presence: presence(
            about,
            &clock_check,
            &sessions,
            standing.clone(),
            withdrawal.clone(),
            timeline.timeline.clone(),
        ),
        timeline: timeline.clone(),
        lease,
        grace: settings.drain_grace,
        standing: standing.clone(),
        withdrawal: withdrawal.clone(),
        group_hold: settings.group_hold,
        seats: watch::Sender::default(),
        clock: clock_check.follow(),
    };
    let mut holding = session_threads.spawn(elections.hold(draining, joined));

    let parts = Parts {
        timeline: timeline.timeline,
        components,
        artifacts: artifacts.clone(),
        registry: registry.clone(),
        sessions: sessions.clone(),
        scheduling,
        standing,
        withdrawal,
        drain_patience: settings.drain_grace + DRAIN_MARGIN,
    };
    let api = Api::new(ApiParts {
        host: settings.name.clone(),
        registry,
        secrets,
        artifacts,
        history: history.clone(),
        sessions: sessions.clone(),
        layout,
        clock,
        cluster: Arc::new(parts),
    });
    let (close_api, mut api_closes) = watch::channel(false);
    let mut serving = tokio::spawn(api.serve(listener, async move {
        let _ = api_closes.wait_for(|close| *close).await;
    }));

    let name = &settings.name;
    let serves = async {
        // An error: the elections have ended, and say so themselves.
        if has_joined.wait_for(|joined| *joined).await.is_ok() {
            ready(&format!("silverback {name} is ready on http://{address} ({label})"));
        }
        pending().await
    };
    tokio::select! {
        () = asked_to_stop.wait() => {}
        ended = &mut holding => return Err(ended?.err().map_or_else(|| anyhow!("the elections ended"), Into::into)),
        ended = &mut serving => {
            return ended?.context("the API failed").and_then(|()| Err(anyhow!("the API ended")));
        }
        () = serves => {}
    }

    info!("draining: guests are asked to stop, then leadership is released");
    drain.send_replace(true);
    let mut whole = drained(holding, settings.drain_grace + DRAIN_MARGIN).await;
    close_api.send_replace(true);
    let _ = serving.await;
    if !history.settle(SETTLE).await {
        warn!("some records are not in the store yet, and stay unfinished");
        whole = false;
    }
    sessions.close().await;
    if whole {
        info!("drained");
    }
    Ok(())
}

/// Waits for the end of the elections. Says what is wrong with it, and returns false, if something is.
async fn drained(holding: JoinHandle<Result<(), JoinError>>, patience: Duration) -> bool {
    match tokio::time::timeout(patience, holding).await {
        Ok(Ok(Ok(()))) => return true,
        Ok(Ok(Err(error))) => warn!(%error, "the elections ended badly"),
        Ok(Err(error)) => warn!(%error, "the elections ended early"),
        Err(_) => warn!("the drain took too long; the session is closed with leadership still held"),
    }
    false
}

async fn coordinator(
    settings: &UpSettings,
    history: &History,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Coordinator>> {
    Ok(match &settings.zookeeper {
        Some(servers) => Arc::new(ZooKeeper::new(servers, settings.session_timeout)?),
        None => Arc::new(own_coordinator::open(settings, history, clock).await?),
    })
}

/// The rule with what was asked for. The embedded coordinator has no followers, so no heartbeat waits for a tick.
fn lease_rule(settings: &UpSettings) -> LeaseRule {
    LeaseRule {
        timeout: settings.session_timeout,
        tick: if settings.zookeeper.is_some() { settings.tick_time } else { Duration::ZERO },
        drift_per_mille: settings.clock_drift_per_mille,
        stop_budget: settings.stop_budget,
        margin: settings.lease_margin,
    }
}

/// Returns what the paths of elections may have of a session's watches if each path is sent with `overhead` bytes more. The
/// share is counted in bytes without them, so it shrinks as if all paths were as short as a watched path can be.
fn elections_share(overhead: usize) -> usize {
    const SHORTEST_PATH_BYTES: usize = 30;
    ELECTIONS_SHARE * SHORTEST_PATH_BYTES / (SHORTEST_PATH_BYTES + overhead)
}

fn ask_peers(peers: Peers) -> crate::runtime::AskPeers {
    Arc::new(move |digest| {
        let peers = peers.clone();
        Box::pin(async move {
            let asked = peers.component(&digest).await;
            asked.inspect_err(|error| warn!(%digest, %error, "the other hosts can't be asked")).ok().flatten()
        })
    })
}

/// What this host's node says, made anew for each heartbeat. `about` has what stays.
fn presence(
    about: HostInfo,
    clock_check: &Arc<ClockCheck>,
    sessions: &Sessions,
    standing: Arc<Standings>,
    withdrawal: Arc<Withdrawal>,
    timeline: Arc<Timeline>,
) -> PresenceValue {
    let (sessions, checked) = (sessions.clone(), clock_check.clone());
    clock_check.told_by(move || {
        let session = sessions.now().map_or(0, |session| session.id());
        let counts = standing.counts();
        let info = HostInfo {
            drained: withdrawal.is_asked(),
            elections_led: counts.groups_led + counts.jobs_led,
            groups_led: counts.groups_led,
            groups: counts.groups,
            jobs_led: counts.jobs_led,
            clock_offset_ms: checked.offset_ms(),
            clock_wrong: checked.state() == ClockState::Wrong,
            position: timeline.position(),
            problem: timeline.follow().borrow().problem(),
            session: HostInfo::session_text(session),
            ..about.clone()
        };
        serde_json::to_vec(&info).expect("a host's own description is plain data")
    })
}

/// SIGTERM and SIGINT: caught from the start, so that a host that is still starting stops in order too.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<Self> {
        Ok(StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest name of a contender, with the slash before it.
    const CONTENDER_BYTES: usize = 56;

    #[test]
    fn w8_elections_leave_room_for_the_chroot_of_each_path() {
        assert_eq!(elections_share(0), ELECTIONS_SHARE);
        for overhead in [1, 16, 255] {
            for election in [2, 23, 512] {
                let watched = 2 * election + CONTENDER_BYTES;
                let posts = elections_share(overhead) / watched;
                assert!(posts * (watched + 2 * overhead) <= ELECTIONS_SHARE, "{overhead}, {election}");
            }
        }
    }
}

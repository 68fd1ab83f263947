//! One run on the spot: a job's component on a host that is made for this run and keeps nothing, with no ensemble around it.
//! Term, lease, gate, capabilities and limits are those of any host; what is missing is everybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use silverback_election::lock_prefix;
use tokio::runtime::Handle;

use super::threads;
use crate::candidacy::{for_guests, leader_run_id};
use crate::capability::{Ending, Gate, Lease};
use crate::clock::{self, Clock};
use crate::config::{Layout, decode_key};
use crate::coordinator::{Coordinator, CreateMode, Embedded, Session, ensure_path};
use crate::history::{LogSink, Outcome, Usage};
use crate::registry::{Ceilings, JobSpec, Ranges, Trigger};
use crate::runtime::{
    Compiler, GuestThreads, Interrupt, Lanes, RunEnd, RunRequest, Runtime, RuntimeSettings, StateMode, StateWrite,
};

/// The lease of a host whose session times out after six seconds, about.
const LEASE: Duration = Duration::from_secs(4);
const BEAT: Duration = Duration::from_secs(1);
/// Longer than any run: nobody else is there to see the session end.
const SESSION: Duration = Duration::from_secs(24 * 3600);
/// The host's name, and the identifier under which it leads.
const HOST: &str = "rehearsal";

/// What is run, and under what circumstances.
pub struct Rehearsal {
    /// The job.
    pub spec: JobSpec,
    /// Its component.
    pub component: Vec<u8>,
    /// The nominal time that a scheduled run is told.
    pub tick: Timestamp,
    /// The number that it is told of its attempt, from 1.
    pub attempt: u32,
    /// What its secrets are, by the keys that the job has them under.
    pub secrets: BTreeMap<String, String>,
    /// What the job keeps when the run begins.
    pub state: Values,
    /// The private addresses that it may reach, as a tenant is granted them.
    pub private: Ranges,
    /// How its term ends under it, if it does.
    pub turn: Option<Turn>,
    /// Takes its log lines, as they come.
    pub log: LogSink,
    /// Stops it.
    pub interrupt: Interrupt,
}

/// A turn for the worse.
#[derive(Clone, Copy, Debug)]
pub enum Turn {
    /// From so long after the run's start on no heartbeat would have been heard: the lease ends then.
    Loss(Duration),
    /// So long after the run's start somebody asks the leader to resign; it has the job's grace, or `host_grace`.
    Resignation {
        /// When.
        after: Duration,
        /// What a host gives at the most.
        host_grace: Duration,
    },
}

/// What a job's keys hold.
pub type Values = BTreeMap<String, Vec<u8>>;

/// What keys held before and what they hold now.
pub type Changes = BTreeMap<String, (Option<Vec<u8>>, Option<Vec<u8>>)>;

/// How it went.
#[derive(Debug)]
pub struct Rehearsed {
    /// As its record would have it.
    pub outcome: Outcome,
    /// Why, or the result.
    pub detail: String,
    /// What it used.
    pub usage: Usage,
    /// Of the job's keys that hold something else now.
    pub changes: Changes,
    /// How many writes a scheduled run leaves undone, since it did not succeed.
    pub discarded: usize,
}

/// Runs it to its end.
///
/// # Errors
/// Where the component isn't admitted, or this machine can't run it.
pub fn rehearse(rehearsal: Rehearsal) -> anyhow::Result<Rehearsed> {
    let guests = GuestThreads::start().context("the guests' threads can't be started")?;
    let main = threads("rehearsal", 1)?;
    let went = main.block_on(rehearsal.run(guests.lanes()));
    guests.shut_down(Duration::from_secs(1));
    went
}

/// Where the run takes place.
struct Stage {
    session: Arc<dyn Session>,
    state_path: String,
    election: String,
    gate: Arc<Gate>,
}

impl Rehearsal {
    async fn run(self, guests: Lanes) -> anyhow::Result<Rehearsed> {
        let clock = clock::system();
        let compiler = Compiler::apart_for_once(clock.clone(), Handle::current())?;
        let settings = RuntimeSettings { max_runs: 1, max_terms: 1, compiler, ..RuntimeSettings::default() };
        let runtime = Runtime::new(settings, guests, clock.clone())?;
        let (build, wanted, bytes) = (self.spec.build(), self.spec.build(), self.component.clone());
        let prepare = move |runtime: &Runtime| runtime.prepare(&wanted, &bytes);
        let component = runtime.apart(&self.spec.id.tenant, &build, prepare).await.context("component")?;
        let lease = Lease::new(clock.clone());
        let stage = self.stage(clock.clone(), lease.clone()).await?;
        let ends = self.loss().map(|after| clock.boot().saturating_add(after));
        vouch(&lease, &*clock, ends);
        let gate = stage.gate.clone();
        let end = tokio::select! {
            end = runtime.start(&component, self.request(&stage)).ended() => end,
            never = beat(&lease, &*clock, ends) => match never {},
            never = self.resign(&gate) => match never {},
        };
        let (outcome, detail) = end.verdict(gate.ending());
        let RunEnd { writes, usage, .. } = end;
        let (done, discarded) = match outcome {
            Outcome::Succeeded => (writes, 0),
            _ => (Vec::new(), writes.len()),
        };
        let changes = changes(&self.state, &stage.state_with(done).await?);
        stage.session.close().await;
        Ok(Rehearsed { outcome, detail, usage, changes, discarded })
    }

    /// A coordinator with nothing in it but what this run needs.
    async fn stage(&self, clock: Arc<dyn Clock>, lease: Arc<Lease>) -> anyhow::Result<Stage> {
        let (layout, id) = (Layout::default(), &self.spec.id);
        let session = Embedded::in_memory(clock, SESSION).connect(SESSION).await?;
        let state_path = layout.state(&id.tenant, &id.name);
        ensure_path(&*session, &state_path).await?;
        for (key, value) in &self.state {
            session.create(&layout.state_key(&id.tenant, &id.name, key)?, value, CreateMode::Persistent).await?;
        }
        let election = match &self.spec.trigger {
            Trigger::Leader { election: Some(path), .. } => path.clone(),
            Trigger::Leader { election: None, .. } => layout.election(&id.tenant, &id.name),
            Trigger::Schedule { .. } => layout.group(0),
        };
        ensure_path(&*session, &election).await?;
        let name = format!("{election}/{}", lock_prefix(HOST));
        let contender = session.create(&name, HOST.as_bytes(), CreateMode::EphemeralSequential).await?;
        let token = session.get(&contender).await?.1.czxid;
        let gate = Gate::new(session.clone(), contender, token, HOST.to_owned(), lease);
        Ok(Stage { session, state_path, election, gate })
    }

    fn request(&self, stage: &Stage) -> RunRequest {
        let id = &self.spec.id;
        let scheduled = matches!(self.spec.trigger, Trigger::Schedule { .. });
        RunRequest {
            job: id.clone(),
            run: if scheduled { format!("{id}/{}", self.tick) } else { leader_run_id(id, stage.gate.token()) },
            attempt: self.attempt,
            tick_ms: scheduled.then(|| self.tick.as_millisecond().unsigned_abs()),
            gate: stage.gate.clone(),
            state_path: stage.state_path.clone(),
            state_mode: if scheduled { StateMode::Buffered } else { StateMode::Immediate },
            config: self
                .spec
                .config
                .iter()
                .chain(&self.secrets)
                .map(|(key, text)| (key.clone(), text.clone()))
                .collect(),
            secrets: None,
            http: self.spec.http.clone(),
            private: self.private.clone(),
            max_requests: None,
            contenders: for_guests(stage.session.clone(), stage.election.clone()),
            limits: self.spec.limits.of_run(scheduled, &Ceilings::NONE),
            log: self.log.clone(),
            interrupt: self.interrupt.clone(),
        }
    }

    fn loss(&self) -> Option<Duration> {
        match self.turn {
            Some(Turn::Loss(after)) => Some(after),
            Some(Turn::Resignation { .. }) | None => None,
        }
    }

    /// What happens to a leader that is asked to resign, in the order in which it happens on a host.
    async fn resign(&self, gate: &Gate) -> Infallible {
        if let Some(Turn::Resignation { after, host_grace }) = self.turn {
            tokio::time::sleep(after).await;
            gate.because(Ending::Resigned);
            gate.ask_stop();
            let grace = match &self.spec.trigger {
                Trigger::Leader { rules, .. } => rules.grace(host_grace),
                Trigger::Schedule { .. } => host_grace,
            };
            tokio::time::sleep(grace).await;
            gate.end();
        }
        pending().await
    }
}

/// As a heartbeat does that was heard, up to a last one.
fn vouch(lease: &Lease, clock: &dyn Clock, ends: Option<Duration>) {
    let stop_at = clock.boot() + LEASE;
    lease.extend(ends.map_or(stop_at, |ends| ends.min(stop_at)));
}

async fn beat(lease: &Lease, clock: &dyn Clock, ends: Option<Duration>) -> Infallible {
    loop {
        tokio::time::sleep(BEAT).await;
        vouch(lease, clock, ends);
    }
}

impl Stage {
    /// What the job keeps, once these writes are done.
    async fn state_with(&self, writes: Vec<StateWrite>) -> anyhow::Result<Values> {
        let mut state = BTreeMap::new();
        for name in self.session.list(&self.state_path).await? {
            let (value, _) = self.session.get(&format!("{}/{name}", self.state_path)).await?;
            state.insert(name, value);
        }
        for write in writes {
            let name = write.path.rsplit('/').next().unwrap_or_default().to_owned();
            match write.value_on(state.get(&name).map(Vec::as_slice))? {
                Some(value) => state.insert(name, value),
                None => state.remove(&name),
            };
        }
        Ok(state.into_iter().map(|(name, value)| (decode_key(&name).unwrap_or(name), value)).collect())
    }
}

fn changes(before: &Values, now: &Values) -> Changes {
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let pair = |key: &String| (before.get(key).cloned(), now.get(key).cloned());
    let pairs = keys.into_iter().map(|key| (key.clone(), pair(key)));
    pairs.filter(|(_, (before, now))| before != now).collect()
}

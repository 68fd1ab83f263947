//! What stands between a guest and every effect.
//!
//! One gate for each term. Candidacy opens, closes and ends it; every capability that changes anything passes it, and
//! puts [`Gate::check`] into the multi of its write, so that ZooKeeper itself refuses the write of a deposed leader.
//! It doesn't know how leadership is won.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::coordinator::{Op, Session};

/// How long a session's heartbeats still vouch for its terms. One for each session, shared by its gates.
///
/// Over at `stop_at` on the boot clock, which is before the ensemble can expire the session; every proven heartbeat moves
/// it on.
pub struct Lease {
    clock: Arc<dyn Clock>,
    stop_at_ns: AtomicU64,
    moved: watch::Sender<()>,
}

impl Lease {
    /// Nothing proven yet: over until the first heartbeat.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Lease { clock, stop_at_ns: AtomicU64::new(0), moved: watch::channel(()).0 })
    }

    /// Moves the end to `stop_at` (boot clock), never backwards.
    pub fn extend(&self, stop_at: Duration) {
        self.stop_at_ns.fetch_max(stop_at.as_nanos() as u64, Ordering::AcqRel);
        self.moved.send_replace(());
    }

    /// The end, on the boot clock.
    pub fn stop_at(&self) -> Duration {
        Duration::from_nanos(self.stop_at_ns.load(Ordering::Acquire))
    }

    /// What is left, zero when it is over.
    pub fn remaining(&self) -> Duration {
        self.stop_at().saturating_sub(self.clock.boot())
    }

    /// Waits until something is left: at once, or with the next proven heartbeat.
    pub async fn vouched(&self) {
        let mut moved = self.moved.subscribe();
        while self.is_over() && moved.changed().await.is_ok() {}
    }

    /// True when nothing is left.
    pub fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }
}

/// Whether effects pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// They do.
    Open,
    /// Not now: the session is disconnected, or was and its contender is not yet seen again.
    Closed,
    /// Never again: the term has ended. Terminal.
    Over,
}

/// Why an effect did not pass.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The term has ended.
    #[error("leadership is lost")]
    Over,
    /// The connection to the ensemble did not come back in time.
    #[error("the ensemble can't be reached, leadership is not known")]
    Unproven,
}

/// Why a guest was asked to stop, or stopped, though its duty went on.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Ending {
    /// Somebody asked the leader to give up.
    #[error("its leader was told to resign")]
    Resigned,
    /// It lasted as long as the job lets it.
    #[error("it had lasted as long as max_term allows")]
    MaxTerm,
    /// Another host should lead rather than this one, as the job has it.
    #[error("a preferred host stands in the queue")]
    Preferred,
    /// This host stands for it no more.
    #[error("its host drains, or the job was changed, paused or deleted")]
    Left,
    /// Somebody deleted the contender.
    #[error("its contender was removed from the election")]
    Evicted,
    /// No heartbeat vouches for the session.
    #[error("its lease ran out: the ensemble could not be reached in time")]
    LeaseOver,
    /// The session is over.
    #[error("its session was lost")]
    SessionLost,
    /// A host that is started again would not know that this token was given.
    #[error("its token could not be kept in the data folder of its host")]
    Unkept,
}

/// The gate of one term.
pub struct Gate {
    session: Arc<dyn Session>,
    contender: String,
    token: i64,
    identifier: String,
    lease: Arc<Lease>,
    state: watch::Sender<GateState>,
    stop_asked: watch::Sender<bool>,
    way_asked: watch::Sender<bool>,
    inside: watch::Sender<usize>,
    ending: OnceLock<Ending>,
}

/// Held for as long as a guest may execute under a term.
pub struct Inside(Arc<Gate>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.send_modify(|inside| *inside -= 1);
    }
}

impl Gate {
    /// Open, for the term that `contender` (a path) leads with `token`.
    pub fn new(
        session: Arc<dyn Session>,
        contender: String,
        token: i64,
        identifier: String,
        lease: Arc<Lease>,
    ) -> Arc<Self> {
        let (state, _) = watch::channel(GateState::Open);
        let (stop_asked, _) = watch::channel(false);
        let (way_asked, _) = watch::channel(false);
        let (inside, _) = watch::channel(0);
        let ending = OnceLock::new();
        Arc::new(Gate { session, contender, token, identifier, lease, state, stop_asked, way_asked, inside, ending })
    }

    // ---- for candidacy ----

    /// Lets effects pass again, unless the term is over.
    pub fn open(&self) {
        self.state.send_if_modified(|state| {
            *state == GateState::Closed && {
                *state = GateState::Open;
                true
            }
        });
    }

    /// Holds effects back, unless the term is over.
    pub fn close(&self) {
        self.state.send_if_modified(|state| {
            *state == GateState::Open && {
                *state = GateState::Closed;
                true
            }
        });
    }

    /// Ends the term: nothing passes any more, and whatever waits at the gate is refused at once.
    pub fn end(&self) {
        self.state.send_replace(GateState::Over);
        self.ask_stop();
    }

    /// Asks the guests of this term to return: `should-stop` becomes true and their waits end.
    pub fn ask_stop(&self) {
        self.stop_asked.send_replace(true);
    }

    /// Asks the duty of this term to return where that costs nothing: another host should lead, and stands ready. Nobody is
    /// stopped for it.
    pub fn ask_way(&self) {
        self.way_asked.send_if_modified(|asked| !std::mem::replace(asked, true));
    }

    /// Takes it back: nobody stands ready any more.
    pub fn ask_way_no_more(&self) {
        self.way_asked.send_if_modified(|asked| std::mem::replace(asked, false));
    }

    /// Says why the guests are about to be asked to stop, or stopped. What is said first stands.
    pub fn because(&self, ending: Ending) {
        let _ = self.ending.set(ending);
    }

    /// Why the guests were asked to stop, or stopped; None where they were not.
    pub fn ending(&self) -> Option<Ending> {
        // A guest may see that the lease is over before candidacy does.
        self.ending.get().copied().or_else(|| self.lease.is_over().then_some(Ending::LeaseOver))
    }

    /// Returns when no guest executes under this term any more, whoever started it and whether or not they still wait for it.
    pub async fn vacated(&self) {
        let _ = self.inside.subscribe().wait_for(|inside| *inside == 0).await;
    }

    // ---- for the runtime ----

    /// A guest is about to execute under this term.
    pub fn enter(self: &Arc<Self>) -> Inside {
        // Nobody waits for more.
        self.inside.send_if_modified(|inside| {
            *inside += 1;
            false
        });
        Inside(self.clone())
    }

    // ---- for capabilities ----

    /// Returns when an effect may pass; waits at most `patience` while the gate is closed.
    ///
    /// # Errors
    /// [`Refusal::Over`] when the term or its lease has ended, [`Refusal::Unproven`] after `patience`.
    pub async fn pass(&self, patience: Duration) -> Result<(), Refusal> {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| *state != GateState::Closed);
        let settled = match tokio::time::timeout(patience, settled).await {
            Ok(Ok(state)) => *state,
            Ok(Err(_)) => GateState::Over,
            Err(_) => return Err(Refusal::Unproven),
        };
        if settled == GateState::Over || self.lease.is_over() { Err(Refusal::Over) } else { Ok(()) }
    }

    /// The first operation of every fenced multi: it fails unless this term's contender still stands.
    pub fn check(&self) -> Op {
        Op::Check { path: self.contender.clone(), version: None }
    }

    /// True while effects may pass.
    pub fn leads(&self) -> bool {
        *self.state.borrow() == GateState::Open && !self.lease.is_over()
    }

    /// True when the term is over, by word or by time.
    pub fn is_over(&self) -> bool {
        *self.state.borrow() == GateState::Over || self.lease.is_over()
    }

    /// How long the term could last without another heartbeat; zero when it is over.
    pub fn remaining(&self) -> Duration {
        if *self.state.borrow() == GateState::Over { Duration::ZERO } else { self.lease.remaining() }
    }

    /// Follows the gate's state.
    pub fn state(&self) -> watch::Receiver<GateState> {
        self.state.subscribe()
    }

    /// Follows whether the guests were asked to stop.
    pub fn stop_asked(&self) -> watch::Receiver<bool> {
        self.stop_asked.subscribe()
    }

    /// Follows whether the duty is asked to make way: to begin nothing more, and to return by itself once nothing of it runs.
    /// It may be taken back until then. A duty that doesn't heed it goes on leading.
    pub fn way_asked(&self) -> watch::Receiver<bool> {
        self.way_asked.subscribe()
    }

    /// The session the term belongs to.
    pub fn session(&self) -> &Arc<dyn Session> {
        &self.session
    }

    /// The path of the term's contender.
    pub fn contender(&self) -> &str {
        &self.contender
    }

    /// The fencing token.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// Who leads.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }
}

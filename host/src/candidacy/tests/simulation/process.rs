//! A host as a process: its own runtime, whose clock goes only when it is its turn. A process that stands still has no turns;
//! one that is killed loses every task at whichever await it had come to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use silverback_election::{LeaseRule, Names, OnReturn};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::clock::{HostClock, WorldClock};
use super::dice::Dice;
use super::guest::Guests;
use super::mutations::Mutation;
use super::network::Opening;
use super::session::RemoteSession;
use super::terms::Terms;
use super::{ELECTION, HOSTS};
use crate::candidacy::{Candidacy, Candidate, Concern, Ended, JoinError, MakesWay, Membership, Preference, Timeline};
use crate::clock::Clock;
use crate::coordinator::Error;
use crate::registry::{About, Problems};

/// How long a host waits before it tries again what failed.
const RETRY: Duration = Duration::from_millis(500);

/// What somebody tells a host.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Give the lead up, and stand again.
    Resign,
    /// Stand no more; it stands again after a while.
    Leave,
    /// The same, by dropping the candidate: a caller that is cancelled.
    Drop,
}

/// What all hosts share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) clock: Arc<WorldClock>,
    pub(super) openings: Arc<Mutex<Vec<Opening>>>,
    pub(super) terms: Arc<Mutex<Terms>>,
    pub(super) dice: Arc<Mutex<Dice>>,
    pub(super) rule: LeaseRule,
    /// Whether a host makes way for those of smaller numbers.
    pub(super) prefers: bool,
    pub(super) mutation: Option<Mutation>,
}

impl Shared {
    /// How long a guest that was asked to stop may go on.
    pub(super) fn grace(&self) -> Duration {
        self.rule.timeout / 2
    }
}

/// A process that lives.
pub(super) struct Process {
    runtime: Runtime,
    orders: mpsc::UnboundedSender<Order>,
    /// Time that has passed without it.
    behind: Duration,
}

impl Process {
    pub(super) fn start(host: usize, fast_per_mille: i32, shared: Shared) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (orders, received) = mpsc::unbounded_channel();
        let began = (shared.clock.now(), runtime.block_on(async { Instant::now() }));
        let stands_still = shared.mutation == Some(Mutation::ClockStandsStill);
        let clock = HostClock { world: shared.clock.clone(), host, began, fast_per_mille, stands_still };
        runtime.spawn(live(host, Arc::new(clock), shared, received));
        Process { runtime, orders, behind: Duration::ZERO }
    }

    pub(super) fn order(&self, order: Order) {
        // A process that has no use for it any more ignores it.
        let _ = self.orders.send(order);
    }

    /// Time passes, and it doesn't notice.
    pub(super) fn stand_still(&mut self, step: Duration) {
        self.behind += step;
    }

    /// Runs until so much time has passed; what it has missed is over at once.
    pub(super) fn run(&mut self, step: Duration) {
        let missed = std::mem::take(&mut self.behind);
        self.runtime.block_on(async {
            if !missed.is_zero() {
                tokio::time::advance(missed).await;
            }
            tokio::time::sleep(step).await;
        });
    }
}

async fn open(host: usize, clock: &HostClock, shared: &Shared) -> Arc<RemoteSession> {
    let (reply, answer) = oneshot::channel();
    shared.openings.lock().unwrap().push(Opening { host, at: clock.boot(), reply });
    answer.await.expect("every opening is answered while its process lives")
}

/// Opens sessions and stands, for ever.
async fn live(host: usize, clock: Arc<HostClock>, shared: Shared, mut orders: mpsc::UnboundedReceiver<Order>) {
    loop {
        let session = open(host, &clock, &shared).await;
        let member = loop {
            let (path, value) = (format!("{HOSTS}/{host}"), Arc::new(|| b"here".to_vec()));
            match Membership::join(
                session.clone(),
                shared.rule,
                clock.clone(),
                path,
                value,
                Timeline::unkept(),
                Concern::untold(),
            )
            .await
            {
                Ok(member) => break Some(member),
                Err(JoinError::Coordinator(Error::Lost)) => break None,
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        };
        let Some(member) = member else { continue };
        while stand(host, &member, &shared, &mut orders).await != Ended::SessionLost {}
    }
}

async fn stand(
    host: usize,
    member: &Arc<Membership>,
    shared: &Shared,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Ended {
    let Shared { terms, dice, mutation, .. } = shared.clone();
    let candidacy = Candidacy {
        election: ELECTION.to_owned(),
        names: Names::Kazoo,
        identifier: host.to_string(),
        on_return: OnReturn::Requeue,
        grace: shared.grace(),
        max_term: (host % 2 == 1).then_some(shared.rule.timeout * 3),
        problems: Problems::default(),
        about: About::Cluster,
        makes_way: if shared.prefers && host > 0 {
            MakesWay::ForPreferred(Preference {
                hosts: (0..host).map(|host| host.to_string()).collect(),
                after: shared.rule.timeout / 2,
                live: HOSTS.to_owned(),
            })
        } else {
            MakesWay::ForNobody
        },
    };
    let duty = Guests { host, terms, dice, mutation };
    let mut candidate = Some(Candidate::stand(member.clone(), candidacy, Arc::new(duty)));
    let mut ended = candidate.as_ref().map(Candidate::follow_end).expect("it stands");
    loop {
        let order = tokio::select! {
            biased;
            () = over(&mut ended) => break,
            order = orders.recv() => order,
        };
        match (order, &candidate) {
            (Some(Order::Resign), Some(candidate)) => candidate.resign(),
            (Some(Order::Leave), Some(candidate)) => candidate.leave(),
            (Some(Order::Drop), Some(_)) => candidate = None,
            (_, None) => {}
            (None, Some(_)) => over(&mut ended).await,
        }
    }
    let ended = ended.borrow().unwrap_or(Ended::SessionLost);
    if ended == Ended::Left {
        tokio::time::sleep(shared.rule.timeout / 4).await;
    }
    ended
}

async fn over(ended: &mut watch::Receiver<Option<Ended>>) {
    // An error: its task is gone.
    let _ = ended.wait_for(Option::is_some).await;
}

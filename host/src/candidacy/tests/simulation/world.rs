//! One run: hosts, their network and the ensemble, step by step, with a fault now and then, and an end to them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use silverback_election::LeaseRule;

use super::clock::{Time, WorldClock};
use super::dice::Dice;
use super::faults::{Fault, Plan, RESIGNS};
use super::mutations::{Mutation, rule_of_a_host};
use super::network::{Manner, Network};
use super::process::{Process, Shared};
use super::terms::{Broken, Figures, Terms};
use super::{EFFECTS, ELECTION, HOSTS};
use crate::clock;
use crate::coordinator::{Coordinator, Embedded, Session, ensure_path};

pub(super) struct Host {
    pub(super) process: Option<Process>,
    pub(super) fast_per_mille: i32,
    pub(super) starts_at: Time,
    pub(super) frozen_until: Time,
}

pub(super) struct World {
    pub(super) clock: Arc<WorldClock>,
    pub(super) dice: Arc<Mutex<Dice>>,
    pub(super) network: Network,
    pub(super) shared: Shared,
    pub(super) hosts: Vec<Host>,
    /// A session of nobody's, that looks on; another, of those who come by other libraries.
    pub(super) onlooker: Arc<dyn Session>,
    pub(super) foreign: Arc<dyn Session>,
    pub(super) plan: Plan,
    /// When faults were over.
    pub(super) calm: Option<Time>,
    pub(super) led_since_calm: bool,
    pub(super) trace: bool,
}

/// How long a candidate goes without a look at the queue.
const AUDIT: Duration = Duration::from_secs(60);

/// Whatever is asked of the ensemble itself is done at once.
pub(super) fn at_once<T>(asked: impl Future<Output = T>) -> T {
    asked.now_or_never().expect("it is in memory")
}

impl World {
    pub(super) fn new(seed: u64, mutation: Option<Mutation>, trace: bool) -> Self {
        let mut dice = Dice::new(seed);
        let timeout = Duration::from_secs(dice.pick(&[4, 6, 10]));
        let tick = Duration::from_millis(dice.pick(&[500, 1000]));
        let drift = dice.pick(&[10, 50]);
        let right = LeaseRule { drift_per_mille: drift, ..LeaseRule::new(timeout, tick).unwrap() };
        let manner = Manner {
            timeout,
            tick,
            slow_per_mille: dice.pick(&[0, 20, 100, 300]),
            slowest: timeout / 4,
            pings_touch: dice.chance(500),
        };
        let counter = if dice.chance(400) { i32::MAX - dice.between(0, 6) as i32 } else { 0 };
        let (calm_at, hosts) = (timeout * dice.between(3, 6) as u32, dice.between(2, 3) as usize);
        let slow_or_fast: Vec<i32> = (0..hosts).map(|_| dice.pick(&[-1, 0, 1]) * drift as i32).collect();
        let prefers = dice.chance(500);
        let clock = WorldClock::new();
        let ensemble = Arc::new(Embedded::in_memory(clock::system(), timeout));
        let onlooker = at_once(ensemble.connect(timeout)).unwrap();
        let foreign = at_once(ensemble.connect(timeout)).unwrap();
        for path in [ELECTION, HOSTS, EFFECTS] {
            at_once(ensure_path(onlooker.as_ref(), path)).unwrap();
        }
        at_once(ensemble.set_next_sequence(ELECTION, counter)).unwrap();
        let (dice, terms) = (Arc::new(Mutex::new(dice)), Arc::<Mutex<Terms>>::default());
        let network = Network::new(ensemble, manner, hosts, dice.clone(), terms.clone(), mutation);
        let rule = rule_of_a_host(right, mutation);
        let shared = Shared {
            clock: clock.clone(),
            openings: network.openings.clone(),
            terms,
            dice: dice.clone(),
            rule,
            prefers,
            mutation,
        };
        let host =
            |fast_per_mille| Host { process: None, fast_per_mille, starts_at: Time::ZERO, frozen_until: Time::ZERO };
        let hosts = slow_or_fast.into_iter().map(host).collect();
        let plan = Plan::Chance { next: timeout / 4, until: calm_at };
        World { clock, dice, network, shared, hosts, onlooker, foreign, plan, calm: None, led_since_calm: false, trace }
    }

    /// All goes well, but for one fault at that time.
    pub(super) fn with_one_fault(seed: u64, fault: Fault, at: Time) -> Self {
        let world = World::new(seed, None, false);
        let host = seed as usize % world.hosts.len();
        let mut left = vec![(at, fault, host)];
        left.extend((0..world.hosts.len()).map(|host| (RESIGNS, Fault::Resign, host)));
        left.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let until = at.max(RESIGNS) + world.network.manner.timeout * 2;
        World { plan: Plan::Few { left, until }, ..world }
    }

    /// To the end, or to the first invariant that doesn't hold.
    pub(super) fn run(mut self) -> Result<Figures, Broken> {
        // A session is given up by its client after 7/5 of T, by the ensemble after T; a leader steps down within its grace;
        // then a host rests, stands and reads.
        let patience = self.network.manner.timeout * 6 + Duration::from_secs(12);
        loop {
            self.step();
            if let Some(broken) = self.shared.terms.lock().unwrap().broken.clone() {
                return Err(broken);
            }
            let calm_for = self.calm.map(|calm| self.clock.now() - calm);
            if calm_for.is_some() && self.is_settled() {
                break;
            }
            let led = self.shared.terms.lock().unwrap().someone_leads();
            self.led_since_calm |= calm_for.is_some() && led;
            // Who was taken out of the queue behind another sees it within a minute.
            let limit = if self.led_since_calm { patience + AUDIT } else { patience };
            if calm_for > Some(limit) {
                return Err(self.unsettled());
            }
        }
        let mut figures = self.shared.terms.lock().unwrap().figures;
        figures.expired = self.network.expiries;
        Ok(figures)
    }

    pub(super) fn roll(&self, low: u64, high: u64) -> u64 {
        self.dice.lock().unwrap().between(low, high)
    }

    fn step(&mut self) {
        let now = self.clock.now();
        let step = self.what_is_planned(now);
        self.network.step(now);
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            if host.process.is_none() && host.starts_at <= now {
                host.process = Some(Process::start(index, host.fast_per_mille, self.shared.clone()));
            }
            let frozen = host.frozen_until > now;
            self.network.frozen[index] = frozen;
            let Some(process) = &mut host.process else { continue };
            if frozen {
                process.stand_still(step);
            } else {
                self.clock.begin_turn(index);
                process.run(step);
                self.clock.end_turn();
            }
        }
        self.clock.pass(step);
        let mut terms = self.shared.terms.lock().unwrap();
        terms.at_most_one_is_live();
        terms.whoever_is_asked_stops(self.clock.now(), self.shared.grace(), &self.network.frozen);
    }

    // ---- the end ----

    /// No fault from here on, and an end to those under way.
    pub(super) fn calm_down(&mut self, now: Time) {
        self.calm = Some(now);
        self.network.calm(now);
        for host in &mut self.hosts {
            host.frozen_until = now;
            host.starts_at = host.starts_at.min(now);
        }
        while self.contenders().iter().any(|(_, stat)| stat.ephemeral_owner == self.foreign.id()) {
            self.foreign_leaves();
        }
    }

    /// Somebody leads, and every contender that is left is one that a live host stands with: one each.
    fn is_settled(&self) -> bool {
        self.shared.terms.lock().unwrap().someone_leads() && self.contenders().len() == self.hosts.len()
    }

    fn unsettled(&self) -> Broken {
        let contenders = self.contenders();
        let invariant = match contenders.len() {
            count if count > self.hosts.len() => "no_contender_is_nobodys",
            count if count < self.hosts.len() && self.led_since_calm => "everybody_stands",
            _ => "someone_leads",
        };
        Broken { invariant, detail: format!("led: {}; contenders: {contenders:?}", self.led_since_calm) }
    }
}

//! What goes wrong in a run, and when.

use std::time::Duration;

use silverback_election::lock_prefix;

use super::ELECTION;
use super::clock::Time;
use super::process::Order;
use super::world::{World, at_once};
use crate::coordinator::{CreateMode, Stat};

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Cut,
    LoseReply,
    Hole,
    /// Slow heartbeats, and a hole from the moment when the next one is answered.
    Ambush,
    Mute,
    Freeze,
    Kill,
    /// All connections break at once: the ensemble has another leader.
    LeaderChange,
    Resign,
    Leave,
    Drop,
    Evict,
    ForeignJoins,
    ForeignLeaves,
}

const FAULTS: [Fault; 21] = [
    Fault::Ambush,
    Fault::Ambush,
    Fault::Ambush,
    Fault::Cut,
    Fault::Cut,
    Fault::LoseReply,
    Fault::LoseReply,
    Fault::Hole,
    Fault::Hole,
    Fault::Hole,
    Fault::Mute,
    Fault::Freeze,
    Fault::Freeze,
    Fault::Kill,
    Fault::LeaderChange,
    Fault::Resign,
    Fault::Leave,
    Fault::Drop,
    Fault::Evict,
    Fault::ForeignJoins,
    Fault::ForeignLeaves,
];

/// When what goes wrong, with which host, and when faults are over.
pub(super) enum Plan {
    /// Anything, now and then, from the next time on.
    Chance { next: Time, until: Time },
    /// These, the last one first.
    Few { left: Vec<(Time, Fault, usize)>, until: Time },
}

/// How long each step is before few faults: no longer than any part of a request's way.
pub(super) const STEP: Duration = Duration::from_millis(5);
/// When the leader resigns in a run with one fault, so that there is something to go wrong with.
pub(super) const RESIGNS: Time = Duration::from_millis(700);

impl World {
    /// How long the step is before which it happens.
    pub(super) fn what_is_planned(&mut self, now: Time) -> Duration {
        let any = Duration::from_millis(self.dice.lock().unwrap().pick(&[5, 20, 20, 50, 100]));
        let until = match &mut self.plan {
            _ if self.calm.is_some() => return any,
            Plan::Few { left, .. } if !left.is_empty() => {
                if let Some((_, fault, host)) = left.pop_if(|(at, ..)| *at <= now) {
                    self.fault(fault, host, now);
                }
                return STEP;
            }
            Plan::Few { until, .. } => *until,
            Plan::Chance { next, until } if *next <= now => {
                let until = *until;
                let fault = self.dice.lock().unwrap().pick(&FAULTS);
                self.fault(fault, self.some_host(), now);
                let gap = self.network.manner.timeout.as_millis() as u64;
                self.plan = Plan::Chance { next: now + Duration::from_millis(self.roll(1, gap)), until };
                until
            }
            Plan::Chance { until, .. } => *until,
        };
        if now >= until {
            self.calm_down(now);
        }
        any
    }

    fn fault(&mut self, fault: Fault, host: usize, now: Time) {
        let timeout = self.network.manner.timeout.as_millis() as u64;
        let length = Duration::from_millis(self.roll(timeout / 10, 2 * timeout));
        if self.trace {
            println!("{:9.3} {fault:?} host {host}, {length:?}", now.as_secs_f64());
        }
        match fault {
            Fault::Cut => self.network.cut(host, now),
            Fault::LoseReply => self.network.lose_a_reply(host),
            Fault::Hole => self.network.hole(host, now, now + length),
            Fault::Ambush => self.network.ambush(host, length),
            Fault::Mute => self.network.mute(host, now),
            Fault::Freeze => self.hosts[host].frozen_until = now + length,
            Fault::Kill => self.kill(host, now, now + length),
            Fault::LeaderChange => (0..self.hosts.len()).for_each(|host| self.network.cut(host, now)),
            Fault::Resign => self.order(host, Order::Resign),
            Fault::Leave => self.order(host, Order::Leave),
            Fault::Drop => self.order(host, Order::Drop),
            Fault::Evict => self.evict(),
            Fault::ForeignJoins => self.foreign_joins(),
            Fault::ForeignLeaves => self.foreign_leaves(),
        }
    }

    /// Often the one that leads.
    fn some_host(&self) -> usize {
        let leading = self.shared.terms.lock().unwrap().someone_live();
        match leading {
            Some(host) if self.dice.lock().unwrap().chance(500) => host,
            _ => self.roll(0, self.hosts.len() as u64 - 1) as usize,
        }
    }

    fn order(&self, host: usize, order: Order) {
        if let Some(process) = &self.hosts[host].process {
            process.order(order);
        }
    }

    fn kill(&mut self, host: usize, now: Time, until: Time) {
        if self.hosts[host].process.is_none() {
            return;
        }
        // What its guests have on the way stays on the way; they are gone.
        self.shared.terms.lock().unwrap().killed(host);
        self.network.crash(host, now);
        self.hosts[host].process = None;
        self.hosts[host].starts_at = until;
    }

    pub(super) fn contenders(&self) -> Vec<(String, Stat)> {
        let names = at_once(self.onlooker.list(ELECTION)).unwrap();
        let queue = silverback_election::in_order(&names);
        let paths = queue.iter().map(|contender| format!("{ELECTION}/{}", contender.name()));
        paths.filter_map(|path| at_once(self.onlooker.stat(&path)).unwrap().map(|stat| (path, stat))).collect()
    }

    /// An operator deletes a contender, the first more often than another.
    fn evict(&self) {
        let contenders = self.contenders();
        let at = self.roll(0, 3) as usize;
        if let Some((contender, _)) = contenders.get(at).or(contenders.first()) {
            self.shared.terms.lock().unwrap().take(contender);
            at_once(self.onlooker.delete(contender, None)).unwrap();
        }
    }

    fn foreign_joins(&self) {
        let prefix = format!("{ELECTION}/{}", lock_prefix(&format!("{:032x}", self.roll(0, u64::MAX / 2))));
        at_once(self.foreign.create(&prefix, b"foreign", CreateMode::EphemeralSequential)).unwrap();
    }

    pub(super) fn foreign_leaves(&self) {
        let mine = |(_, stat): &&(String, Stat)| stat.ephemeral_owner == self.foreign.id();
        if let Some((path, _)) = self.contenders().iter().find(mine) {
            at_once(self.foreign.delete(path, None)).unwrap();
        }
    }
}

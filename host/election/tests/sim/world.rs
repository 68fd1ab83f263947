//! What happens when, in virtual time: a queue of happenings, and who takes them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::dice::Dice;
use crate::ensemble::Ensemble;
use crate::faults::Ambush;
use crate::host::{Host, HostClock, HostEvent};
use crate::invariants::{self, Broken};
use crate::mutations::Mutation;
use crate::servers::ServerEvent;
use crate::setting::{SECOND, Setting, Theme, Time};

pub(crate) enum Happening {
    Server(ServerEvent),
    Host { host: usize, life: u32, what: HostEvent },
    Resume(usize),
    Fault,
    Calm,
    End,
}

struct Entry {
    at: Time,
    order: u8,
    number: u64,
    what: Happening,
}

impl Entry {
    fn key(&self) -> (Time, u8, u64) {
        (self.at, self.order, self.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

pub(crate) struct World {
    pub(crate) now: Time,
    queue: BinaryHeap<Reverse<Entry>>,
    numbers: u64,
    pub(crate) dice: Dice,
    pub(crate) setting: Setting,
    pub(crate) ensemble: Ensemble,
    pub(crate) hosts: Vec<Host>,
    pub(crate) highest_token: i64,
    pub(crate) figures: Figures,
    pub(crate) ambush: Option<Ambush>,
    /// The host whose next write's reply is lost.
    pub(crate) loses_a_reply: Option<usize>,
    /// Faults are over.
    pub(crate) calm: bool,
    pub(crate) broken: Option<Broken>,
    traced: bool,
}

/// What a run came to, so that one can see that it came to something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) terms: u64,
    pub(crate) writes: u64,
    pub(crate) refused: u64,
    pub(crate) expired: u64,
    pub(crate) lease_ends: u64,
    pub(crate) evicted: u64,
}

/// One run. The first invariant that breaks ends it.
pub(crate) fn run(seed: u64, mutation: Option<Mutation>, traced: bool) -> Result<Figures, Broken> {
    let mut world = World::new(seed, mutation, traced);
    while let Some(Reverse(entry)) = world.queue.pop() {
        world.now = entry.at;
        if matches!(entry.what, Happening::End) {
            invariants::at_the_end(&world)?;
            break;
        }
        world.take(entry.what);
        if let Some(broken) = world.broken {
            return Err(broken);
        }
        invariants::at_any_time(&world)?;
    }
    Ok(world.figures)
}

impl World {
    fn new(seed: u64, mutation: Option<Mutation>, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let setting = Setting::roll(&mut dice, mutation);
        let phase = dice.between(0, setting.tick() - 1);
        let drift = u64::from(setting.rule.drift_per_mille);
        let hosts = (0..setting.hosts).map(|host| {
            let rate = dice.between(0, 2 * drift) as i64 - drift as i64;
            let slow = if setting.theme == Theme::Lease { 700 } else { 300 };
            let rate = if dice.chance(slow) { -(drift as i64) } else { rate };
            Host::new(HostClock { offset: dice.between(0, 1000) * SECOND, rate }, host == 0)
        });
        let hosts = hosts.collect();
        let ensemble = Ensemble::new(&setting, phase);
        let mut world = World {
            now: 0,
            queue: BinaryHeap::new(),
            numbers: 0,
            dice,
            setting,
            ensemble,
            hosts,
            highest_token: i64::MIN,
            figures: Figures::default(),
            ambush: None,
            loses_a_reply: None,
            calm: false,
            broken: None,
            traced,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.start_servers();
        for host in 0..self.hosts.len() {
            let after = self.dice.between(0, SECOND);
            self.at_host(host, after, HostEvent::OpenSession);
        }
        self.after(self.setting.fault_gap, Happening::Fault);
        self.after(self.setting.calm_at, Happening::Calm);
        self.after(self.setting.calm_at + self.setting.patience(), Happening::End);
    }

    fn take(&mut self, what: Happening) {
        match what {
            Happening::Server(event) => self.at_server(event),
            Happening::Host { host, life, what } if self.hosts[host].life == life => {
                if self.hosts[host].paused {
                    self.hosts[host].deferred.push(what);
                } else {
                    self.trace(|| format!("host {host}: {what:?}"));
                    self.host_event(host, what);
                }
            }
            // Of a process that is no more, or a session before this one.
            Happening::Host { .. } | Happening::End => {}
            Happening::Resume(host) => self.resume(host),
            Happening::Fault => self.fault(),
            Happening::Calm => self.calm_down(),
        }
    }

    pub(crate) fn after(&mut self, delay: Time, what: Happening) {
        let order = match &what {
            Happening::Host { what, .. } => what.order(),
            _ => 0,
        };
        self.numbers += 1;
        self.queue.push(Reverse(Entry { at: self.now + delay, order, number: self.numbers, what }));
    }

    pub(crate) fn at_host(&mut self, host: usize, delay: Time, what: HostEvent) {
        let life = self.hosts[host].life;
        self.after(delay, Happening::Host { host, life, what });
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        if self.traced {
            println!("{:>11.3} ms  {}", self.now as f64 / 1000.0, line());
        }
    }
}

impl Figures {
    pub(crate) fn add(&mut self, other: Figures) {
        self.terms += other.terms;
        self.writes += other.writes;
        self.refused += other.refused;
        self.expired += other.expired;
        self.lease_ends += other.lease_ends;
        self.evicted += other.evicted;
    }
}

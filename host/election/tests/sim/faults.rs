//! What goes wrong, and its end.

use silverback_election::lock_prefix;

use crate::host::HostEvent;
use crate::setting::{Theme, Time};
use crate::world::{Happening, World};

/// The host's next heartbeat's answer is the last thing that it hears for long.
#[derive(Clone, Copy)]
pub(crate) struct Ambush {
    pub(crate) host: usize,
    /// The next is long on its way to the server, and it is the one after.
    pub(crate) after_a_slow_one: bool,
}

#[derive(Clone, Copy)]
enum Fault {
    /// The connection is reset: before what is under way was done, or after.
    Cut,
    /// The connection is reset when the next write has been done.
    LoseReply,
    /// Nothing gets through, in either direction, and nobody is told.
    Hole,
    /// Requests get through, replies don't.
    Mute,
    /// Both, and for the follower too, from the moment when a heartbeat has been answered.
    Ambush,
    /// The process stands still.
    Pause,
    /// The process is killed, and started again.
    Crash,
    FollowerCutOff,
    LeaderDies,
    Resign,
    Leave,
    /// An operator deletes the first contender.
    Evict,
    ForeignJoins,
    ForeignLeaves,
}

const ANY: [Fault; 19] = [
    Fault::LoseReply,
    Fault::LoseReply,
    Fault::Cut,
    Fault::Cut,
    Fault::Cut,
    Fault::Hole,
    Fault::Hole,
    Fault::Mute,
    Fault::Pause,
    Fault::Pause,
    Fault::Crash,
    Fault::FollowerCutOff,
    Fault::FollowerCutOff,
    Fault::LeaderDies,
    Fault::Resign,
    Fault::Leave,
    Fault::Evict,
    Fault::ForeignJoins,
    Fault::ForeignLeaves,
];

const OF_LEASES: [Fault; 6] =
    [Fault::Ambush, Fault::Ambush, Fault::Ambush, Fault::Hole, Fault::FollowerCutOff, Fault::LeaderDies];

const OF_PEOPLE: [Fault; 6] =
    [Fault::Resign, Fault::Resign, Fault::Leave, Fault::Evict, Fault::ForeignJoins, Fault::ForeignLeaves];

/// Of sessions that stay for as long as the run does.
const FOREIGN: i64 = 1 << 40;

impl World {
    pub(crate) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let next = self.dice.between(1, 2 * self.setting.fault_gap);
        self.after(next, Happening::Fault);
        let host = self.some_host();
        let timeout = self.setting.timeout();
        let fault = match self.setting.theme {
            Theme::Any => self.dice.pick(&ANY),
            Theme::Lease => self.dice.pick(&OF_LEASES),
            Theme::People => self.dice.pick(&OF_PEOPLE),
        };
        match fault {
            Fault::Cut => {
                self.trace(|| format!("host {host}: cut"));
                self.connection_breaks(host);
            }
            Fault::Hole => {
                let until = self.now + self.dice.between(timeout / 10, 2 * timeout);
                self.trace(|| format!("host {host}: hole until {until}"));
                self.silence(host, until, true);
            }
            Fault::Mute => self.silence(host, self.now, false),
            Fault::LoseReply => self.loses_a_reply = Some(host),
            Fault::Ambush => {
                let after_a_slow_one = self.dice.chance(500);
                self.ambush = Some(Ambush { host, after_a_slow_one });
            }
            Fault::Pause => {
                let length = self.dice.between(timeout / 10, 2 * timeout);
                self.pause(host, length);
            }
            Fault::Crash => self.crash(host),
            Fault::FollowerCutOff => self.follower_is_cut_off(),
            Fault::LeaderDies => self.leader_dies(),
            Fault::Resign => self.at_host(host, 0, HostEvent::Resign),
            Fault::Leave if self.hosts[host].stays => {}
            Fault::Leave => self.at_host(host, 0, HostEvent::Leaves),
            Fault::Evict => self.evict(),
            Fault::ForeignJoins => self.foreign_joins(),
            Fault::ForeignLeaves => self.foreign_leaves(),
        }
    }

    /// One of them; often the one that leads.
    fn some_host(&mut self) -> usize {
        let leading = self.hosts.iter().position(|host| host.term.is_some());
        match leading {
            Some(leading) if self.dice.chance(500) => leading,
            _ => self.dice.between(0, self.hosts.len() as u64 - 1) as usize,
        }
    }

    fn silence(&mut self, host: usize, until: Time, deaf: bool) {
        let it = &mut self.hosts[host];
        it.undisturbed_since = self.now;
        it.holed_until = it.holed_until.max(until);
        if let Some(client) = &mut it.client {
            client.mute = true;
            client.deaf |= deaf;
        }
    }

    /// Holds up what the host sends.
    pub(crate) fn prepare_ambush(&mut self, host: usize) {
        let slow = self.ambush.is_some_and(|ambush| ambush.host == host && ambush.after_a_slow_one);
        let length = self.dice.between(self.setting.timeout() / 8, self.setting.slowest());
        if let Some(client) = self.hosts[host].client.as_mut().filter(|_| slow) {
            client.last_sent = client.last_sent.max(self.now + length);
        }
    }

    /// The follower takes the touch of that heartbeat with it, unless the leader has been told of it.
    pub(crate) fn spring_ambush(&mut self, host: usize) {
        let Some(ambush) = self.ambush.as_mut().filter(|ambush| ambush.host == host) else { return };
        if std::mem::take(&mut ambush.after_a_slow_one) || self.calm {
            return;
        }
        self.ambush = None;
        self.trace(|| format!("host {host}: ambushed"));
        if let Some(server) = self.hosts[host].client.as_ref().map(|client| client.server) {
            self.cut_off(server);
        }
        let until = self.now + 2 * self.setting.timeout();
        self.silence(host, until, true);
    }

    fn pause(&mut self, host: usize, length: Time) {
        if !self.hosts[host].paused {
            self.trace(|| format!("host {host}: stands still"));
            self.hosts[host].paused = true;
            self.after(length, Happening::Resume(host));
        }
    }

    pub(crate) fn resume(&mut self, host: usize) {
        if !std::mem::take(&mut self.hosts[host].paused) {
            return;
        }
        self.trace(|| format!("host {host}: goes on"));
        self.hosts[host].undisturbed_since = self.now;
        self.guest_wakes(host);
        for event in std::mem::take(&mut self.hosts[host].deferred) {
            self.at_host(host, 0, event);
        }
    }

    fn crash(&mut self, host: usize) {
        self.trace(|| format!("host {host}: is killed"));
        self.new_life(host);
        self.hosts[host].driver = None;
        self.hosts[host].paused = false;
        let after = self.dice.between(0, 2 * self.setting.timeout());
        self.at_host(host, after, HostEvent::OpenSession);
    }

    fn evict(&mut self) {
        let first = self.ensemble.first.as_ref().map(|first| first.name.clone());
        if let (Some(first), true) = (first, self.ensemble.leader.is_some()) {
            self.trace(|| format!("{first} is deleted by an operator"));
            self.figures.evicted += 1;
            self.ensemble.taken.push((first.clone(), self.now));
            self.ensemble.delete(&first);
            self.publish();
        }
    }

    fn foreign_joins(&mut self) {
        if self.ensemble.leader.is_some() {
            let id = format!("{:032x}", self.number());
            let prefix = if self.dice.chance(500) { lock_prefix(&id) } else { format!("_c_{id}-lock-") };
            self.ensemble.create(&prefix, FOREIGN);
            self.publish();
        }
    }

    fn foreign_leaves(&mut self) {
        let foreign = self.ensemble.committed.iter().find(|node| node.owner == FOREIGN).map(|node| node.name.clone());
        if let (Some(foreign), true) = (foreign, self.ensemble.leader.is_some()) {
            self.ensemble.delete(&foreign);
            self.publish();
        }
    }

    /// No fault from here on, and an end to those under way.
    pub(crate) fn calm_down(&mut self) {
        if self.ensemble.leader.is_none() {
            return self.after(self.setting.tick() / 10, Happening::Calm);
        }
        self.trace(|| "faults are over".to_owned());
        self.calm = true;
        while self.ensemble.committed.iter().any(|node| node.owner == FOREIGN) {
            self.foreign_leaves();
        }
        (0..crate::ensemble::SERVERS).for_each(|server| self.rejoins(server));
        for host in 0..self.hosts.len() {
            self.resume(host);
            self.hosts[host].holed_until = self.now;
            if self.hosts[host].client.as_ref().is_some_and(|client| client.keeps_loss_back) {
                self.tell_link(host);
            }
            if let Some(term) = self.hosts[host].term.as_ref().filter(|term| term.asked_to_stop) {
                let term = term.id;
                self.at_host(host, 0, HostEvent::GraceEnds { term });
            }
        }
    }
}

//! A host's session with the ensemble: its connection, its heartbeats, and the lease that they prove.

use std::time::Duration;

use silverback_election::Heartbeats;

use crate::ensemble::SERVERS;
use crate::host::{Ask, Client, HostEvent, Link, Reply, Request};
use crate::mutations::Mutation;
use crate::servers::{Passage, ServerEvent};
use crate::setting::{MS, Time};
use crate::world::{Happening, World};

impl World {
    // ---- opening ----

    pub(crate) fn open_session(&mut self, host: usize) {
        if self.now < self.hosts[host].holed_until || self.ensemble.leader.is_none() {
            let pause = self.dice.between(50 * MS, 300 * MS);
            return self.at_host(host, pause, HostEvent::OpenSession);
        }
        let opening = self.hosts[host].clock.at(self.now);
        let (server, delay) = (self.some_server(), self.network_delay());
        let life = self.hosts[host].life;
        self.after(delay, Happening::Server(ServerEvent::Opens { host, life, server, opening }));
    }

    pub(crate) fn opened(&mut self, host: usize, session: i64, server: usize, opening: Duration) {
        let connection = self.number();
        let rule = self.setting.rule_of_a_host();
        let it = &mut self.hosts[host];
        it.client = Some(Client {
            session,
            link: Link::Connected,
            connection,
            server,
            received: self.now,
            seen: self.ensemble.servers[server].applied,
            queued: Vec::new(),
            in_flight: Vec::new(),
            deaf: false,
            mute: false,
            last_sent: self.now,
            last_delivery: self.now,
            keeps_loss_back: false,
        });
        let heartbeats = Heartbeats::new(rule, opening);
        it.stop_at = heartbeats.stop_at();
        it.heartbeats = Some(heartbeats);
        it.undisturbed_since = self.now;
        self.at_host(host, 0, HostEvent::HeartbeatDue);
        self.at_host(host, self.setting.timeout() / 10, HostEvent::ClientTick);
        self.stand(host);
    }

    fn some_server(&mut self) -> usize {
        self.dice.between(0, SERVERS as u64 - 1) as usize
    }

    // ---- requests and replies ----

    /// Handed to the client. While it is not connected it queues, silently.
    pub(crate) fn request(&mut self, host: usize, request: Request) {
        let delay = self.dice.between(0, MS);
        self.at_host(host, delay, HostEvent::Leave(request));
    }

    pub(crate) fn leave(&mut self, host: usize, request: Request) {
        let delay = self.network_delay();
        let Some(client) = &mut self.hosts[host].client else { return };
        match client.link {
            Link::Lost => {}
            Link::Disconnected => client.queued.push(request),
            Link::Connected => {
                client.in_flight.push(request.clone());
                client.last_sent = client.last_sent.max(self.now + delay);
                let delay = client.last_sent - self.now;
                let (server, connection, session) = (client.server, client.connection, client.session);
                let passage = Passage { server, host, connection, session, request };
                self.after(delay, Happening::Server(ServerEvent::Arrives(passage)));
            }
        }
    }

    /// From a server to a host, in order.
    pub(crate) fn deliver(&mut self, passage: &Passage, reply: Reply) {
        let delay = self.network_delay();
        let seen = self.ensemble.servers[passage.server].applied;
        let Some(client) = &mut self.hosts[passage.host].client else { return };
        client.last_delivery = client.last_delivery.max(self.now + delay);
        let delay = client.last_delivery - self.now;
        let (connection, request) = (passage.connection, passage.request.id);
        self.at_host(passage.host, delay, HostEvent::Deliver { connection, request, reply, seen });
    }

    pub(crate) fn delivered(&mut self, host: usize, connection: u64, request: u64, reply: Reply, seen: usize) {
        let Some(client) = &mut self.hosts[host].client else { return };
        if client.connection != connection || client.mute || client.link != Link::Connected {
            return;
        }
        client.received = self.now;
        client.seen = client.seen.max(seen);
        let Some(at) = client.in_flight.iter().position(|waiting| waiting.id == request) else { return };
        let request = client.in_flight.remove(at);
        let late = self.lateness();
        self.at_host(host, late, HostEvent::Answer(request, reply));
    }

    // ---- the connection ----

    pub(crate) fn client_tick(&mut self, host: usize) {
        let timeout = self.setting.timeout();
        let Some(client) = &self.hosts[host].client else { return };
        let silent = self.now - client.received;
        match client.link {
            Link::Lost => return,
            Link::Connected if silent > timeout * 2 / 5 => self.connection_breaks(host),
            // Something was sent a moment ago.
            Link::Connected if self.now < client.last_sent + timeout * 3 / 20 => {}
            Link::Connected => {
                let ping = Request { id: self.number(), ask: Ask::Ping(self.hosts[host].clock.at(self.now)) };
                self.request(host, ping);
            }
            Link::Disconnected if silent > timeout * 7 / 5 => self.session_is_lost(host),
            Link::Disconnected => {}
        }
        self.at_host(host, timeout / 10, HostEvent::ClientTick);
    }

    /// Whatever was under way on it may or may not have been done.
    pub(crate) fn connection_breaks(&mut self, host: usize) {
        let connection = self.number();
        self.hosts[host].undisturbed_since = self.now;
        let Some(client) = self.hosts[host].client.as_mut().filter(|client| client.link == Link::Connected) else {
            return;
        };
        client.link = Link::Disconnected;
        client.connection = connection;
        let in_flight = std::mem::take(&mut client.in_flight);
        for request in in_flight {
            // A watch that was set may be forgotten with its connection.
            if matches!(request.ask, Ask::Watch(_)) && self.dice.chance(700) {
                continue;
            }
            // As the host does, it waits a moment before it says so.
            let late = 50 * MS + self.lateness();
            self.at_host(host, late, HostEvent::Answer(request, Reply::Unknown));
        }
        self.tell_link(host);
        let pause = self.dice.between(MS, 300 * MS);
        self.at_host(host, pause, HostEvent::Reconnect(connection));
    }

    pub(crate) fn reconnect(&mut self, host: usize, connection: u64) {
        let server = self.some_server();
        let it = &self.hosts[host];
        let waits = |client: &&Client| client.link == Link::Disconnected && client.connection == connection;
        let Some(client) = it.client.as_ref().filter(waits) else { return };
        let behind = self.ensemble.servers[server].applied < client.seen;
        let (session, life) = (client.session, it.life);
        if self.now < it.holed_until || behind || !self.serves(server) {
            let pause = self.dice.between(50 * MS, 300 * MS);
            return self.at_host(host, pause, HostEvent::Reconnect(connection));
        }
        let delay = self.network_delay();
        self.after(delay, Happening::Server(ServerEvent::Revalidates { host, life, server, session, connection }));
    }

    pub(crate) fn reconnected(&mut self, host: usize, server: usize, drops: u32) {
        let connection = self.number();
        let Some(client) = self.hosts[host].client.as_mut().filter(|client| client.link == Link::Disconnected) else {
            return;
        };
        client.link = Link::Connected;
        client.server = server;
        client.connection = connection;
        client.received = self.now;
        client.last_sent = self.now;
        client.last_delivery = self.now;
        (client.deaf, client.mute) = (false, false);
        let queued = std::mem::take(&mut client.queued);
        self.hosts[host].undisturbed_since = self.now;
        self.tell_link(host);
        queued.into_iter().for_each(|request| self.leave(host, request));
        if self.ensemble.servers[server].drops != drops {
            self.connection_breaks(host);
        }
    }

    /// The server said so, or the client takes it to be so.
    pub(crate) fn session_is_lost(&mut self, host: usize) {
        let Some(client) = &mut self.hosts[host].client else { return };
        if client.link == Link::Lost {
            return;
        }
        client.link = Link::Lost;
        client.queued.clear();
        client.in_flight.clear();
        if !self.calm && self.dice.chance(200) {
            client.keeps_loss_back = true;
        } else {
            self.tell_link(host);
        }
    }

    pub(crate) fn tell_link(&mut self, host: usize) {
        let late = self.lateness();
        self.at_host(host, late, HostEvent::LinkChanged);
    }

    // ---- heartbeats ----

    /// One at a time: while one is not answered another would prove nothing.
    pub(crate) fn heartbeat(&mut self, host: usize) {
        self.prepare_ambush(host);
        let sent = self.hosts[host].clock.at(self.now);
        let request = Request { id: self.number(), ask: Ask::Heartbeat(sent) };
        self.request(host, request);
    }

    pub(crate) fn heartbeat_answered(&mut self, host: usize, sent: Duration, reply: &Reply) {
        if matches!(reply, Reply::Done) {
            self.proven(host, sent);
            self.spring_ambush(host);
        }
        let it = &self.hosts[host];
        let next = it.clock.when(sent + self.setting.rule.interval(), self.now);
        self.at_host(host, next - self.now, HostEvent::HeartbeatDue);
    }

    pub(crate) fn proven(&mut self, host: usize, sent: Duration) {
        let it = &mut self.hosts[host];
        let now = it.clock.at(self.now);
        let Some(heartbeats) = &mut it.heartbeats else { return };
        match self.setting.mutation {
            Some(Mutation::LeaseFromAcknowledgement) => heartbeats.acknowledged(now, now),
            // As if each had been answered when it was sent.
            Some(Mutation::VouchedBySendTimes | Mutation::NewestHeartbeatVouches) => {
                heartbeats.acknowledged(sent, sent)
            }
            _ => heartbeats.acknowledged(sent, now),
        }
        it.stop_at = it.stop_at.max(heartbeats.stop_at());
        if !it.lease_is_over(self.now) {
            let waiting = std::mem::take(&mut it.unvouched);
            waiting.into_iter().for_each(|request| self.ask_if_wanted(host, request));
        }
    }

    // ---- delays ----

    pub(crate) fn network_delay(&mut self) -> Time {
        let slow = !self.calm && self.dice.chance(self.setting.slow_per_mille);
        let most = if slow { self.setting.slowest() } else { 5 * MS };
        self.dice.between(100, most)
    }

    /// How long what has come lies at the host before whoever waits for it looks at it.
    pub(crate) fn lateness(&mut self) -> Time {
        let slow = !self.calm && self.dice.chance(self.setting.slow_per_mille);
        let most = if slow { self.setting.slowest() } else { MS };
        self.dice.between(0, most)
    }
}

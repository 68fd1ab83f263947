//! What happens at the servers: requests, commits, pings among themselves, elections of their own.

use crate::ensemble::{SERVERS, Watch};
use crate::host::{Ask, HostEvent, Reply, Request};
use crate::invariants;
use crate::mutations::Mutation;
use crate::setting::{MS, Time};
use crate::world::{Happening, World};

/// A request on its way, and where its answer goes.
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    pub(crate) server: usize,
    pub(crate) host: usize,
    pub(crate) connection: u64,
    pub(crate) session: i64,
    pub(crate) request: Request,
}

#[derive(Clone, Debug)]
pub(crate) enum ServerEvent {
    Arrives(Passage),
    /// Forwarded by the server to the leader of this reign.
    AtLeader(u32, Passage),
    /// The server has applied the log up to there.
    Applies {
        server: usize,
        reign: u32,
        up_to: usize,
    },
    /// The server has applied what the request did.
    Answers {
        reign: u32,
        passage: Passage,
        reply: Reply,
    },
    /// A follower answers the leader's ping.
    AnswersPing(usize),
    Touches {
        server: usize,
        reign: u32,
        sessions: Vec<i64>,
    },
    /// The leader's tick.
    Tick,
    Elected(usize),
    /// The follower that lost the leader so long ago gives its clients up.
    DropsClients(usize),
    Rejoins(usize),
    Revalidates {
        host: usize,
        life: u32,
        server: usize,
        session: i64,
        connection: u64,
    },
    Opens {
        host: usize,
        life: u32,
        server: usize,
        opening: std::time::Duration,
    },
}

impl World {
    pub(crate) fn start_servers(&mut self) {
        for server in 0..SERVERS {
            let phase = self.dice.between(0, self.setting.tick() / 2);
            self.server_after(phase, ServerEvent::AnswersPing(server));
        }
        let first = self.setting.tick() - self.ensemble.phase;
        self.server_after(first, ServerEvent::Tick);
    }

    fn server_after(&mut self, delay: Time, event: ServerEvent) {
        self.after(delay, Happening::Server(event));
    }

    pub(crate) fn at_server(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Arrives(passage) => self.arrives(passage),
            ServerEvent::AtLeader(reign, passage) => self.at_leader(reign, passage),
            ServerEvent::Applies { server, reign, up_to } => {
                if self.follows(server, reign) {
                    self.applies(server, up_to);
                }
            }
            ServerEvent::Answers { reign, passage, reply } => self.answers(reign, &passage, reply),
            ServerEvent::AnswersPing(server) => self.answers_ping(server),
            ServerEvent::Touches { server, reign, sessions } => {
                if self.follows(server, reign) {
                    sessions.into_iter().for_each(|session| self.ensemble.touch(session, self.now));
                }
            }
            ServerEvent::Tick => self.tick(),
            ServerEvent::Elected(leader) => self.elected(leader),
            ServerEvent::DropsClients(server) => {
                if self.ensemble.servers[server].cut_off {
                    self.drop_clients(server);
                }
            }
            ServerEvent::Rejoins(server) => self.rejoins(server),
            ServerEvent::Revalidates { host, life, server, session, connection } => {
                let answer = self.revalidated(server, session, connection);
                let delay = self.network_delay();
                self.after(delay, Happening::Host { host, life, what: answer });
            }
            ServerEvent::Opens { host, life, server, opening } => self.opens(host, life, server, opening),
        }
    }

    /// Whether the server belongs to a quorum under the leader of this reign.
    fn follows(&self, server: usize, reign: u32) -> bool {
        self.ensemble.reign == reign && self.serves(server)
    }

    pub(crate) fn serves(&self, server: usize) -> bool {
        self.ensemble.leader.is_some() && !self.ensemble.servers[server].cut_off
    }

    // ---- requests ----

    fn arrives(&mut self, passage: Passage) {
        let open = |client: &crate::host::Client| client.connection == passage.connection && !client.deaf;
        if !self.hosts[passage.host].client.as_ref().is_some_and(open) {
            return;
        }
        self.touch_at(passage.server, passage.session);
        let synced = passage.request.ask == Ask::Look && !self.setting.has(Mutation::LookWithoutSync);
        if passage.request.ask.is_write() || synced {
            let reign = self.ensemble.reign;
            let delay = self.between_servers();
            let server = &mut self.ensemble.servers[passage.server];
            server.to_leader = server.to_leader.max(self.now + delay);
            let at = server.to_leader;
            self.server_after(at - self.now, ServerEvent::AtLeader(reign, passage));
        } else if let Some(reply) = self.read(&passage) {
            self.deliver(&passage, reply);
        }
    }

    fn touch_at(&mut self, server: usize, session: i64) {
        if self.ensemble.leader == Some(server) {
            self.ensemble.touch(session, self.now);
        } else if !self.ensemble.servers[server].untold.contains(&session) {
            self.ensemble.servers[server].untold.push(session);
        }
    }

    /// From what this server has applied. A watch is answered when it fires.
    fn read(&mut self, passage: &Passage) -> Option<Reply> {
        let server = &mut self.ensemble.servers[passage.server];
        let stat =
            |name: &String| server.tree.iter().find(|node| node.name == *name).map(|node| (node.owner, node.czxid));
        let names = || server.tree.iter().map(|node| node.name.clone()).collect();
        match &passage.request.ask {
            Ask::Look => Some(Reply::Children(names())),
            Ask::List(name) => Some(Reply::Queue(names(), stat(name))),
            Ask::Verify(name) => Some(Reply::Stat(stat(name))),
            Ask::Watch(name) if stat(name).is_none() => Some(Reply::Changed),
            Ask::Watch(name) => {
                let (host, connection, request) = (passage.host, passage.connection, passage.request.id);
                server.watches.push(Watch { host, connection, request, name: name.clone() });
                None
            }
            Ask::Ping(_) => Some(Reply::Pong),
            Ask::Heartbeat(_) | Ask::Create(_) | Ask::Delete(_) | Ask::GuestWrite(..) => None,
        }
    }

    fn at_leader(&mut self, reign: u32, passage: Passage) {
        let server = passage.server;
        if !self.follows(server, reign) {
            return;
        }
        match self.ensemble.session(passage.session).map(|session| session.server) {
            Some(through) if through == server => {}
            Some(_) => return,
            None => return self.close(&passage),
        }
        let reply = self.commit(&passage);
        let makes_or_deletes = matches!(passage.request.ask, Ask::Create(_) | Ask::Delete(_));
        if makes_or_deletes && self.loses_a_reply == Some(passage.host) && !self.calm {
            self.loses_a_reply = None;
            self.connection_breaks(passage.host);
        }
        let up_to = self.publish();
        let applied = if self.ensemble.leader == Some(server) {
            0
        } else {
            // Without a change of its own, the answer still follows all that was committed before.
            self.server_reaches(server, up_to)
        };
        self.server_after(applied, ServerEvent::Answers { reign, passage, reply });
    }

    /// The session is no more, so its server ends the connection.
    fn close(&mut self, passage: &Passage) {
        let client = self.hosts[passage.host].client.as_ref();
        if client.is_some_and(|client| client.connection == passage.connection) {
            self.connection_breaks(passage.host);
        }
    }

    fn commit(&mut self, passage: &Passage) -> Reply {
        match &passage.request.ask {
            Ask::Create(_) if !self.calm && self.dice.chance(5) => Reply::Refused,
            Ask::Create(prefix) => Reply::Created(self.ensemble.create(prefix, passage.session)),
            Ask::Delete(name) => {
                if self.ensemble.node(name).is_some() {
                    self.ensemble.delete(name);
                }
                Reply::Done
            }
            Ask::GuestWrite(contender, token) => {
                if self.ensemble.node(contender).is_some() || self.setting.has(Mutation::WriteUnchecked) {
                    self.ensemble.other_write();
                    self.figures.writes += 1;
                    invariants::no_accepted_write_is_old(self, *token);
                } else {
                    self.figures.refused += 1;
                }
                Reply::Done
            }
            Ask::Heartbeat(_) => {
                self.ensemble.other_write();
                Reply::Done
            }
            Ask::Ping(_) | Ask::Look | Ask::List(_) | Ask::Verify(_) | Ask::Watch(_) => Reply::Done,
        }
    }

    /// The leader has what is committed at once, its followers soon.
    pub(crate) fn publish(&mut self) -> usize {
        let up_to = self.ensemble.log.len();
        let reign = self.ensemble.reign;
        for server in 0..SERVERS {
            if self.ensemble.leader == Some(server) {
                self.applies(server, up_to);
            } else if self.ensemble.servers[server].applied < up_to {
                let delay = self.server_reaches(server, up_to);
                self.server_after(delay, ServerEvent::Applies { server, reign, up_to });
            }
        }
        up_to
    }

    /// When a follower will have applied what is committed now.
    fn server_reaches(&mut self, server: usize, up_to: usize) -> Time {
        let applied = self.ensemble.servers[server].applied >= up_to;
        let lags = !self.calm && self.dice.chance(self.setting.slow_per_mille);
        let delay = match (applied, lags) {
            (true, _) => self.dice.between(100, MS),
            (false, true) => self.dice.between(100, self.setting.tick() * 3 / 2),
            (false, false) => self.between_servers(),
        };
        let at = &mut self.ensemble.servers[server].from_leader;
        *at = (*at).max(self.now + delay);
        *at - self.now
    }

    fn applies(&mut self, server: usize, up_to: usize) {
        for watch in self.ensemble.apply(server, up_to) {
            let request = Request { id: watch.request, ask: Ask::Watch(watch.name) };
            let (host, connection) = (watch.host, watch.connection);
            self.deliver(&Passage { server, host, connection, session: 0, request }, Reply::Changed);
        }
    }

    fn answers(&mut self, reign: u32, passage: &Passage, reply: Reply) {
        if self.follows(passage.server, reign) {
            let reply = if passage.request.ask == Ask::Look { self.read(passage).unwrap_or(reply) } else { reply };
            self.deliver(passage, reply);
        }
    }

    // ---- sessions ----

    fn answers_ping(&mut self, server: usize) {
        self.server_after(self.setting.tick() / 2, ServerEvent::AnswersPing(server));
        let untold = &mut self.ensemble.servers[server].untold;
        if untold.is_empty() || !self.serves(server) {
            return;
        }
        let sessions = std::mem::take(&mut self.ensemble.servers[server].untold);
        let delay = self.between_servers();
        let at = &mut self.ensemble.servers[server].to_leader;
        *at = (*at).max(self.now + delay);
        let (delay, reign) = (*at - self.now, self.ensemble.reign);
        self.server_after(delay, ServerEvent::Touches { server, reign, sessions });
    }

    fn tick(&mut self) {
        self.server_after(self.setting.tick(), ServerEvent::Tick);
        if self.ensemble.leader.is_none() {
            return;
        }
        for session in self.ensemble.expired(self.now) {
            self.trace(|| format!("session {session} expires"));
            self.figures.expired += 1;
            self.ensemble.sessions.retain(|other| other.id != session);
            let of_it = |node: &&crate::ensemble::Node| node.owner == session;
            let names: Vec<String> =
                self.ensemble.committed.iter().filter(of_it).map(|node| node.name.clone()).collect();
            names.iter().for_each(|name| self.ensemble.delete(name));
            self.publish();
        }
    }

    fn revalidated(&mut self, server: usize, session: i64, connection: u64) -> HostEvent {
        let (now, serves, drops) = (self.now, self.serves(server), self.ensemble.servers[server].drops);
        match self.ensemble.session(session) {
            _ if !serves => HostEvent::Reconnect(connection),
            None => HostEvent::Refused,
            Some(found) => {
                found.server = server;
                self.ensemble.touch(session, now);
                HostEvent::Reconnected { server, drops }
            }
        }
    }

    fn opens(&mut self, host: usize, life: u32, server: usize, opening: std::time::Duration) {
        let answer = if self.serves(server) {
            let (session, drops) = (self.ensemble.open(server, self.now), self.ensemble.servers[server].drops);
            HostEvent::Opened { session, server, drops, opening }
        } else {
            HostEvent::OpenSession
        };
        let delay = self.network_delay();
        self.after(delay, Happening::Host { host, life, what: answer });
    }

    // ---- faults of servers ----

    pub(crate) fn leader_dies(&mut self) {
        let Some(leader) = self.ensemble.leader.take() else { return };
        // A quorum is left only where nobody is away already, and has all that is committed.
        let up_to = self.ensemble.log.len();
        for server in 0..SERVERS {
            self.ensemble.apply(server, up_to);
            self.ensemble.servers[server].cut_off = false;
            self.ensemble.servers[server].untold.clear();
            self.drop_clients(server);
        }
        let next = (leader + self.dice.between(1, 2) as usize) % SERVERS;
        let delay = self.dice.between(200 * MS, 1500 * MS);
        self.server_after(delay, ServerEvent::Elected(next));
    }

    fn elected(&mut self, leader: usize) {
        self.trace(|| format!("server {leader} leads"));
        self.ensemble.reign(leader, self.now);
    }

    /// A follower loses the leader, at most one at a time; its clients don't notice for a while.
    pub(crate) fn follower_is_cut_off(&mut self) {
        if let Some(leader) = self.ensemble.leader {
            let further = self.dice.between(1, 2) as usize;
            self.cut_off((leader + further) % SERVERS);
        }
    }

    pub(crate) fn cut_off(&mut self, server: usize) {
        let leads = self.ensemble.leader.is_none_or(|leader| leader == server);
        if leads || self.ensemble.servers.iter().any(|server| server.cut_off) {
            return;
        }
        self.trace(|| format!("server {server} loses the leader"));
        self.ensemble.servers[server].cut_off = true;
        self.disturbed_on(server);
        let ticks = self.dice.between(1, 4);
        self.server_after(self.setting.tick() * ticks, ServerEvent::DropsClients(server));
        let away = self.setting.tick() * self.dice.between(ticks, 6);
        self.server_after(away, ServerEvent::Rejoins(server));
    }

    pub(crate) fn rejoins(&mut self, server: usize) {
        if self.ensemble.servers[server].cut_off && self.ensemble.leader.is_some() {
            self.drop_clients(server);
            self.ensemble.servers[server].cut_off = false;
            // What it had not told is told with its return, or was never told: it is a new follower.
            self.ensemble.servers[server].untold.clear();
            self.publish();
        }
    }

    fn drop_clients(&mut self, server: usize) {
        self.ensemble.servers[server].watches.clear();
        self.ensemble.servers[server].drops += 1;
        for host in 0..self.hosts.len() {
            if self.hosts[host].client.as_ref().is_some_and(|client| client.server == server) {
                self.connection_breaks(host);
            }
        }
    }

    fn disturbed_on(&mut self, server: usize) {
        for host in &mut self.hosts {
            if host.client.as_ref().is_some_and(|client| client.server == server) {
                host.undisturbed_since = self.now;
            }
        }
    }

    /// Quicker than a quarter of a tick, and nearly always much quicker.
    fn between_servers(&mut self) -> Time {
        let slow = !self.calm && self.dice.chance(self.setting.slow_per_mille / 2);
        let most = if slow { self.setting.tick() / 5 } else { 3 * MS };
        self.dice.between(100, most)
    }
}

//! What a host's candidate does with the machine's actions: a model of the product's driver.

use silverback_election::{Action, Event, How, OnReturn, Report, lock_prefix};

use crate::host::{Ask, HostEvent, Link, Reply, Request};
use crate::invariants;
use crate::mutations::{Mutant, Mutation};
use crate::setting::{MS, SECOND, Time};
use crate::world::World;

/// A candidate under way: the machine, and what it waits for.
pub(crate) struct Driver {
    pub(crate) machine: Mutant,
    pub(crate) write: Option<Request>,
    pub(crate) read: Option<Request>,
    rest: Option<u64>,
    pub(crate) session_lost: bool,
    last_grant: Option<Time>,
    pub(crate) finished: bool,
}

impl World {
    pub(crate) fn host_event(&mut self, host: usize, event: HostEvent) {
        match event {
            HostEvent::Leave(request) => self.leave(host, request),
            HostEvent::Deliver { connection, request, reply, seen } => {
                self.delivered(host, connection, request, reply, seen);
            }
            HostEvent::Answer(request, reply) => self.answer(host, request, reply),
            HostEvent::LinkChanged => self.link_changed(host),
            HostEvent::ClientTick => self.client_tick(host),
            HostEvent::Reconnect(connection) => self.reconnect(host, connection),
            HostEvent::Reconnected { server, drops } => self.reconnected(host, server, drops),
            HostEvent::Refused => self.session_is_lost(host),
            HostEvent::OpenSession => self.open_session(host),
            HostEvent::Opened { session, server, drops, opening } => {
                self.opened(host, session, server, opening);
                if self.ensemble.servers[server].drops != drops {
                    self.connection_breaks(host);
                }
            }
            HostEvent::HeartbeatDue => self.heartbeat(host),
            HostEvent::LeaseEnds { term } => self.lease_ends(host, term),
            HostEvent::LeaseOver { term } => self.lease_over(host, term),
            HostEvent::GraceEnds { term } => self.grace_ends(host, term),
            HostEvent::GuestTurn { term } => self.guest_turn(host, term),
            HostEvent::Trap { term, report } => self.trap(host, term, report),
            HostEvent::Served { term, report } => self.served(host, term, report),
            HostEvent::Rested(rest) => self.rested(host, rest),
            HostEvent::Repeat(request) => self.ask_if_wanted(host, request),
            HostEvent::Unvouched(request) => self.unvouched(host, request),
            HostEvent::DeleteTimedOut(request) => self.delete_timed_out(host, request),
            HostEvent::Resign => self.tell(host, Event::Resign),
            HostEvent::Leaves => self.tell(host, Event::Leave),
            HostEvent::StandsAgain => self.stands_again(host),
        }
    }

    /// One event into the machine, its actions into the host.
    pub(crate) fn tell(&mut self, host: usize, event: Event) {
        let Some(driver) = &mut self.hosts[host].driver else { return };
        driver.session_lost |= event == Event::SessionLost;
        let actions = driver.machine.step(event.clone());
        self.trace(|| format!("host {host}: told {event:?}, does {actions:?}"));
        for action in actions {
            invariants::nothing_follows_the_end(self, host, &action);
            self.act(host, action);
        }
    }

    // ---- standing ----

    pub(crate) fn stand(&mut self, host: usize) {
        let Some(client) = &self.hosts[host].client else { return };
        let on_return =
            if self.hosts[host].stays || self.dice.chance(800) { OnReturn::Requeue } else { OnReturn::Stop };
        let machine = Mutant::new(client.session, on_return, self.setting.mutation);
        let (write, read, rest, last_grant) = (None, None, None, None);
        let driver = Driver { machine, write, read, rest, session_lost: false, last_grant, finished: false };
        self.hosts[host].driver = Some(driver);
        self.stand_with_a_prefix(host);
    }

    fn stand_with_a_prefix(&mut self, host: usize) {
        let number = if self.setting.has(Mutation::OwnerNotChecked) { 0 } else { self.number() };
        self.tell(host, Event::Stand { prefix: lock_prefix(&format!("{host:016x}{number:016x}")) });
    }

    fn rested(&mut self, host: usize, rest: u64) {
        if self.hosts[host].driver.as_ref().is_some_and(|driver| driver.rest == Some(rest)) {
            self.stand_with_a_prefix(host);
        }
    }

    /// On the same session, after it left.
    fn stands_again(&mut self, host: usize) {
        let it = &self.hosts[host];
        if it.driver.as_ref().is_some_and(|driver| driver.finished) && it.term.is_none() {
            self.stand(host);
        }
    }

    // ---- what comes ----

    fn link_changed(&mut self, host: usize) {
        let Some(client) = &self.hosts[host].client else { return };
        match client.link {
            Link::Connected => {
                if self.setting.has(Mutation::GateOpenedUnseen) {
                    self.open_gate(host, false);
                }
                self.tell(host, Event::Connected);
            }
            Link::Disconnected => {
                if let Some(term) = &mut self.hosts[host].term {
                    term.proven = false;
                }
                self.lease_from_disconnect(host);
                self.tell(host, Event::Disconnected);
            }
            Link::Lost => self.tell(host, Event::SessionLost),
        }
    }

    fn lease_from_disconnect(&mut self, host: usize) {
        if self.setting.has(Mutation::LeaseFromDisconnect) {
            let it = &mut self.hosts[host];
            it.stop_at = it.stop_at.max(it.clock.at(self.now) + self.setting.rule.length());
        }
    }

    fn answer(&mut self, host: usize, request: Request, reply: Reply) {
        match (&request.ask, &reply) {
            (Ask::Heartbeat(sent), _) => return self.heartbeat_answered(host, *sent, &reply),
            (Ask::Ping(sent), Reply::Pong) if self.setting.has(Mutation::PingsProve) => {
                return self.proven(host, *sent);
            }
            _ => {}
        }
        let reply = self.believed(reply, &request.ask);
        let Some(driver) = &mut self.hosts[host].driver else { return };
        let is_it = |waiting: &Option<Request>| waiting.as_ref().is_some_and(|waiting| waiting.id == request.id);
        if is_it(&driver.write) {
            driver.write = None;
            if let Some(event) = event_of(reply, &request.ask) {
                self.tell(host, event);
            }
        } else if is_it(&driver.read) {
            match event_of(reply, &request.ask) {
                Some(event) => {
                    driver.read = None;
                    self.tell(host, event);
                }
                // Reading twice changes nothing.
                None => self.at_host(host, 0, HostEvent::Repeat(request)),
            }
        }
    }

    /// A host whose prefix is made once may find a contender of its earlier session by it.
    fn believed(&self, reply: Reply, ask: &Ask) -> Reply {
        match (reply, ask) {
            (Reply::Created(name), Ask::Create(prefix)) if self.setting.has(Mutation::OwnerNotChecked) => {
                let found = self.ensemble.committed.iter().find(|node| node.name.starts_with(prefix.as_str()));
                Reply::Created(found.map_or(name, |node| node.name.clone()))
            }
            (reply, _) => reply,
        }
    }

    // ---- actions ----

    fn act(&mut self, host: usize, action: Action) {
        match action {
            Action::Create { prefix } => self.send(host, Ask::Create(prefix)),
            Action::Delete { name } => {
                invariants::stopped_before_its_contender_is_deleted(self, host);
                self.send(host, Ask::Delete(name));
            }
            Action::Look => self.ask(host, Ask::Look),
            Action::List { name } => self.ask(host, Ask::List(name)),
            Action::Watch { name } => self.ask(host, Ask::Watch(name)),
            Action::Verify { name } => self.ask(host, Ask::Verify(name)),
            Action::Grant { name, token } => self.grant(host, name, token),
            Action::OpenGate => self.open_gate(host, true),
            Action::CloseGate => self.close_gate(host),
            Action::StopGuest(How::Ask) => self.ask_stop(host),
            Action::StopGuest(How::Now) => self.end_gate(host),
            Action::Rest { failures } => self.rest(host, failures),
            Action::Finish => self.finish(host),
        }
    }

    /// A write; its answer is always awaited.
    fn send(&mut self, host: usize, ask: Ask) {
        invariants::one_write_at_a_time(self, host);
        let request = Request { id: self.number(), ask };
        if self.setting.has(Mutation::DeleteRepeatedEarly) && matches!(request.ask, Ask::Delete(_)) {
            self.at_host(host, 300 * MS, HostEvent::DeleteTimedOut(request.id));
        }
        if let Some(driver) = &mut self.hosts[host].driver {
            driver.read = None;
            driver.write = Some(request.clone());
        }
        self.request(host, request);
    }

    fn delete_timed_out(&mut self, host: usize, request: u64) {
        let write = self.hosts[host].driver.as_ref().and_then(|driver| driver.write.as_ref());
        if write.is_some_and(|write| write.id == request) {
            self.tell(host, Event::DeleteUnknown);
        }
    }

    /// A read; the one before is no longer wanted.
    fn ask(&mut self, host: usize, ask: Ask) {
        let request = Request { id: self.number(), ask };
        if let Some(driver) = &mut self.hosts[host].driver {
            driver.read = Some(request.clone());
        }
        let it = &mut self.hosts[host];
        let needs_the_lease = matches!(request.ask, Ask::List(_) | Ask::Verify(_));
        if needs_the_lease && it.lease_is_over(self.now) {
            if matches!(request.ask, Ask::List(_)) {
                self.at_host(host, self.setting.timeout(), HostEvent::Unvouched(request.id));
            }
            self.hosts[host].unvouched.push(request);
        } else {
            self.request(host, request);
        }
    }

    fn unvouched(&mut self, host: usize, request: u64) {
        let Some(driver) = &mut self.hosts[host].driver else { return };
        if driver.read.take_if(|read| read.id == request).is_some() {
            self.tell(host, Event::Unvouched);
        }
    }

    pub(crate) fn ask_if_wanted(&mut self, host: usize, request: Request) {
        let read = self.hosts[host].driver.as_ref().and_then(|driver| driver.read.as_ref());
        if read.is_some_and(|read| read.id == request.id) {
            self.request(host, request);
        }
    }

    pub(crate) fn granted_at(&mut self, host: usize) {
        if let Some(driver) = &mut self.hosts[host].driver {
            driver.last_grant = Some(self.now);
        }
    }

    /// As the product rests, but for shorter after many failures.
    fn rest(&mut self, host: usize, failures: u32) {
        let rest = self.number();
        let Some(driver) = &mut self.hosts[host].driver else { return };
        let pause = match (failures, driver.last_grant.take()) {
            (0, None) => 0,
            (0, Some(granted)) => SECOND.saturating_sub(self.now - granted).max(20 * MS),
            (failures, _) => SECOND << (failures - 1).min(3),
        };
        driver.read = None;
        driver.rest = Some(rest);
        self.at_host(host, pause, HostEvent::Rested(rest));
    }

    fn finish(&mut self, host: usize) {
        invariants::the_end_comes_after_the_guests(self, host);
        let Some(driver) = &mut self.hosts[host].driver else { return };
        driver.finished = true;
        let pause = self.dice.between(MS, self.setting.timeout());
        if driver.session_lost {
            self.new_life(host);
            self.at_host(host, pause, HostEvent::OpenSession);
        } else if self.dice.chance(700) {
            self.at_host(host, pause, HostEvent::StandsAgain);
        }
    }

    /// Another process, or another session: what belonged to the one before is over.
    pub(crate) fn new_life(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        it.life += 1;
        it.client = None;
        it.heartbeats = None;
        it.term = None;
        it.deferred.clear();
        it.unvouched.clear();
        it.undisturbed_since = self.now;
    }

    /// So that the report of a term is an event of its own.
    pub(crate) fn guest_stopped(&mut self, host: usize, report: Report) {
        self.tell(host, Event::GuestStopped(report));
    }
}

/// None where a read must be repeated.
fn event_of(reply: Reply, ask: &Ask) -> Option<Event> {
    match reply {
        Reply::Created(name) => Some(Event::Created(name)),
        Reply::Refused => Some(Event::CreateRefused),
        Reply::Children(children) => Some(Event::Looked(children)),
        Reply::Queue(children, own) => Some(Event::Listed { children, own }),
        Reply::Stat(found) => Some(Event::Verified(found)),
        Reply::Changed => Some(Event::WatchFired),
        Reply::Done => Some(Event::Deleted),
        Reply::Unknown => match ask {
            Ask::Create(_) => Some(Event::CreateUnknown),
            Ask::Delete(_) => Some(Event::DeleteUnknown),
            _ => None,
        },
        Reply::Pong => None,
    }
}

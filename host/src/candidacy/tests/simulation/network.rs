//! What lies between hosts and the ensemble, and when the ensemble takes a session for dead.
//!
//! Messages of a connection stay in order; how long each takes is chance. The ensemble counts a session's timeout from the
//! last touch that its leader saw, and may have missed those of the last tick: they lay at a follower that fell.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::oneshot;

use super::HOSTS;
use super::clock::Time;
use super::dice::Dice;
use super::link::{Line, Link, Outbox};
use super::mutations::Mutation;
use super::session::{Message, RemoteSession};
use super::signal::Signal;
use super::terms::Terms;
use crate::coordinator::{Coordinator, Embedded, Error, Op, SessionState};

/// A host asks for a session.
pub(super) struct Opening {
    pub(super) host: usize,
    /// On its own clock.
    pub(super) at: Duration,
    pub(super) reply: oneshot::Sender<Arc<RemoteSession>>,
}

/// The numbers of a network.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) timeout: Duration,
    pub(super) tick: Duration,
    /// How many messages in a thousand are slow, and how slow at the most.
    pub(super) slow_per_mille: u64,
    pub(super) slowest: Duration,
    /// Whether a client's pings reach the ensemble's leader, beside its requests.
    pub(super) pings_touch: bool,
}

/// What lies in wait for a host's next heartbeats, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trap {
    /// One is answered late.
    LateAnswer,
    /// The next is long on its way to the server, whose touch of it will not be told to the ensemble's leader.
    LateRequest,
    /// It is answered.
    Answer,
    /// When the next is answered the follower falls, and nothing reaches the host any more.
    Hole,
}

/// A host, how long nothing reaches it in the end, and what is next.
#[derive(Clone, Copy)]
pub(super) struct Ambush {
    host: usize,
    length: Duration,
    trap: Trap,
}

/// All connections.
pub(super) struct Network {
    pub(super) ensemble: Arc<Embedded>,
    pub(super) manner: Manner,
    pub(super) openings: Arc<Mutex<Vec<Opening>>>,
    pub(super) dice: Arc<Mutex<Dice>>,
    pub(super) terms: Arc<Mutex<Terms>>,
    pub(super) mutation: Option<Mutation>,
    ambush: Option<Ambush>,
    links: Vec<Link>,
    /// A host whose process stands still, and one that nothing reaches, until then.
    pub(super) frozen: Vec<bool>,
    pub(super) holed_until: Vec<Time>,
    pub(super) expiries: u64,
}

impl Network {
    pub(super) fn new(
        ensemble: Arc<Embedded>,
        manner: Manner,
        hosts: usize,
        dice: Arc<Mutex<Dice>>,
        terms: Arc<Mutex<Terms>>,
        mutation: Option<Mutation>,
    ) -> Self {
        let (frozen, holed_until) = (vec![false; hosts], vec![Time::ZERO; hosts]);
        let (openings, links) = (Arc::default(), Vec::new());
        Network {
            ensemble,
            manner,
            openings,
            dice,
            terms,
            mutation,
            ambush: None,
            links,
            frozen,
            holed_until,
            expiries: 0,
        }
    }

    /// Does what is due.
    pub(super) fn step(&mut self, now: Time) {
        self.open(now);
        let mut links = std::mem::take(&mut self.links);
        for link in &mut links {
            self.expire(link, now);
            self.carry(link, now);
            self.notice(link, now);
        }
        links.retain(|link| link.line != Line::Closed || !link.expired);
        self.links = links;
    }

    fn open(&mut self, now: Time) {
        let (frozen, holed_until) = (&self.frozen, &self.holed_until);
        let reachable = |opening: &mut Opening| !frozen[opening.host] && holed_until[opening.host] <= now;
        let due: Vec<Opening> = self.openings.lock().unwrap().extract_if(.., reachable).collect();
        for Opening { host, at, reply } in due {
            let server = self.ensemble.connect(Duration::ZERO).now_or_never().expect("it is in memory").unwrap();
            let (id, outbox) = (server.id(), Outbox::default());
            let (state, hears) = (Signal::new(SessionState::Connected), Signal::new(true));
            let session = RemoteSession {
                id,
                timeout: self.manner.timeout,
                opening: at,
                state: state.clone(),
                hears: hears.clone(),
                outbox: Arc::clone(&outbox),
                dice: self.dice.clone(),
                mutation: self.mutation,
            };
            self.links.push(Link::opened(host, server, outbox, state, hears, now));
            // Who asked may have been killed: the session then lives until it expires.
            let _ = reply.send(Arc::new(session));
        }
    }

    /// The ensemble's part: it may come as early as T after the last touch, and no earlier.
    fn expire(&mut self, link: &mut Link, now: Time) {
        let last = *link.touches.back().expect("the first is never forgotten");
        if !link.expired && now >= last + self.manner.timeout {
            self.end(link);
            self.expiries += 1;
        }
    }

    fn end(&self, link: &mut Link) {
        link.expired = true;
        self.ensemble.expire(link.id).now_or_never().expect("it is in memory").unwrap();
    }

    fn carry(&mut self, link: &mut Link, now: Time) {
        for request in std::mem::take(&mut *link.outbox.lock().unwrap()) {
            let mut due = self.due(now, link.requests.back().map(|(due, _)| *due));
            if self.springs(Trap::LateRequest, Trap::Answer, link, request.as_ref()) {
                due = due.max(now + self.manner.slowest);
            }
            link.requests.push_back((due, request));
        }
        let up = link.line == Line::Up;
        if up && self.manner.pings_touch && !self.frozen[link.host] && !link.expired {
            link.touch(now, self.manner.tick);
        }
        while matches!(link.line, Line::Up | Line::Mute) && link.requests.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, mut request)) = link.requests.pop_front() else { break };
            if link.expired {
                request.lose(Error::Lost);
                continue;
            }
            link.touch(now, self.manner.tick);
            let done = self.deliver(link, request.as_mut());
            let mut due = self.due(now, link.answers.back().map(|(due, _)| *due));
            if self.springs(Trap::LateAnswer, Trap::LateRequest, link, request.as_ref()) {
                due = due.max(now + self.manner.slowest);
            }
            link.answers.push_back((due, request));
            if done && std::mem::take(&mut link.loses_a_reply) {
                self.break_off(link, now);
            }
        }
        while link.line == Line::Up && link.answers.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, answer)) = link.answers.pop_front() else { break };
            let falls = self.springs(Trap::Hole, Trap::Hole, link, answer.as_ref());
            self.springs(Trap::Answer, Trap::Hole, link, answer.as_ref());
            answer.answer();
            if let Some(Ambush { host, length, .. }) = self.ambush.take_if(|_| falls) {
                self.holed_until[host] = now + length;
                link.hears.send(false);
                link.forget(now, self.manner.tick);
                link.line = Line::Hole;
            }
        }
    }

    /// Whether this message, a heartbeat, is what the trap waits for; the next one is set then.
    fn springs(&mut self, trap: Trap, next: Trap, link: &Link, message: &dyn Message) -> bool {
        let is_heartbeat = matches!(message.ops(), [Op::Set { path, .. }] if path.starts_with(HOSTS));
        match &mut self.ambush {
            Some(ambush) if is_heartbeat && ambush.host == link.host && ambush.trap == trap => {
                ambush.trap = next;
                true
            }
            Some(_) | None => false,
        }
    }

    fn due(&self, now: Time, after: Option<Time>) -> Time {
        let mut dice = self.dice.lock().unwrap();
        let slow = dice.chance(self.manner.slow_per_mille);
        let longest = if slow { self.manner.slowest.as_millis() as u64 } else { 20 };
        let due = now + Duration::from_millis(dice.between(0, longest));
        due.max(after.unwrap_or_default())
    }

    /// The server does it, and the terms are told what it means.
    fn deliver(&mut self, link: &Link, request: &mut dyn Message) -> bool {
        if self.mutation == Some(Mutation::WritesUnchecked) && request.ops().len() > 1 {
            request.uncheck();
        }
        let done = request.deliver(link.server.as_ref());
        if done {
            self.terms.lock().unwrap().written(request.ops());
        }
        done
    }

    /// The client's part: it notices what it must, and connects again.
    fn notice(&mut self, link: &mut Link, now: Time) {
        if self.frozen[link.host] {
            return;
        }
        match link.line {
            // Nobody on the host has this session any more.
            _ if Arc::strong_count(&link.outbox) == 1 => link.line = Line::Closed,
            Line::Up if link.expired => self.lose(link),
            Line::Up => link.heard = now,
            Line::Mute | Line::Hole if now >= link.heard + self.manner.timeout * 2 / 3 => self.break_off(link, now),
            Line::Mute | Line::Hole | Line::Closed => {}
            Line::Down { .. } if now >= link.heard + self.manner.timeout * 7 / 5 => self.lose(link),
            Line::Down { again } if now < again || now < self.holed_until[link.host] => {}
            Line::Down { .. } if link.expired => self.lose(link),
            Line::Down { .. } => {
                // The follower that it finds asks the leader whether the session lives, so this touch is not forgotten.
                link.touches = VecDeque::from([now]);
                link.line = Line::Up;
                link.hears.send(true);
                link.state.send(SessionState::Connected);
            }
        }
    }

    fn lose(&self, link: &mut Link) {
        link.line = Line::Closed;
        link.take_all().into_iter().for_each(|message| message.lose(Error::Lost));
        link.state.send(SessionState::Lost);
    }

    // ---- faults ----

    /// Whether some of what is on its way was done before the connection broke is chance.
    fn break_off(&mut self, link: &mut Link, now: Time) {
        let (done, pause) = {
            let mut dice = self.dice.lock().unwrap();
            (dice.between(0, 2), Duration::from_millis(dice.between(1, 600)))
        };
        if matches!(link.line, Line::Up | Line::Mute) && !link.expired {
            for _ in 0..done {
                let Some((_, mut request)) = link.requests.pop_front() else { break };
                link.touch(now, self.manner.tick);
                self.deliver(link, request.as_mut());
                link.answers.push_back((now, request));
            }
        }
        self.silence(link, now);
        link.line = Line::Down { again: now + pause };
        link.state.send(SessionState::Disconnected);
        let unknown = Error::OutcomeUnknown { detail: "the connection broke".to_owned() };
        for message in link.take_all() {
            let creates = matches!(message.ops(), [Op::Create { .. }]);
            match self.mutation {
                Some(Mutation::LostCreatesSeemRefused) if creates => {
                    message.lose(Error::Denied { path: "as the mutation wants it".to_owned() });
                }
                _ => message.lose(unknown.clone()),
            }
        }
    }

    /// Nothing is heard any more; the touches of the last tick may have been heard by a follower alone.
    fn silence(&self, link: &mut Link, now: Time) {
        link.hears.send(false);
        if self.dice.lock().unwrap().chance(500) {
            link.forget(now, self.manner.tick);
        }
    }

    pub(super) fn cut(&mut self, host: usize, now: Time) {
        self.each_up(host, |network, link| network.break_off(link, now));
    }

    pub(super) fn lose_a_reply(&mut self, host: usize) {
        self.each_up(host, |_, link| link.loses_a_reply = true);
    }

    pub(super) fn mute(&mut self, host: usize, now: Time) {
        self.each_up(host, |network, link| {
            network.silence(link, now);
            link.line = Line::Mute;
        });
    }

    pub(super) fn hole(&mut self, host: usize, now: Time, until: Time) {
        self.holed_until[host] = self.holed_until[host].max(until);
        self.each_up(host, |network, link| {
            network.silence(link, now);
            link.line = Line::Hole;
        });
    }

    pub(super) fn ambush(&mut self, host: usize, length: Duration) {
        self.ambush = Some(Ambush { host, length, trap: Trap::LateAnswer });
    }

    /// The process is gone: nobody hears, nothing more is sent; what is on its way is.
    pub(super) fn crash(&mut self, host: usize, now: Time) {
        self.openings.lock().unwrap().retain(|opening| opening.host != host);
        let mut links = std::mem::take(&mut self.links);
        for link in links.iter_mut().filter(|link| link.host == host) {
            if link.line != Line::Closed {
                self.break_off(link, now);
            }
            link.line = Line::Closed;
        }
        self.links = links;
    }

    pub(super) fn calm(&mut self, now: Time) {
        self.holed_until.iter_mut().for_each(|until| *until = now);
        self.manner.slow_per_mille = 0;
        self.ambush = None;
        self.links.iter_mut().for_each(|link| link.loses_a_reply = false);
    }

    fn each_up(&mut self, host: usize, act: impl Fn(&mut Self, &mut Link)) {
        let mut links = std::mem::take(&mut self.links);
        links.iter_mut().filter(|link| link.host == host && link.line == Line::Up).for_each(|link| act(self, link));
        self.links = links;
    }
}

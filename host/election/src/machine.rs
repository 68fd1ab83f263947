//! One host's part in one election: states, events, actions.
//!
//! `step` is total: every event is answered in every state, if only by nothing. At most one write is under way at a time, and
//! its answer always comes as an event; a read that is no longer wanted is given up by the driver when the next action
//! of the same kind comes, so an answer never belongs to an earlier state.

use crate::contender::{Contender, ahead_of, in_order};
use crate::event::{Action, Event, How, OnReturn, Report};

/// What follows a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Stand again.
    Requeue,
    /// Stand no more.
    Leave,
}

/// Where this host stands in this election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not standing.
    Idle,
    /// The create is under way.
    Joining {
        /// Our contender's name up to the number.
        prefix: String,
        /// Wanted out meanwhile.
        leaving: bool,
    },
    /// The create's outcome is not known: looking for what it may have made.
    Looking {
        /// Our contender's name up to the number.
        prefix: String,
        /// Wanted out meanwhile.
        leaving: bool,
    },
    /// Reading the queue, and our own contender before believing it.
    Listing {
        /// Our contender.
        me: Contender,
    },
    /// Somebody is ahead, and watched.
    Waiting {
        /// Our contender.
        me: Contender,
        /// The one directly ahead.
        ahead: Contender,
    },
    /// The guest runs.
    Leading {
        /// Our contender.
        me: Contender,
        /// Its czxid.
        token: i64,
    },
    /// The guest is being stopped.
    Stopping {
        /// Our contender; None where it is gone already.
        me: Option<Contender>,
        /// What follows.
        next: Next,
    },
    /// The guest has stopped; the contender is being deleted, until it is gone.
    Releasing {
        /// Our contender.
        me: Contender,
        /// What follows.
        next: Next,
    },
    /// Backing off before standing again.
    Resting,
    /// The session is lost; the guest is being stopped.
    Dying,
    /// Terminal: standing no more on this session.
    Gone,
}

/// One host's part in one election, on one session.
#[derive(Clone, Debug)]
pub struct Election {
    session: i64,
    on_return: OnReturn,
    state: State,
    failures: u32,
}

impl Election {
    /// Idle.
    pub fn new(session: i64, on_return: OnReturn) -> Self {
        Election { session, on_return, state: State::Idle, failures: 0 }
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes in what happened, and says what to do, in this order.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Stand { prefix } => self.stand(prefix),
            Event::Created(name) => self.created(&name),
            Event::CreateUnknown => self.create_unknown(),
            Event::CreateRefused => self.create_refused(),
            Event::Looked(children) => self.looked(&children),
            Event::Listed { children, own } => self.listed(&children, own),
            Event::Unvouched => self.unvouched(),
            Event::ListRefused => self.list_refused(),
            Event::WatchFired => self.watch_fired(),
            Event::Verified(found) => self.verified(found),
            Event::Deleted => self.deleted(),
            Event::DeleteUnknown => self.delete_unknown(),
            Event::Disconnected => self.disconnected(),
            Event::Connected => self.connected(),
            Event::LeaseOver => self.lease_over(),
            Event::Resign => self.resign(),
            Event::Leave => self.leave(),
            Event::GuestStopped(report) => self.guest_stopped(report),
            Event::SessionLost => self.session_lost(),
        }
    }

    // ---- joining ----

    fn stand(&mut self, prefix: String) -> Vec<Action> {
        match self.state {
            State::Idle | State::Resting => {
                self.state = State::Joining { prefix: prefix.clone(), leaving: false };
                vec![Action::Create { prefix }]
            }
            _ => Vec::new(),
        }
    }

    fn created(&mut self, name: &str) -> Vec<Action> {
        match &self.state {
            State::Joining { leaving, .. } => {
                let leaving = *leaving;
                match Contender::parse(name) {
                    Some(me) => self.joined(me, leaving),
                    // Not a name the server makes from our prefix: nothing to stand with.
                    None => self.rest_or_finish(leaving),
                }
            }
            _ => Vec::new(),
        }
    }

    fn joined(&mut self, me: Contender, leaving: bool) -> Vec<Action> {
        if leaving {
            return self.release(me, Next::Leave);
        }
        self.list(me)
    }

    fn create_unknown(&mut self) -> Vec<Action> {
        match &self.state {
            State::Joining { prefix, leaving } => {
                self.state = State::Looking { prefix: prefix.clone(), leaving: *leaving };
                vec![Action::Look]
            }
            _ => Vec::new(),
        }
    }

    fn create_refused(&mut self) -> Vec<Action> {
        match &self.state {
            State::Joining { leaving, .. } => {
                let leaving = *leaving;
                self.failures += 1;
                self.rest_or_finish(leaving)
            }
            _ => Vec::new(),
        }
    }

    fn looked(&mut self, children: &[String]) -> Vec<Action> {
        match &self.state {
            State::Looking { prefix, leaving } => {
                let leaving = *leaving;
                let found = children.iter().find(|name| name.starts_with(prefix.as_str()));
                match found.and_then(|name| Contender::parse(name)) {
                    Some(me) => self.joined(me, leaving),
                    None => self.rest_or_finish(leaving),
                }
            }
            _ => Vec::new(),
        }
    }

    // ---- in the queue ----

    fn list(&mut self, me: Contender) -> Vec<Action> {
        let name = me.name().to_owned();
        self.state = State::Listing { me };
        vec![Action::List { name }]
    }

    fn listed(&mut self, children: &[String], own: Option<(i64, i64)>) -> Vec<Action> {
        match &self.state {
            State::Listing { me } => {
                let me = me.clone();
                match ahead_of(me.name(), &in_order(children)) {
                    None => self.rest(),
                    Some(None) => self.first(me, own),
                    Some(Some(ahead)) => {
                        let name = ahead.name().to_owned();
                        self.state = State::Waiting { me, ahead };
                        vec![Action::Watch { name }]
                    }
                }
            }
            _ => Vec::new(),
        }
    }

    fn first(&mut self, me: Contender, own: Option<(i64, i64)>) -> Vec<Action> {
        match own {
            Some((owner, token)) if owner == self.session => {
                let name = me.name().to_owned();
                self.state = State::Leading { me, token };
                vec![Action::Grant { name: name.clone(), token }, Action::Watch { name }]
            }
            // Gone, or made by an earlier session and soon gone (CURATOR-620, 696).
            Some(_) | None => self.rest(),
        }
    }

    /// Whoever can't lead makes room for those who may: to the end of the queue.
    fn unvouched(&mut self) -> Vec<Action> {
        match &self.state {
            State::Listing { me } => {
                let me = me.clone();
                self.release(me, Next::Requeue)
            }
            _ => Vec::new(),
        }
    }

    /// Leaves the queue, and stands again after a pause that grows each time: access may be granted meanwhile.
    fn list_refused(&mut self) -> Vec<Action> {
        match &self.state {
            State::Listing { me } => {
                let me = me.clone();
                self.failures += 1;
                self.release(me, Next::Requeue)
            }
            _ => Vec::new(),
        }
    }

    /// Waiting, the one ahead is watched; while a guest runs, our own contender, since somebody may delete it.
    fn watch_fired(&mut self) -> Vec<Action> {
        match &self.state {
            State::Waiting { me, .. } => {
                let me = me.clone();
                self.list(me)
            }
            State::Leading { me, .. } | State::Stopping { me: Some(me), .. } => {
                vec![Action::Verify { name: me.name().to_owned() }]
            }
            _ => Vec::new(),
        }
    }

    fn verified(&mut self, found: Option<(i64, i64)>) -> Vec<Action> {
        let ours = found.filter(|(owner, _)| *owner == self.session);
        match (&self.state, ours) {
            (State::Leading { me, token }, Some((_, czxid))) if czxid == *token => {
                vec![Action::OpenGate, Action::Watch { name: me.name().to_owned() }]
            }
            (State::Leading { .. }, _) => self.evicted(Next::Requeue),
            // A guest that was asked to stop may still write what it has to, for as long as nobody else can lead.
            (State::Stopping { me: Some(me), .. }, Some(_)) => {
                vec![Action::OpenGate, Action::Watch { name: me.name().to_owned() }]
            }
            (State::Stopping { me: Some(_), next }, None) => self.evicted(*next),
            _ => Vec::new(),
        }
    }

    // ---- leading ----

    /// Our contender is gone while the guest runs: another may lead already.
    fn evicted(&mut self, next: Next) -> Vec<Action> {
        self.state = State::Stopping { me: None, next };
        vec![Action::StopGuest(How::Now)]
    }

    fn disconnected(&mut self) -> Vec<Action> {
        match self.state {
            State::Leading { .. } | State::Stopping { .. } => vec![Action::CloseGate],
            _ => Vec::new(),
        }
    }

    /// A reconnect may have swallowed a watch's event (kazoo#170, #116): whatever was known is read again.
    fn connected(&mut self) -> Vec<Action> {
        self.watch_fired()
    }

    fn lease_over(&mut self) -> Vec<Action> {
        match &self.state {
            State::Leading { me, .. } => {
                self.state = State::Stopping { me: Some(me.clone()), next: Next::Requeue };
                vec![Action::StopGuest(How::Now)]
            }
            State::Stopping { .. } | State::Dying => vec![Action::StopGuest(How::Now)],
            _ => Vec::new(),
        }
    }

    fn resign(&mut self) -> Vec<Action> {
        match &self.state {
            State::Leading { me, .. } => {
                self.state = State::Stopping { me: Some(me.clone()), next: Next::Requeue };
                vec![Action::StopGuest(How::Ask)]
            }
            _ => Vec::new(),
        }
    }

    fn guest_stopped(&mut self, report: Report) -> Vec<Action> {
        match &self.state {
            State::Leading { me, .. } => {
                let next = match (self.on_return, report) {
                    // Stopped by its lease before we heard of that: it did not return.
                    (OnReturn::Requeue, _) | (OnReturn::Stop, Report::Stopped) => Next::Requeue,
                    (OnReturn::Stop, Report::Done | Report::Failed) => Next::Leave,
                };
                let me = me.clone();
                self.count(report);
                self.release(me, next)
            }
            State::Stopping { me, next } => {
                let (me, next) = (me.clone(), *next);
                self.count(report);
                match (me, next) {
                    (Some(me), next) => self.release(me, next),
                    (None, Next::Requeue) => self.rest(),
                    (None, Next::Leave) => self.finish(),
                }
            }
            State::Dying => self.finish(),
            _ => Vec::new(),
        }
    }

    fn count(&mut self, report: Report) {
        match report {
            Report::Done | Report::Stopped => self.failures = 0,
            Report::Failed => self.failures += 1,
        }
    }

    // ---- leaving ----

    fn leave(&mut self) -> Vec<Action> {
        match &mut self.state {
            State::Idle | State::Resting => self.finish(),
            State::Joining { leaving, .. } | State::Looking { leaving, .. } => {
                *leaving = true;
                Vec::new()
            }
            State::Listing { me } | State::Waiting { me, .. } => {
                let me = me.clone();
                self.release(me, Next::Leave)
            }
            State::Leading { me, .. } => {
                self.state = State::Stopping { me: Some(me.clone()), next: Next::Leave };
                vec![Action::StopGuest(How::Ask)]
            }
            State::Stopping { next, .. } | State::Releasing { next, .. } => {
                *next = Next::Leave;
                Vec::new()
            }
            State::Dying | State::Gone => Vec::new(),
        }
    }

    fn release(&mut self, me: Contender, next: Next) -> Vec<Action> {
        let name = me.name().to_owned();
        self.state = State::Releasing { me, next };
        vec![Action::Delete { name }]
    }

    fn deleted(&mut self) -> Vec<Action> {
        match self.state {
            State::Releasing { next: Next::Leave, .. } => self.finish(),
            State::Releasing { next: Next::Requeue, .. } => self.rest(),
            _ => Vec::new(),
        }
    }

    /// Nobody behind us can lead before our contender is gone (kazoo#732, #760): try until it is, or the session is lost.
    fn delete_unknown(&mut self) -> Vec<Action> {
        match &self.state {
            State::Releasing { me, .. } => vec![Action::Delete { name: me.name().to_owned() }],
            _ => Vec::new(),
        }
    }

    fn session_lost(&mut self) -> Vec<Action> {
        match self.state {
            State::Leading { .. } | State::Stopping { .. } => {
                self.state = State::Dying;
                vec![Action::StopGuest(How::Now)]
            }
            State::Dying | State::Gone => Vec::new(),
            _ => self.finish(),
        }
    }

    fn rest_or_finish(&mut self, leaving: bool) -> Vec<Action> {
        if leaving { self.finish() } else { self.rest() }
    }

    fn rest(&mut self) -> Vec<Action> {
        self.state = State::Resting;
        vec![Action::Rest { failures: self.failures }]
    }

    fn finish(&mut self) -> Vec<Action> {
        self.state = State::Gone;
        vec![Action::Finish]
    }
}

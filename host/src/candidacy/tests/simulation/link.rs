//! A session's connection, both ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::Time;
use super::session::Message;
use super::signal::Signal;
use crate::coordinator::{Session, SessionState};

/// What was asked since the network last looked.
pub(super) type Outbox = Arc<Mutex<Vec<Box<dyn Message>>>>;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Up,
    /// Requests get through, answers and events don't.
    Mute,
    /// Nothing gets through, and nobody is told.
    Hole,
    /// Broken, as the client knows; it tries again then.
    Down {
        again: Time,
    },
    /// The client has given it up.
    Closed,
}

/// A session's connection, both ends.
pub(super) struct Link {
    pub(super) host: usize,
    pub(super) id: i64,
    pub(super) server: Arc<dyn Session>,
    pub(super) outbox: Outbox,
    pub(super) requests: VecDeque<(Time, Box<dyn Message>)>,
    pub(super) answers: VecDeque<(Time, Box<dyn Message>)>,
    pub(super) state: Signal<SessionState>,
    pub(super) hears: Signal<bool>,
    pub(super) line: Line,
    pub(super) touches: VecDeque<Time>,
    pub(super) expired: bool,
    /// When the client last heard anything.
    pub(super) heard: Time,
    pub(super) loses_a_reply: bool,
}

impl Link {
    /// The client has a connection, and nobody knows of any trouble.
    pub(super) fn opened(
        host: usize,
        server: Arc<dyn Session>,
        outbox: Outbox,
        state: Signal<SessionState>,
        hears: Signal<bool>,
        now: Time,
    ) -> Self {
        Link {
            host,
            id: server.id(),
            server,
            outbox,
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            state,
            hears,
            line: Line::Up,
            touches: VecDeque::from([now]),
            expired: false,
            heard: now,
            loses_a_reply: false,
        }
    }

    /// A server has heard of the session.
    pub(super) fn touch(&mut self, now: Time, tick: Duration) {
        self.touches.push_back(now);
        // What is older than a tick has been told to the leader for certain; the newest of those is enough.
        while self.touches.len() > 1 && self.touches[1] + tick <= now {
            self.touches.pop_front();
        }
    }

    /// The follower falls, and with it the touches of the last tick, which it alone knew.
    pub(super) fn forget(&mut self, now: Time, tick: Duration) {
        while self.touches.len() > 1 && self.touches.back().is_some_and(|touch| *touch + tick > now) {
            self.touches.pop_back();
        }
    }

    /// Everything that is on its way, and what was just asked.
    pub(super) fn take_all(&mut self) -> Vec<Box<dyn Message>> {
        let asked = std::mem::take(&mut *self.outbox.lock().unwrap());
        let under_way = self.requests.drain(..).chain(self.answers.drain(..)).map(|(_, message)| message);
        under_way.chain(asked).collect()
    }
}

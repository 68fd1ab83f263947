//! Everything there is: the tree, the sessions, their watches. Changed by one thread at a time, without waiting.
//!
//! What callers are to be told is collected, so that the engine can tell it after the commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::watches::{Armed, Watched, Watches};
use crate::clock::Clock;
use crate::coordinator::tree::{Author, Tree, parent_of};
use crate::coordinator::{Error, MultiError, Op, OpResult, SessionState};

/// Tells one caller what came of its request, or fires one watch.
pub(super) type Answer = Box<dyn FnOnce(Committed) + Send>;

/// Whether the file has what an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// It has.
    Yes,
    /// The commit failed, so it may or may not have.
    Unknown,
}

/// One request: changes the world and gives the answer for later.
pub(super) type Command = Box<dyn FnOnce(&mut World) -> Answer + Send>;

/// See the module.
pub(super) struct World {
    pub tree: Tree,
    clock: Arc<dyn Clock>,
    watches: Watches,
    sessions: HashMap<i64, Connection>,
    answers: Vec<Answer>,
    unsaved: HashSet<String>,
}

/// The server's side of a session.
struct Connection {
    state: watch::Sender<SessionState>,
    /// Watches that would have fired while it was disconnected.
    withheld: Vec<oneshot::Sender<()>>,
    replies_to_lose: u32,
}

impl World {
    pub(super) fn new(tree: Tree, clock: Arc<dyn Clock>) -> Self {
        World {
            tree,
            clock,
            watches: Watches::default(),
            sessions: HashMap::new(),
            answers: Vec::new(),
            unsaved: HashSet::new(),
        }
    }

    // ---- for the engine ----

    /// The time.
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Does what a command says. Watches that it fires are told before its caller is.
    pub(super) fn obey(&mut self, command: Command) {
        let answer = command(self);
        for event in self.tree.take_events() {
            for armed in self.watches.take_concerned(&event) {
                self.fire(armed);
            }
            self.unsaved.extend(parent_of(&event.path).map(str::to_owned));
            self.unsaved.insert(event.path);
        }
        self.answers.push(answer);
    }

    /// The paths whose nodes have changed since this was last asked: created, changed, deleted, or counting one more
    /// child.
    pub(super) fn take_unsaved(&mut self) -> HashSet<String> {
        std::mem::take(&mut self.unsaved)
    }

    /// What is to be told since this was last asked, in order.
    pub(super) fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// Ends this world because a commit failed: every session is lost, and who waits for an answer is told that the outcome
    /// is unknown.
    pub(super) fn fail(self) {
        for connection in self.sessions.values() {
            connection.state.send_replace(SessionState::Lost);
        }
        self.answers.into_iter().for_each(|answer| answer(Committed::Unknown));
    }

    // ---- for sessions ----

    /// A new session. Its id is a transaction's number, so ids rise, also over restarts.
    pub(super) fn open_session(&mut self) -> (i64, watch::Receiver<SessionState>) {
        let id = self.tree.take_zxid();
        let (state, follow) = watch::channel(SessionState::Connected);
        self.sessions.insert(id, Connection { state, withheld: Vec::new(), replies_to_lose: 0 });
        (id, follow)
    }

    /// Ends a session: its nodes go, its watches fire.
    pub(super) fn end_session(&mut self, id: i64) {
        let Some(connection) = self.sessions.remove(&id) else { return };
        self.tree.end_session(id);
        let waiting = self.watches.take_session(id).into_iter().map(|armed| armed.fire);
        let fires: Vec<oneshot::Sender<()>> = connection.withheld.into_iter().chain(waiting).collect();
        connection.state.send_replace(SessionState::Lost);
        self.answers.push(Box::new(move |_| fires.into_iter().for_each(tell)));
    }

    /// Fails where the session can't be served.
    pub(super) fn admit(&self, session: i64) -> Result<(), Error> {
        let state = self.sessions.get(&session).map(|connection| *connection.state.borrow());
        match state {
            Some(SessionState::Connected) => Ok(()),
            Some(SessionState::Disconnected) => Err(unknown("the session is disconnected")),
            Some(SessionState::Lost) | None => Err(Error::Lost),
        }
    }

    /// A transaction of a session.
    pub(super) fn write(&mut self, session: i64, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError> {
        self.admit(session)?;
        let author = Author { session, now_ms: self.clock.wall().as_millisecond() };
        let results = self.tree.write(author, ops)?;
        self.deliver(session).map(|()| results).map_err(MultiError::from)
    }

    /// Sets a watch: its number, and what it waits for.
    pub(super) fn arm(&mut self, session: i64, watched: Watched, path: &str) -> (u64, oneshot::Receiver<()>) {
        self.watches.arm(session, watched, path)
    }

    /// Takes a watch away.
    pub(super) fn disarm(&mut self, id: u64) {
        self.watches.disarm(id);
    }

    /// How many watches are set.
    #[cfg(test)]
    pub(super) fn watch_count(&self) -> usize {
        self.watches.len()
    }

    // ---- faults ----

    pub(super) fn disconnect(&mut self, id: i64) {
        if let Some(connection) = self.sessions.get(&id) {
            connection.state.send_replace(SessionState::Disconnected);
        }
    }

    pub(super) fn reconnect(&mut self, id: i64) {
        if let Some(connection) = self.sessions.get_mut(&id) {
            connection.state.send_replace(SessionState::Connected);
            let fires = std::mem::take(&mut connection.withheld);
            self.answers.push(Box::new(move |_| fires.into_iter().for_each(tell)));
        }
    }

    pub(super) fn lose_replies(&mut self, id: i64, count: u32) {
        if let Some(connection) = self.sessions.get_mut(&id) {
            connection.replies_to_lose = count;
        }
    }

    pub(super) fn set_next_sequence(&mut self, path: &str, next: i32) -> Result<(), Error> {
        self.tree.set_next_sequence(path, next)?;
        self.unsaved.insert(path.to_owned());
        Ok(())
    }

    /// Fails where this reply is to get lost; the session then has been disconnected for a moment.
    fn deliver(&mut self, session: i64) -> Result<(), Error> {
        match self.sessions.get_mut(&session) {
            Some(connection) if connection.replies_to_lose > 0 => {
                connection.replies_to_lose -= 1;
                connection.state.send_replace(SessionState::Disconnected);
                connection.state.send_replace(SessionState::Connected);
                Err(unknown("the reply was lost"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn fire(&mut self, armed: Armed) {
        match self.sessions.get_mut(&armed.session) {
            Some(connection) if *connection.state.borrow() == SessionState::Disconnected => {
                connection.withheld.push(armed.fire);
            }
            Some(_) | None => self.answers.push(Box::new(move |_| tell(armed.fire))),
        }
    }
}

/// Whoever waited may have gone.
fn tell(fire: oneshot::Sender<()>) {
    let _ = fire.send(());
}

fn unknown(detail: &str) -> Error {
    Error::OutcomeUnknown { detail: detail.to_owned() }
}

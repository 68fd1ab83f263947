//! Three servers, as far as an election sees them: sessions, a log of commits, and what each server has applied of it.
//!
//! A touch that reaches a follower is told to the leader with the follower's next answer to a ping, every half tick; a
//! session is expired T after the last touch that the leader saw, rounded up to a tick. Links between servers keep the
//! order and are quicker than a quarter of a tick: the lease rule asks for no more than half a tick. A follower may be much
//! later in applying what is committed.

use silverback_election::in_order;

use crate::setting::{Setting, Time};

pub(crate) const SERVERS: usize = 3;

/// A child of the election's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) owner: i64,
    pub(crate) czxid: i64,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Create(Node),
    Delete(String),
}

/// A one-shot watch of a connection.
pub(crate) struct Watch {
    pub(crate) host: usize,
    pub(crate) connection: u64,
    pub(crate) request: u64,
    pub(crate) name: String,
}

#[derive(Default)]
pub(crate) struct Server {
    pub(crate) tree: Vec<Node>,
    /// How much of the log.
    pub(crate) applied: usize,
    /// From the leader, for this is a follower that has lost it.
    pub(crate) cut_off: bool,
    /// Sessions whose touches the leader has not been told of.
    pub(crate) untold: Vec<i64>,
    pub(crate) watches: Vec<Watch>,
    /// How often it has dropped all its connections.
    pub(crate) drops: u32,
    /// When the last message on its way to the leader gets there.
    pub(crate) to_leader: Time,
    /// When the last commit on its way from the leader gets here.
    pub(crate) from_leader: Time,
}

pub(crate) struct Session {
    pub(crate) id: i64,
    /// At the leader.
    pub(crate) expires_at: Time,
    /// Through which it came last; a request through another is refused (ZooKeeper's SessionMovedException).
    pub(crate) server: usize,
}

pub(crate) struct Ensemble {
    pub(crate) servers: [Server; SERVERS],
    /// None while one is elected.
    pub(crate) leader: Option<usize>,
    /// Of the leader; what was on its way to an earlier one is lost.
    pub(crate) reign: u32,
    /// Living ones.
    pub(crate) sessions: Vec<Session>,
    pub(crate) log: Vec<Change>,
    /// What a quorum has.
    pub(crate) committed: Vec<Node>,
    /// Who leads by the queue, whichever library it came by.
    pub(crate) first: Option<Node>,
    /// Contenders that somebody else than their owners deleted, and when.
    pub(crate) taken: Vec<(String, Time)>,
    zxid: i64,
    counter: i32,
    next_session: i64,
    timeout: Time,
    tick: Time,
    /// Where the leader's ticks fall.
    pub(crate) phase: Time,
}

impl Ensemble {
    pub(crate) fn new(setting: &Setting, phase: Time) -> Self {
        Ensemble {
            servers: Default::default(),
            leader: Some(0),
            reign: 0,
            sessions: Vec::new(),
            log: Vec::new(),
            committed: Vec::new(),
            first: None,
            taken: Vec::new(),
            zxid: 100,
            counter: setting.counter,
            next_session: 1,
            timeout: setting.timeout(),
            tick: setting.tick(),
            phase,
        }
    }

    // ---- sessions ----

    pub(crate) fn open(&mut self, server: usize, now: Time) -> i64 {
        let id = self.next_session;
        self.next_session += 1;
        self.zxid += 1;
        self.sessions.push(Session { id, expires_at: self.bucket(now), server });
        id
    }

    pub(crate) fn session(&mut self, id: i64) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// The leader sees a touch.
    pub(crate) fn touch(&mut self, id: i64, now: Time) {
        let expires_at = self.bucket(now);
        if let Some(session) = self.session(id) {
            session.expires_at = session.expires_at.max(expires_at);
        }
    }

    /// As the leader rounds: to the end of the tick in which T is over.
    fn bucket(&self, now: Time) -> Time {
        ((now + self.timeout + self.phase) / self.tick + 1) * self.tick - self.phase
    }

    /// A new leader knows of no touch: every session has T from now.
    pub(crate) fn reign(&mut self, leader: usize, now: Time) {
        self.leader = Some(leader);
        self.reign += 1;
        let expires_at = self.bucket(now);
        for session in &mut self.sessions {
            session.expires_at = session.expires_at.max(expires_at);
        }
    }

    /// Those that are due.
    pub(crate) fn expired(&self, now: Time) -> Vec<i64> {
        self.sessions.iter().filter(|session| session.expires_at <= now).map(|session| session.id).collect()
    }

    // ---- the tree ----

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.committed.iter().find(|node| node.name == name)
    }

    fn find_first(&mut self) {
        let queue = in_order(self.committed.iter().map(|node| node.name.as_str()));
        self.first = queue.first().and_then(|first| self.node(first.name())).cloned();
    }

    pub(crate) fn create(&mut self, prefix: &str, owner: i64) -> String {
        let name = format!("{prefix}{:010}", self.counter);
        self.counter = self.counter.wrapping_add(1);
        self.zxid += 1;
        let node = Node { name: name.clone(), owner, czxid: self.zxid };
        self.committed.push(node.clone());
        self.log.push(Change::Create(node));
        self.find_first();
        name
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.zxid += 1;
        self.committed.retain(|node| node.name != name);
        self.log.push(Change::Delete(name.to_owned()));
        self.find_first();
    }

    /// A commit that changes no contender.
    pub(crate) fn other_write(&mut self) {
        self.zxid += 1;
    }

    /// The server applies the log up to there; the watches that fire.
    pub(crate) fn apply(&mut self, server: usize, up_to: usize) -> Vec<Watch> {
        let Server { tree, applied, watches, .. } = &mut self.servers[server];
        let mut fired = Vec::new();
        for change in self.log.get(*applied..up_to).unwrap_or_default() {
            match change {
                Change::Create(node) => tree.push(node.clone()),
                Change::Delete(name) => {
                    tree.retain(|node| node.name != *name);
                    fired.extend(watches.extract_if(.., |watch| watch.name == *name));
                }
            }
        }
        *applied = (*applied).max(up_to);
        fired
    }

    pub(crate) fn was_taken(&self, name: &str) -> Option<Time> {
        self.taken.iter().find(|(taken, _)| taken == name).map(|(_, at)| *at)
    }
}

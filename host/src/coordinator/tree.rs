//! ZooKeeper's tree of nodes, in memory: what creates, sets, deletes and multis do to it, and to which nodes they happen.
//!
//! Nothing here waits, reads a clock or touches a disk; it doesn't know who watches. Requests were checked before
//! (`request.rs`).

mod node;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

pub(super) use node::Node;
use node::Value;

use super::{CreateMode, Error, MultiError, Op, OpResult, Stat};

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author {
    /// The session, which owns the ephemeral nodes it creates. Not 0.
    pub session: i64,
    /// Wall clock, milliseconds since 1970.
    pub now_ms: i64,
}

/// What happened to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub path: String,
    pub kind: EventKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    Created,
    Changed,
    Deleted,
}

/// The tree. Every transaction that changes it has a number, its zxid, and they rise.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: HashMap<String, Node>,
    ephemerals: HashMap<i64, BTreeSet<String>>,
    zxid: i64,
    events: Vec<Event>,
}

/// A change that was made, with what is needed to take it back.
enum Change {
    Created { path: String },
    Changed { path: String, before: Value },
    Deleted { path: String, node: Node },
}

/// One transaction being applied.
struct Transaction {
    author: Author,
    zxid: i64,
    changes: Vec<Change>,
}

impl Tree {
    /// The root alone.
    pub(super) fn new() -> Self {
        let root = Node::new(Vec::new(), Author { session: 0, now_ms: 0 }, 0, false);
        Tree { nodes: HashMap::from([("/".to_owned(), root)]), ephemerals: HashMap::new(), zxid: 0, events: Vec::new() }
    }

    /// A tree as it was kept: nodes with parents before children, none of them ephemeral.
    pub(super) fn restore(zxid: i64, nodes: impl IntoIterator<Item = (String, Node)>) -> Self {
        let mut tree = Tree { zxid, ..Tree::new() };
        for (path, node) in nodes {
            if let Some(parent) = parent_of(&path).and_then(|parent| tree.nodes.get_mut(parent)) {
                parent.children.insert(name_of(&path).to_owned());
            }
            tree.nodes.insert(path, node);
        }
        tree
    }

    /// The last transaction's number.
    pub(super) fn zxid(&self) -> i64 {
        self.zxid
    }

    /// A number for a transaction that changes no node, such as the opening of a session.
    pub(super) fn take_zxid(&mut self) -> i64 {
        self.zxid += 1;
        self.zxid
    }

    /// What happened since this was last asked, in order.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    // ---- reads ----

    /// Returns all nodes with their paths, in no order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// The node itself, None where it does not exist.
    pub(super) fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Value and stat.
    pub(super) fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        let node = self.node(path).ok_or_else(|| no_node(path))?;
        Ok((node.value.data.clone(), node.stat()))
    }

    /// The names of the children, sorted.
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let node = self.node(path).ok_or_else(|| no_node(path))?;
        Ok(node.children.iter().cloned().collect())
    }

    // ---- writes ----

    /// One transaction: all operations, each seeing the earlier ones, or none.
    pub(super) fn write(&mut self, author: Author, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError> {
        let mut transaction = Transaction { author, zxid: self.zxid + 1, changes: Vec::new() };
        let mut results = Vec::with_capacity(ops.len());
        for (index, op) in ops.into_iter().enumerate() {
            match self.apply(&mut transaction, op) {
                Ok(result) => results.push(result),
                Err(source) => {
                    self.take_back(transaction);
                    return Err(MultiError::Op { index, source });
                }
            }
        }
        self.keep(transaction);
        Ok(results)
    }

    /// Deletes what the session owns, in one transaction.
    pub(super) fn end_session(&mut self, session: i64) {
        let owned = self.ephemerals.remove(&session).unwrap_or_default();
        let author = Author { session, now_ms: 0 };
        let mut transaction = Transaction { author, zxid: self.zxid + 1, changes: Vec::new() };
        for path in owned {
            self.remove(&mut transaction, path);
        }
        self.keep(transaction);
    }

    /// Makes the next sequential child of `path` get this number. For tests of what happens at the number's end.
    pub(super) fn set_next_sequence(&mut self, path: &str, next: i32) -> Result<(), Error> {
        self.nodes.get_mut(path).ok_or_else(|| no_node(path))?.creates = next;
        Ok(())
    }

    fn apply(&mut self, transaction: &mut Transaction, op: Op) -> Result<OpResult, Error> {
        match op {
            Op::Check { path, version } => self.at_version(&path, version).map(|_| OpResult::Checked),
            Op::Create { path, data, mode } => self.create(transaction, path, data, mode).map(OpResult::Created),
            Op::Set { path, data, version } => self.set(transaction, path, data, version).map(OpResult::Set),
            Op::Delete { path, version } => self.delete(transaction, path, version).map(|()| OpResult::Deleted),
        }
    }

    fn create(
        &mut self,
        transaction: &mut Transaction,
        path: String,
        data: Vec<u8>,
        mode: CreateMode,
    ) -> Result<String, Error> {
        let parent_path = parent_of(&path).unwrap_or("/").to_owned();
        let parent = self.nodes.get(&parent_path).ok_or_else(|| no_node(&path))?;
        let created = if mode.is_sequential() { format!("{path}{:010}", parent.creates) } else { path.clone() };
        if self.nodes.contains_key(&created) {
            return Err(Error::NodeExists { path });
        }
        if parent.is_ephemeral() {
            return Err(Error::ParentEphemeral { path });
        }
        let node = Node::new(data, transaction.author, transaction.zxid, mode.is_ephemeral());
        self.attach(created.clone(), node);
        if let Some(parent) = self.nodes.get_mut(&parent_path) {
            parent.creates = parent.creates.wrapping_add(1);
        }
        transaction.changes.push(Change::Created { path: created.clone() });
        Ok(created)
    }

    fn set(
        &mut self,
        transaction: &mut Transaction,
        path: String,
        data: Vec<u8>,
        version: Option<i32>,
    ) -> Result<Stat, Error> {
        let (zxid, now_ms) = (transaction.zxid, transaction.author.now_ms);
        let node = self.at_version(&path, version)?;
        let version = node.value.version.wrapping_add(1);
        let before = std::mem::replace(&mut node.value, Value { data, mzxid: zxid, mtime_ms: now_ms, version });
        let stat = node.stat();
        transaction.changes.push(Change::Changed { path, before });
        Ok(stat)
    }

    fn delete(&mut self, transaction: &mut Transaction, path: String, version: Option<i32>) -> Result<(), Error> {
        let node = self.at_version(&path, version)?;
        if !node.children.is_empty() {
            return Err(Error::NotEmpty { path });
        }
        self.remove(transaction, path);
        Ok(())
    }

    fn at_version(&mut self, path: &str, version: Option<i32>) -> Result<&mut Node, Error> {
        let node = self.nodes.get_mut(path).ok_or_else(|| no_node(path))?;
        match version {
            Some(version) if version != node.value.version => Err(Error::BadVersion { path: path.to_owned() }),
            Some(_) | None => Ok(node),
        }
    }

    fn remove(&mut self, transaction: &mut Transaction, path: String) {
        if let Some(node) = self.detach(&path) {
            transaction.changes.push(Change::Deleted { path, node });
        }
    }

    // ---- the tree's own bookkeeping ----

    fn attach(&mut self, path: String, node: Node) {
        if let Some(parent) = parent_of(&path).and_then(|parent| self.nodes.get_mut(parent)) {
            parent.children.insert(name_of(&path).to_owned());
        }
        if node.is_ephemeral() {
            self.ephemerals.entry(node.ephemeral_owner).or_default().insert(path.clone());
        }
        self.nodes.insert(path, node);
    }

    fn detach(&mut self, path: &str) -> Option<Node> {
        let node = self.nodes.remove(path)?;
        if let Some(parent) = parent_of(path).and_then(|parent| self.nodes.get_mut(parent)) {
            parent.children.remove(name_of(path));
        }
        if let Some(owned) = self.ephemerals.get_mut(&node.ephemeral_owner) {
            owned.remove(path);
            if owned.is_empty() {
                self.ephemerals.remove(&node.ephemeral_owner);
            }
        }
        Some(node)
    }

    fn keep(&mut self, transaction: Transaction) {
        if transaction.changes.is_empty() {
            return;
        }
        self.zxid = transaction.zxid;
        self.events.extend(transaction.changes.into_iter().map(|change| match change {
            Change::Created { path } => Event { path, kind: EventKind::Created },
            Change::Changed { path, .. } => Event { path, kind: EventKind::Changed },
            Change::Deleted { path, .. } => Event { path, kind: EventKind::Deleted },
        }));
    }

    fn take_back(&mut self, transaction: Transaction) {
        for change in transaction.changes.into_iter().rev() {
            match change {
                Change::Created { path } => {
                    self.detach(&path);
                    if let Some(parent) = parent_of(&path).and_then(|parent| self.nodes.get_mut(parent)) {
                        parent.creates = parent.creates.wrapping_sub(1);
                    }
                }
                Change::Changed { path, before } => {
                    if let Some(node) = self.nodes.get_mut(&path) {
                        node.value = before;
                    }
                }
                Change::Deleted { path, node } => self.attach(path, node),
            }
        }
    }
}

/// The path of the parent; None for the root.
pub(super) fn parent_of(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() == 1 => None,
        0 => Some("/"),
        end => Some(&path[..end]),
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn no_node(path: &str) -> Error {
    Error::NoNode { path: path.to_owned() }
}

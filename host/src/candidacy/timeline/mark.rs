//! What a host leaves in the tree itself, so that it sees if the tree is taken back.
//!
//! Transaction numbers alone don't tell: an ensemble that is restored elects a leader, whose epoch makes all of its numbers higher
//! than those before. But the tree is the backup's. Each host has a node there, its *mark*, which it alone writes, again and again.
//! The version of a node never falls, so a mark that is the same node, because the same transaction made it, and has a lower version
//! than this host has seen was restored. If somebody deletes it, the host makes another one, which another transaction made and
//! which proves nothing. The directory of the marks is written when a mark is made. So if the mark is missing, the directory has
//! a lower version than this host has seen if the tree is from before that, and does not if somebody deleted the mark.

use serde::{Deserialize, Serialize};

use crate::coordinator::Stat;

/// One node at one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// The transaction that made the node.
    pub czxid: i64,
    /// How often its value was changed since. Wraps.
    pub version: i32,
}

impl Edition {
    /// Returns the edition that a node's stat tells of.
    pub fn of(stat: &Stat) -> Self {
        Edition { czxid: stat.czxid, version: stat.version }
    }

    /// Returns the one before the write that this stat is the answer to.
    pub(super) fn before(stat: &Stat) -> Self {
        Edition { czxid: stat.czxid, version: stat.version.wrapping_sub(1) }
    }

    /// Whether `now`, seen later, is the same node with a lower version.
    pub(super) fn is_taken_back_by(self, now: Edition) -> bool {
        self.czxid == now.czxid && now.version.wrapping_sub(self.version) < 0
    }
}

/// A host's mark, as it saw it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The host's node.
    pub node: Edition,
    /// The directory of all hosts' marks, after this host's node was made.
    pub directory: Edition,
}

/// What a host had seen when it sent a request. No answer to it tells of anything earlier, unless the ensemble was restored.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// The highest position.
    pub(super) position: i64,
    pub(super) mark: Option<Mark>,
    /// How often an operator had let the cluster go on.
    pub(super) resumptions: u64,
}

impl Floor {
    /// Whether a mark's stat is that of the node that this host knows.
    pub fn knows(&self, stat: &Stat) -> bool {
        self.mark.is_some_and(|mark| mark.node.czxid == stat.czxid)
    }

    /// Whether this host knows of a mark of its own.
    pub fn has_mark(&self) -> bool {
        self.mark.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_node_at_a_lower_version_is_taken_back() {
        let at = |czxid, version| Edition { czxid, version };
        assert!(at(7, 500).is_taken_back_by(at(7, 499)));
        assert!(!at(7, 500).is_taken_back_by(at(7, 500)));
        assert!(!at(7, 500).is_taken_back_by(at(8, 0)), "another node, made after somebody deleted the first");
        assert!(!at(7, i32::MAX).is_taken_back_by(at(7, i32::MIN)), "versions wrap");
    }
}

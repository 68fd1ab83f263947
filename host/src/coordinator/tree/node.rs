//! One node of the tree.

use std::collections::BTreeSet;

use super::Author;
use crate::coordinator::Stat;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::coordinator) struct Node {
    pub value: Value,
    pub czxid: i64,
    pub ctime_ms: i64,
    /// The owning session, 0 for a persistent node.
    pub ephemeral_owner: i64,
    /// How many children were ever created below it, sequential or not: the number that the next sequential one gets.
    /// Wraps around.
    pub creates: i32,
    /// Their names.
    pub children: BTreeSet<String>,
}

/// What a set replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::coordinator) struct Value {
    pub data: Vec<u8>,
    pub mzxid: i64,
    pub mtime_ms: i64,
    pub version: i32,
}

impl Node {
    pub(super) fn new(data: Vec<u8>, author: Author, zxid: i64, ephemeral: bool) -> Self {
        Node {
            value: Value { data, mzxid: zxid, mtime_ms: author.now_ms, version: 0 },
            czxid: zxid,
            ctime_ms: author.now_ms,
            ephemeral_owner: if ephemeral { author.session } else { 0 },
            creates: 0,
            children: BTreeSet::new(),
        }
    }

    pub(in crate::coordinator) fn is_ephemeral(&self) -> bool {
        self.ephemeral_owner != 0
    }

    pub(in crate::coordinator) fn stat(&self) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.value.mzxid,
            ctime_ms: self.ctime_ms,
            mtime_ms: self.value.mtime_ms,
            version: self.value.version,
            ephemeral_owner: self.ephemeral_owner,
            num_children: i32::try_from(self.children.len()).unwrap_or(i32::MAX),
        }
    }
}

/// Bytes of a node's fields in front of its data.
const HEADER_BYTES: usize = 8 * 4 + 4 * 2;

/// The form in which a persistent node is kept: fields in the order below, big-endian, then the data.
impl Node {
    pub(in crate::coordinator) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.value.data.len());
        for field in [self.czxid, self.ctime_ms, self.value.mzxid, self.value.mtime_ms] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        for field in [self.value.version, self.creates] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(&self.value.data);
        bytes
    }

    /// None where the bytes are too few.
    pub(in crate::coordinator) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let czxid = i64::from_be_bytes(take(&mut rest)?);
        let ctime_ms = i64::from_be_bytes(take(&mut rest)?);
        let mzxid = i64::from_be_bytes(take(&mut rest)?);
        let mtime_ms = i64::from_be_bytes(take(&mut rest)?);
        let version = i32::from_be_bytes(take(&mut rest)?);
        let creates = i32::from_be_bytes(take(&mut rest)?);
        let value = Value { data: rest.to_vec(), mzxid, mtime_ms, version };
        Some(Node { value, czxid, ctime_ms, ephemeral_owner: 0, creates, children: BTreeSet::new() })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_reads_back_as_it_was_kept() {
        let mut node = Node::new(b"data".to_vec(), Author { session: 7, now_ms: -5 }, i64::MAX, false);
        (node.value.version, node.creates) = (i32::MIN, -1);
        assert_eq!(Node::decode(&node.encode()), Some(node.clone()));
        assert_eq!(Node::decode(&node.encode()[..HEADER_BYTES - 1]), None);
    }
}

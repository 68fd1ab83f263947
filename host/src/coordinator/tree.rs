//! The semantics of a tree of nodes.

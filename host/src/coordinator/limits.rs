//! Bounds on what is sent to the coordinator. ZooKeeper's own is `jute.maxbuffer`, 1 MiB a request, and it answers a
//! larger one by closing the connection; these stay below it with room for the request's other fields.

/// The largest value of one node, in bytes.
pub const MAX_VALUE_BYTES: usize = 512 * 1024;

/// The largest multi, in bytes: paths and values together.
pub const MAX_MULTI_BYTES: usize = 768 * 1024;

/// The most operations of one multi.
pub const MAX_MULTI_OPS: usize = 1000;

/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;

/// The most children that a directory of ours is given.
pub const MAX_CHILDREN: usize = 1000;

/// The most that the paths of all watches of one session have together, in bytes. The client library breaks at 128 KiB;
/// this leaves room for watches whose removal is still under way.
pub const MAX_WATCHED_BYTES: usize = 96 * 1024;

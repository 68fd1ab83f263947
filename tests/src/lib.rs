//! Harness of the tests: real ZooKeeper servers, hosts as real processes, kazoo programs beside them, and a network that
//! breaks on order. Everything listens on 127.0.0.1 and ends with the test.

pub mod bomb;
pub mod chance;
pub mod child;
pub mod chores;
pub mod cli;
pub mod cluster;
pub mod crowd;
pub mod curator;
pub mod end_session;
pub mod example;
pub mod fake_clock;
pub mod figure;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod group_life;
pub mod history_checker;
pub mod host;
pub mod job;
pub mod kazoo;
pub mod lateness;
pub mod ledger;
pub mod lone_term;
pub mod neighbour;
pub mod oracle;
pub mod place;
pub mod port;
pub mod process;
pub mod proxy;
pub mod queues;
pub mod refusal;
pub mod scribe;
pub mod small_disk;
pub mod soak;
pub mod subjects;
pub mod target;
pub mod terms;
pub mod times;
pub mod tools;
pub mod tree;
pub mod txn_log;
pub mod wait;
pub mod witness;
pub mod zookeeper;

/// The hosts' own: what stays of a test's memory is what would stay of theirs.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

//! Leader election over ZooKeeper's operations, as a state machine.
//!
//! No I/O, no clock, no threads, no randomness: what happened comes in as an [`Event`], what to do goes out as
//! [`Action`]s, time and names are arguments. Whoever drives it reads, writes and waits.
//!
//! The recipe is kazoo's and Curator's: every contender makes an ephemeral sequential node under the election's path, the
//! smallest number leads, everyone else watches only the one directly ahead. What is added is the end of a term: the
//! leader function is stopped and seen to have stopped before its contender goes, and a lease ends it before the
//! ensemble can let another lead.

mod contender;
mod event;
mod lease;
mod machine;

pub use contender::{Contender, Names, ahead_of, curator_prefix, in_order, lock_prefix};
pub use event::{Action, Event, How, OnReturn, Report};
pub use lease::{Heartbeats, LeaseRule, RuleError};
pub use machine::{Election, Next, State};

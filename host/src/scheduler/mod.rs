//! Runs scheduled jobs: which tick is due, begin, run, finish. It works only while its host leads a group, and knows a
//! group's leadership only as a [`crate::capability::Gate`].
//!
//! A run is two fenced multis. `begin` is durable before the guest starts, `finish` commits the outcome and the run's state
//! writes together; so after any crash the next leader of the group decides the same way every time.

mod due;
mod finish;
mod group;
mod group_of;
mod keeper;
mod ledger;
pub mod plan;
#[cfg(test)]
mod tests;

pub use group::{GroupDuty, Scheduling};
pub use group_of::{DEFAULT_GROUPS, group_of};
pub use keeper::TriggerError;

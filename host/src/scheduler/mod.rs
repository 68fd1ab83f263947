//! Runs scheduled jobs: which tick is due, begin, run, finish. It works only while its host leads a group, and knows a
//! group's leadership only as a [`crate::capability::Gate`].
//!
//! A run is two fenced multis. `begin` is durable before the guest starts, `finish` commits the outcome and the run's state
//! writes together; so after any crash the next leader of the group decides the same way every time. What is decided is
//! [`plan`]'s, and pure; a [`term`] with its keepers brings it about.

mod change;
mod commit;
mod desk;
mod due;
mod group;
mod keeper;
mod led;
mod order;
mod pipeline;
pub mod plan;
mod records;
mod runner;
mod term;
#[cfg(test)]
mod tests;
mod turns;
mod way;

pub use group::{GroupDuty, Scheduling};
pub use led::Led;
pub use order::TriggerError;
pub use pipeline::Pipelines;
pub use records::{kept, told_again};
pub use runner::{Runner, Start};
pub use turns::Turns;

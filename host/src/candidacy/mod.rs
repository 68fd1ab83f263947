//! Stands in elections: drives the machine of `silverback-election` with events from one session, and does what it says.
//!
//! It waits; the machine decides. It knows what a term is for only as a [`Duty`].

mod candidate;
mod clock_check;
mod concern;
mod courtesy;
mod duty;
mod hand_back;
mod heartbeat;
mod heirs;
mod leader_job;
mod opening;
mod pause;
mod placement;
mod preference;
mod queue;
mod rear;
mod requests;
mod roll;
mod seats;
mod term;
mod term_book;
#[cfg(test)]
mod tests;
mod timeline;

pub use candidate::{Candidacy, Candidate, Ended, Standing};
pub use clock_check::{Answer, ClockCheck, ClockState};
pub use concern::Concern;
pub use courtesy::MakesWay;
pub use duty::{Duty, Served};
pub use heartbeat::{JoinError, Membership, Presence, PresenceValue};
pub use leader_job::{LeaderJob, leader_run_id};
pub use placement::{CONTENDERS, Placement};
pub use preference::Preference;
pub use queue::{QueueEntry, contenders, for_guests};
pub use roll::follow_hosts;
pub use seats::{LiveHosts, Seat, Seats, surplus};
pub use timeline::{Edition, Evidence, Floor, Keep, KnownCluster, Look, Mark, Timeline, TimelineState};

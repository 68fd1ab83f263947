//! What a run may use: every limit with its name, its unit, what holds where nobody says anything, and the most there is.
//!
//! A job asks for more or less than the default, and an operator says how much a tenant's jobs may have. This is what is asked
//! for and what may be had; the runtime and the capabilities hold runs to it.

mod asked;
mod over;
mod table;

pub use asked::{Ceilings, Limits, MoreLimits, RunLimits};
pub use over::OverLimit;
pub use table::{Limit, Unit};

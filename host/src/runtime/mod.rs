//! Runs components: engine, admission, instances, limits, deadlines. It doesn't know why a run is started, nor what
//! follows from how it ends.

mod run;

pub use crate::capability::{Contenders, Interrupt, StateMode, StateWrite};
pub use run::{End, Run, RunEnd, RunRequest, Usage};

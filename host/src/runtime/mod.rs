//! Runs components: engine, admission, instances, limits, deadlines. It doesn't know why a run is started, nor what
//! follows from how it ends.

mod run;

pub use run::{End, Interrupt, Run, RunEnd, RunRequest, StateMode, StateWrite, Usage};

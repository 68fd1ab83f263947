//! Write a Silverback leader function: a plain Rust function that runs on the host whose node leads.
//!
//! ```no_run
//! use std::time::Duration;
//! use silverback_guest::{Grant, RunError, leadership, state};
//!
//! #[silverback_guest::job]
//! fn lead(grant: Grant) -> Result<(), RunError> {
//!     log::info!("leading with token {}", grant.token);
//!     while !leadership::should_stop() {
//!         state::increment("beats", 1)?;
//!         leadership::sleep(Duration::from_secs(1));
//!     }
//!     Ok(())
//! }
//! # fn main() {}
//! ```
//!
//! An effect that leadership stands in the way of fails in one of three ways, the same for the state and for HTTP:
//! `LostLeadership` and `Unproven`, and nothing was done; `Unknown`, and nobody knows.
//!
//! The crate is a `cdylib` built for `wasm32-wasip2`. It also compiles for the machine itself, so that it can be tested as
//! usual: what it would ask of a host, a `testing::Stage` answers there.

extern crate self as silverback_guest;

#[doc(hidden)]
pub mod bindings;
pub mod config;
mod error;
mod fate;
mod host;
pub mod http;
pub mod leadership;
mod logger;
mod report;
pub mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod url;

pub use bindings::exports::silverback::leader::job::Grant;
pub use error::RunError;
/// Makes a function the leader function of this component.
///
/// The function takes a [`Grant`] and gives `Result<T, RunError>`, where `T` is anything that serde can write. What it
/// returns is kept with the run: text as it is, nothing for `()`, everything else as JSON. Before it is called, the
/// `log` facade is set up: lines go to the run's log, with the target as context, from the level that the job's config
/// names under `log` (`info` where it names none).
pub use silverback_guest_macros::job;

/// For the code that [`job`] generates.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::bindings::__export_job;
    pub use crate::bindings::exports::silverback::leader::job::{Guest, RunError as WireError};
    pub use crate::report::run;
    pub use wit_bindgen::rt;
}

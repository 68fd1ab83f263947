//! One file for each thing a guest may ask for. Each answers one import of the world, and every one that changes
//! anything passes the [`Gate`].

mod gate;

pub use gate::{Gate, GateState, Lease, Refusal};

//! All that this crate asks the host for, and the only place that does. On the machine itself there is none: a
//! [`Stage`](crate::testing::Stage) answers there.

#[cfg(not(target_family = "wasm"))]
mod stage;
#[cfg(target_family = "wasm")]
mod wasm;
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "only tests call it there"))]
pub(crate) mod wire;

#[cfg(not(target_family = "wasm"))]
pub(crate) use stage::*;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::*;

pub(crate) use crate::bindings::silverback::leader::leadership::{Change, Contender, Wake};
pub(crate) use crate::bindings::wasi::keyvalue::store::Error as StoreError;
pub(crate) use crate::bindings::wasi::logging::logging::Level;

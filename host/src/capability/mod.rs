//! One file for each thing a guest may ask for. Each answers one import of the world, and every one that changes
//! anything passes the [`Gate`].

mod apart;
mod bindings;
mod budget;
mod config;
mod fair;
#[cfg(test)]
pub(crate) mod fakes;
mod fate;
mod gate;
mod host;
mod http;
mod interrupt;
mod leadership;
mod logging;
mod meter;
mod per_name;
mod random;
#[cfg(test)]
pub(crate) mod residue;
mod state;
mod stdio;
mod traffic;

pub(crate) use bindings::LeaderPre;
pub(crate) use bindings::exports::silverback::leader::job::{Grant, RunError};
pub use budget::{Budget, OverBudget, Share};
pub use fair::{Fair, FairShare, FairTurn};
pub use fate::Fate;
pub use gate::{Ending, Gate, GateState, Inside, Lease, Refusal};
pub use host::{Grants, Host, add_to_linker};
pub use http::{Connections, HttpReach, MAX_CONNECT_TIME, MAX_HEAD_BYTES, MAX_HEADERS, MAX_REQUEST_TIME, MAX_REQUESTS};
pub use interrupt::Interrupt;
pub use leadership::{Contenders, Leadership};
pub use logging::{BURST_LINES, LINES_PER_SECOND, MAX_CONTEXT_BYTES, MAX_LINE_BYTES, RunLog};
pub use meter::Meter;
pub use per_name::{OfName, PerName};
pub use state::{
    Batch, Bucket, Entry, Key, KeyWatch, MAX_BATCH_BYTES, MAX_BATCH_KEYS, MAX_BUFFERED_BYTES, MAX_BUFFERED_WRITES,
    MAX_STATE_VALUE_BYTES, PATIENCE, State, StateError, StateMode, StateWrite,
};
pub use traffic::{Asking, MAX_ASKED, MAX_GUESTS_WATCHED_BYTES, MAX_TENANT_ASKED, MAX_TENANT_WATCHED_BYTES, Traffic};

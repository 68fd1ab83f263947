//! What an operator sets, and where things live in the coordinator. It knows names and numbers, and opens nothing.

mod layout;

pub use layout::Layout;

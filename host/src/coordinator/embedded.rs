//! One process, durable in a redb file.
/// See the module.
pub struct Embedded;

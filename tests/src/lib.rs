//! Harness of the tests.

pub mod child;
pub mod zookeeper;

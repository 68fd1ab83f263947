//! Harness of the tests.

pub mod child;
pub mod proxy;
pub mod zookeeper;

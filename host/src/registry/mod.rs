//! Tenants' jobs: what they are, whether they are valid, and their place in the coordinator.

mod spec;

pub use spec::{Digest, JobId, JobSpec, Limits, OnReturn, Trigger};

//! What an operator says of a tenant: how much of a host its scheduled runs may take.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSettings {
    /// The most runs at once on a host.
    pub max_running: Option<u32>,
    /// The most runs begun in a minute on a host.
    pub runs_per_minute: Option<u32>,
    /// The most runs that wait for their turn on a host.
    pub max_waiting: Option<u32>,
    /// Its share where hosts are full.
    pub weight: u32,
}

impl Default for TenantSettings {
    fn default() -> Self {
        TenantSettings { max_running: None, runs_per_minute: None, max_waiting: None, weight: 1 }
    }
}

/// All tenants that something is said of.
pub type Tenants = Arc<BTreeMap<String, TenantSettings>>;

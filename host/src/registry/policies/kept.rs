//! Policies as a host keeps them in memory, of every job there is.

use std::fmt;
use std::ops::Deref;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::PolicySpec;

static DEFAULTS: LazyLock<PolicySpec> = LazyLock::new(PolicySpec::default);

/// What a job says of its runs. Most say nothing, and it is a pointer's worth then: a hundred thousand whole ones would be
/// fourteen megabytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeptPolicies(Option<Box<PolicySpec>>);

impl From<PolicySpec> for KeptPolicies {
    fn from(spec: PolicySpec) -> Self {
        KeptPolicies((spec != *DEFAULTS).then(|| Box::new(spec)))
    }
}

impl Deref for KeptPolicies {
    type Target = PolicySpec;

    fn deref(&self) -> &PolicySpec {
        self.0.as_deref().unwrap_or(&DEFAULTS)
    }
}

impl fmt::Debug for KeptPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for KeptPolicies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeptPolicies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PolicySpec::deserialize(deserializer).map(KeptPolicies::from)
    }
}

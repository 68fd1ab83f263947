//! Where a job may send HTTP requests, and under which header its token goes with them.
//!
//! It compares names and addresses. It sends nothing, and doesn't know which address a name has.

mod addresses;
mod allowed;
mod host_name;
mod origin;
#[cfg(test)]
mod tests;
mod token_header;

use serde::{Deserialize, Serialize};

pub use self::addresses::Ranges;
pub use self::allowed::Allowed;
pub use self::host_name::decoded;
pub use self::origin::{Origin, OriginError, Scheme};
pub use self::token_header::{TokenHeader, TokenHeaderError, reads_like};

/// The header that says whose a guest's request is. The guest can't set it, and no host's API answers who sends it: a tenant
/// that may reach this machine doesn't thereby command its hosts.
pub const TENANT_HEADER: &str = "silverback-tenant";
/// The most origins of one job.
pub const MAX_HTTP_ORIGINS: usize = 32;

/// What a job may do over HTTP. Nothing, unless its job.toml says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpGrants {
    /// Where requests may go; nowhere else.
    #[serde(default)]
    pub allow: Vec<Allowed>,
    /// The header that carries the fencing token in each of them.
    #[serde(default)]
    pub token_header: TokenHeader,
}

impl HttpGrants {
    /// Whether requests to `origin` are granted.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.allow.iter().any(|allowed| allowed.covers(origin))
    }
}

//! Tenants and their jobs: what they are, whether they are valid, and their place in the coordinator.

mod cluster;
mod duration;
mod follow;
mod group_of;
mod hex;
mod http;
mod job_map;
mod job_toml;
mod limits;
mod listing;
mod misfit;
mod news;
mod pause;
mod policies;
mod problems;
mod repair;
mod schedule;
mod secrets;
mod signers;
mod spec;
mod store;
mod stored;
mod tenant_store;
mod tenants;
mod term_rules;
mod validate;

pub use cluster::{Behind, ClusterNode, found_cluster_node, mark_behind, resume_after_restore};
pub use follow::{Followed, Job, Jobs, MissingJobs};
pub use group_of::{DEFAULT_GROUPS, group_of};
pub use http::{
    Allowed, HttpGrants, MAX_HTTP_ORIGINS, Origin, OriginError, Ranges, Scheme, TENANT_HEADER, TokenHeader,
    TokenHeaderError, decoded, reads_like,
};
pub use job_map::{GroupJobs, JobMap};
pub use job_toml::JobFile;
pub use limits::{Ceilings, Limit, Limits, MoreLimits, OverLimit, RunLimits, Unit};
pub use listing::Listing;
pub use pause::{MAX_BY_BYTES, MAX_NOTE_BYTES, Pause, PauseOrder};
pub use policies::{
    CatchUp, CatchUpRule, Delivery, KeptPolicies, MAX_QUEUED, MAX_RUNNING, Overlap, OverlapRule, Policies, PolicySpec,
    Retry, RetryOn, RetrySpec,
};
pub use problems::{About, Problem, Problems, Raised};
pub use repair::ensure_directories;
pub use schedule::{Fold, Forecast, Gap, Schedule, ScheduleError, ScheduleSpec};
pub use secrets::{
    Fetch, MAX_SECRET_BYTES, OpenError, Sealed, SecretError, SecretRow, Secrets, Vault, VaultError, check_secret,
    check_secret_name,
};
pub use signers::{MAX_SIGNERS, Signer, SignerError, Signers};
pub use spec::{Build, Digest, DigestError, JobId, JobSpec, Names, OnReturn, Trigger};
pub use store::{Applied, Change, Registry, RegistryError};
pub use stored::PassedOver;
pub use tenants::{TenantSettings, Tenants, check_tenant, settings_of};
pub use term_rules::TermRules;
pub use validate::SpecError;

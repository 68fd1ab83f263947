//! What goes over the wire beside the types of the parts below. Field names are a contract with whoever reads
//! `--output json`.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::history::PlacedLine;
use crate::registry::{Digest, Forecast, Pause, TenantSettings};
use crate::scheduler::plan::Paused;

/// A job, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// Who ships it.
    pub tenant: String,
    /// Its name within the tenant.
    pub name: String,
    /// How often it was changed since it was created.
    pub version: i32,
    /// `leader` or `schedule`; None if what is stored can't be read.
    pub trigger: Option<String>,
    /// What runs; None as above.
    pub component: Option<Digest>,
    /// The path of the election that it shares with other scheduled jobs; only for these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The path of its own election; only for leader jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election: Option<String>,
    /// Whether it rests.
    pub paused: bool,
    /// Who or what paused it; only for a job that rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseRow>,
    /// How its newest ended run ended.
    pub last_outcome: Option<String>,
    /// When it is due next; None for a leader job or a paused one.
    pub next_tick: Option<Timestamp>,
    /// What keeps it from going on, on which hosts; None if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Why a job rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRow {
    /// Who paused it; None where it did so itself, after failures.
    pub by: Option<String>,
    /// When; None where that was not said.
    pub at: Option<Timestamp>,
    /// Why; may be empty.
    pub note: String,
}

impl From<Pause> for PauseRow {
    fn from(Pause { by, at, note }: Pause) -> Self {
        PauseRow { by: Some(by), at, note }
    }
}

impl From<Paused> for PauseRow {
    fn from(Paused { at, why }: Paused) -> Self {
        PauseRow { by: None, at: Some(at), note: why }
    }
}

/// A tenant, with what it is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRow {
    /// Its name.
    pub tenant: String,
    /// How many jobs it has.
    pub jobs: usize,
    /// What it is set; the defaults where that is nothing.
    #[serde(flatten)]
    pub settings: TenantSettings,
}

/// A tick to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComingTick {
    /// Its nominal time, which names its run.
    pub tick: Timestamp,
    /// The same by the clock of the job's zone.
    pub local: String,
    /// By how much jitter delays the run, like `1m 5s`.
    pub delay: String,
    /// When the run begins.
    pub begins: Timestamp,
    /// What a change of the zone's clock does to it.
    pub remark: Option<String>,
}

impl From<Forecast> for ComingTick {
    fn from(forecast: Forecast) -> Self {
        let Forecast { tick, local, begins, remark } = forecast;
        let delay = format!("{:#}", begins.duration_since(tick));
        ComingTick { tick, local: local.to_string(), delay, begins, remark }
    }
}

/// One that stands in a job's election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContenderRow {
    /// What it calls itself.
    pub identifier: String,
    /// The host of this cluster that it stands for; None for another program's contender.
    pub host: Option<String>,
    /// The name of its node; None for a host that would stand, and can't.
    pub znode: Option<String>,
    /// The fencing token of the term it has or will have; None as above.
    pub token: Option<i64>,
    /// Whether it leads.
    pub leader: bool,
    /// What keeps this host from standing or leading, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A group of scheduled jobs, which are led together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// Its number.
    pub group: u32,
    /// How many jobs are in it.
    pub jobs: usize,
    /// How many tenants have jobs in it.
    pub tenants: usize,
}

impl fmt::Display for GroupRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |count: usize| if count == 1 { "" } else { "s" };
        let GroupRow { group, jobs, tenants } = self;
        write!(f, "{jobs} job{} of {tenants} tenant{} in group {group}", several(*jobs), several(*tenants))
    }
}

/// The reply to a resignation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resigned {
    /// The group whose leader resigned; None for the leader of a leader job.
    pub group: Option<GroupRow>,
}

/// Whom to remove from a job's election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eviction {
    /// An identifier, or the name of a node where several have one identifier.
    pub contender: String,
    /// Whether it may be removed from the election of the whole group that a scheduled job is in.
    #[serde(default)]
    pub group: bool,
}

/// The reply to an eviction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evicted {
    /// The contender as it stood.
    #[serde(flatten)]
    pub contender: ContenderRow,
    /// The group from whose election it was removed; None for that of a leader job.
    pub group: Option<GroupRow>,
}

/// Some of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// By time.
    pub lines: Vec<PlacedLine>,
    /// What to ask for next, as `after`.
    pub cursor: String,
}

/// A key that a job keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// As the job knows it.
    pub key: String,
}

/// The reply to a stored component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredComponent {
    /// Its name from now on.
    pub digest: Digest,
}

/// The reply to a trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggered {
    /// The id of the run that was started.
    pub run: String,
}

/// The reply to a back-fill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilledIn {
    /// How many ticks will be run.
    pub ticks: usize,
}

/// The reply to a resumption after a restoration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Fencing tokens are above this from now on.
    pub base: i64,
}

/// The reply to a cursor that was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorSet {
    /// The ticks up to here count as decided.
    pub cursor: Timestamp,
}

/// The reply to what failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence for people.
    pub error: String,
}

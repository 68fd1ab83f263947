//! A job's node: its spec as JSON, and beside it what the registry itself remembers of its last change.

use serde::{Deserialize, Serialize};

use super::{CatchUpRule, Job, JobId, JobSpec, RegistryError, Trigger};
use crate::coordinator::Stat;

/// What becomes of the ticks that came before a job was changed or resumed and that nobody has decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PassedOver {
    /// They are skipped: the job ticks from now on.
    #[default]
    Skipped,
    /// They were missed, and the job's `catch_up` says which of them run: it ticks from its change before this one on.
    CaughtUp,
}

impl PassedOver {
    /// Whether any of them would run.
    pub(super) fn check(self, spec: &JobSpec) -> Result<(), RegistryError> {
        let refused = match &spec.trigger {
            _ if self == PassedOver::Skipped => None,
            Trigger::Leader { .. } => Some(("trigger", "leader")),
            Trigger::Schedule { policies, .. } => match policies.catch_up {
                CatchUpRule::None => Some(("catch_up", "none")),
                CatchUpRule::Latest | CatchUpRule::All => None,
            },
        };
        refused.map_or(Ok(()), |(field, value)| {
            Err(RegistryError::NothingToCatchUp { job: spec.id.clone(), field, value })
        })
    }

    /// From when on the job ticks, where that is not its next change; in milliseconds since 1970.
    pub(super) fn ticks_from(self, before: &Job) -> Option<i64> {
        match self {
            PassedOver::Skipped => None,
            PassedOver::CaughtUp => Some(before.ticks_from_ms.unwrap_or(before.mtime_ms)),
        }
    }
}

/// Of a node, besides the spec.
#[derive(Deserialize)]
struct Remembered {
    #[serde(default)]
    ticks_from_ms: Option<i64>,
    #[serde(default)]
    born: Option<i64>,
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    spec: &'a JobSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticks_from_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    born: Option<i64>,
}

/// Returns a node's value. `born` is [`Job::born`] of the job that is changed or made again, None for a new job.
pub(super) fn encode(spec: &JobSpec, ticks_from_ms: Option<i64>, born: Option<i64>) -> Vec<u8> {
    serde_json::to_vec(&Stored { spec, ticks_from_ms, born })
        .expect("a spec has string keys only, which is all that JSON asks")
}

/// Reads a job's node. It doesn't look at the job's schedule: a job whose schedule this version refuses is still a job, and
/// [`JobSpec::schedule`] gives the reason.
pub(super) fn decode(id: &JobId, data: &[u8], stat: Stat) -> Result<Job, RegistryError> {
    let corrupt = |detail: String| RegistryError::Corrupt { job: id.clone(), detail };
    let spec: JobSpec = serde_json::from_slice(data).map_err(|error| corrupt(error.to_string()))?;
    if spec.id != *id {
        return Err(corrupt(format!("it calls itself `{}`", spec.id)));
    }
    spec.validate_without_schedule().map_err(|error| corrupt(error.to_string()))?;
    let Remembered { ticks_from_ms, born } =
        serde_json::from_slice(data).map_err(|error| corrupt(error.to_string()))?;
    let born = born.unwrap_or(stat.czxid);
    Ok(Job { spec, version: stat.version, born, mzxid: stat.mzxid, mtime_ms: stat.mtime_ms, ticks_from_ms })
}

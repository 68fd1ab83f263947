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
    /// Only of a node that was made again: when the job was last changed before that, in milliseconds since 1970.
    #[serde(default)]
    changed_ms: Option<i64>,
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    spec: &'a JobSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticks_from_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    born: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_ms: Option<i64>,
}

/// Returns a node's value. `born` is [`Job::born`] of the job that is changed or made again, None for a new job.
pub(super) fn encode(spec: &JobSpec, ticks_from_ms: Option<i64>, born: Option<i64>) -> Vec<u8> {
    value(&Stored { spec, ticks_from_ms, born, changed_ms: None })
}

/// Returns the value of a job's node that is made again. That is no change of the job: it counts as changed when it was before,
/// and it ticks from where it did before, so that what came while it was gone counts as missed.
pub(super) fn encode_again(job: &Job) -> Vec<u8> {
    // For hosts of a release that doesn't know `changed_ms`: they take the node's own time for that of a change.
    let ticks_from_ms = Some(job.ticks_from_ms.unwrap_or(job.mtime_ms));
    value(&Stored { spec: &job.spec, ticks_from_ms, born: Some(job.born), changed_ms: Some(job.mtime_ms) })
}

fn value(stored: &Stored<'_>) -> Vec<u8> {
    serde_json::to_vec(stored).expect("a spec has string keys only, which is all that JSON asks")
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
    let Remembered { ticks_from_ms, born, changed_ms } =
        serde_json::from_slice(data).map_err(|error| corrupt(error.to_string()))?;
    let (born, mtime_ms) = (born.unwrap_or(stat.czxid), changed_ms.unwrap_or(stat.mtime_ms));
    Ok(Job { spec, version: stat.version, born, mzxid: stat.mzxid, mtime_ms, ticks_from_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Digest, KeptPolicies, Limits, ScheduleSpec};

    fn stat(zxid: i64, mtime_ms: i64) -> Stat {
        let (version, ephemeral_owner, num_children) = (0, 0, 0);
        Stat { czxid: zxid, mzxid: zxid, ctime_ms: mtime_ms, mtime_ms, version, ephemeral_owner, num_children }
    }

    #[test]
    fn w2_a_node_that_is_made_again_is_no_change_of_its_job() {
        let id = JobId::new("acme", "nightly").unwrap();
        let spec = JobSpec {
            id: id.clone(),
            component: Digest::of(b""),
            trigger: Trigger::Schedule { times: ScheduleSpec::new("@every 1h"), policies: KeptPolicies::default() },
            limits: Limits::SCHEDULED,
            config: Default::default(),
            secrets: Default::default(),
            http: Default::default(),
            paused: None,
        };
        let made = decode(&id, &encode(&spec, None, None), stat(3, 1000)).unwrap();
        let again = decode(&id, &encode_again(&made), stat(7, 5000)).unwrap();
        assert_eq!((again.born, again.mzxid, again.mtime_ms), (made.born, 7, 1000));
        assert_eq!(again.ticks_from_ms, Some(1000));
        // Nor is it one the second time.
        let third = decode(&id, &encode_again(&again), stat(9, 6000)).unwrap();
        assert_eq!(third, Job { mzxid: 9, ..again.clone() });
        let changed = decode(&id, &encode(&spec, None, Some(third.born)), stat(9, 8000)).unwrap();
        assert_eq!((changed.born, changed.mtime_ms), (made.born, 8000));
    }
}

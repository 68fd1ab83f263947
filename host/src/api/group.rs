//! A scheduled job has no election of its own: the leader of its group runs it, with the jobs of other tenants. So whoever
//! ends that leadership for the sake of one job has to say that the group is meant.

use super::{Api, ApiError, GroupRow};
use crate::registry::JobSpec;

impl Api {
    /// Returns the group whose leadership ends with the job's; None for a leader job.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] if there is a group and it was not asked for, with those that it concerns.
    /// [`ApiError::Invalid`] if it was asked for and there is none.
    pub(super) fn group_meant(&self, spec: &JobSpec, asked_for: bool) -> Result<Option<GroupRow>, ApiError> {
        match self.cluster.group(spec) {
            Some(group) if asked_for => Ok(Some(group)),
            Some(group) => Err(ApiError::Conflict(format!(
                "job `{}` is scheduled, and so led with its whole group: the runs of {group} would be stopped. If you mean \
                 that, add --group (`group` in the API)",
                spec.id
            ))),
            None if asked_for => Err(ApiError::Invalid(format!(
                "job `{}` has the trigger `leader` and an election of its own, no group: leave out --group (`group` in the \
                 API)",
                spec.id
            ))),
            None => Ok(None),
        }
    }
}

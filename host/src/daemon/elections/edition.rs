//! What makes a post another one: a change of its job.

use std::sync::Arc;

use crate::registry::Job;

/// A leader job as it is stored, or a group, which never changes. Two are the same unless the job was changed in between: a job's
/// node that was made again, after somebody deleted it by hand, is of the same edition.
#[derive(Clone, Debug)]
pub(super) struct Edition(Option<Arc<Job>>);

impl Edition {
    pub(super) fn of_job(job: Arc<Job>) -> Self {
        Edition(Some(job))
    }

    pub(super) fn of_group() -> Self {
        Edition(None)
    }

    /// Returns the job; None for a group.
    pub(super) fn job(&self) -> Option<&Arc<Job>> {
        self.0.as_ref()
    }
}

impl PartialEq for Edition {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            // Not by the transaction that wrote the node: that is another one when the node was made again. The spec too, because
            // a job may be changed twice in one millisecond.
            (Some(one), Some(other)) => {
                Arc::ptr_eq(one, other)
                    || (one.born == other.born && one.mtime_ms == other.mtime_ms && one.spec == other.spec)
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Eq for Edition {}

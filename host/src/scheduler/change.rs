//! One change of a job's run state, and how it may go.

use thiserror::Error;

use crate::coordinator::{CreateMode, Error, Op};
use crate::runtime::StateWrite;

/// A new run state, and what is written with it in one multi or not at all.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The node.
    pub(super) path: String,
    /// Its new value. It differs from the one before, by a nonce or a time.
    pub(super) data: Vec<u8>,
    /// The version that is there; None while the node doesn't exist.
    pub(super) version: Option<i32>,
    /// The path of the job's node.
    pub(super) job: String,
    /// What must hold. What has a condition begins or decides something, and is not even tried once the term is over; what
    /// has none records how something ended.
    pub(super) condition: Option<Unchanged>,
    /// Whether the node is made again, because somebody deleted it. That needs the job to exist: otherwise the node went with
    /// its job.
    pub(super) recreates: bool,
    /// A run's state writes, created or set as what is there demands.
    pub(super) writes: Vec<StateWrite>,
}

/// The job is as it was when its spec was read: its node has this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unchanged(pub(super) i32);

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// The node's version from now on.
    pub(super) version: i32,
}

/// Why a change was not made.
#[derive(Debug, Error)]
pub(super) enum Setback {
    /// This host leads the group no more: nothing was changed.
    #[error("leadership is lost")]
    Lost,
    /// The session was lost before the answer came, so it may have been changed. The next leader finds out.
    #[error("the session was lost before the answer came")]
    Unknown,
    /// The job was changed or deleted since its spec was read: nothing was changed.
    #[error("the job has changed")]
    JobChanged,
    /// The job's node is missing: the job was deleted, which this host is about to hear of, or somebody deleted its node by hand.
    /// Nothing was changed.
    #[error("the job's node is missing")]
    JobMissing,
    /// The run state is not as this term left it, or went with its job: nothing was changed. Load it anew.
    #[error("the job's run state was changed or deleted")]
    StateChanged,
    /// The coordinator refused it: nothing was changed.
    #[error(transparent)]
    Refused(Error),
}

impl Change {
    /// How many operations it may take.
    pub(super) fn ops(&self) -> usize {
        // Of the job, whether it is checked from the beginning or only once the run state turns out to be missing.
        2 + self.writes.len()
    }

    /// How large it may be: paths and values.
    pub(super) fn bytes(&self) -> usize {
        let of_write = |write: &StateWrite| write.path.len() + write.value.as_ref().map_or(0, Vec::len);
        self.path.len() + self.data.len() + self.job.len() + self.writes.iter().map(of_write).sum::<usize>()
    }

    pub(super) fn next_version(&self) -> i32 {
        self.version.map_or(0, |version| version.wrapping_add(1))
    }

    /// Returns the check of the job's node, if the change needs one.
    pub(super) fn job_op(&self) -> Option<Op> {
        let version = self.condition.map(|Unchanged(version)| version);
        let needed = version.is_some() || self.recreates;
        needed.then(|| Op::Check { path: self.job.clone(), version })
    }

    /// From now on the change creates the node, which is missing.
    pub(super) fn recreate(&mut self) {
        self.version = None;
        self.recreates = true;
    }

    /// What changes the node itself.
    pub(super) fn state_op(&self) -> Op {
        let (path, data) = (self.path.clone(), self.data.clone());
        match self.version {
            Some(version) => Op::Set { path, data, version: Some(version) },
            None => Op::Create { path, data, mode: CreateMode::Persistent },
        }
    }
}

/// Of a request that changes nothing.
pub(super) fn setback(error: Error) -> Setback {
    match error {
        Error::Lost => Setback::Lost,
        other => Setback::Refused(other),
    }
}

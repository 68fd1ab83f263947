//! Where things live in the coordinator. The only place that puts paths together.

/// Paths below the cluster's root.
///
/// | path | what |
/// |---|---|
/// | `ROOT/cluster` | settings fixed when the cluster is made: number of groups |
/// | `ROOT/registry` | changes with every change of a job: what hosts watch |
/// | `ROOT/hosts/NAME` | a live host (ephemeral): address, version |
/// | `ROOT/jobs/TENANT/JOB` | a job's spec; the znode's version is the job's version |
/// | `ROOT/runs/TENANT/JOB` | a job's tick state: run in progress, ring of outcomes |
/// | `ROOT/groups/G` | the election of a group of scheduled jobs |
/// | `ROOT/elections/TENANT/JOB` | the election of a leader job that names no path of its own |
/// | `ROOT/state/TENANT/JOB/KEY` | what a job keeps |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: String,
}

impl Default for Layout {
    fn default() -> Self {
        Layout::new("/silverback")
    }
}

impl Layout {
    /// Below `root`, an absolute path without a slash at its end.
    pub fn new(root: &str) -> Self {
        Layout { root: root.to_owned() }
    }

    /// The root itself.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Settings fixed when the cluster is made.
    pub fn cluster(&self) -> String {
        format!("{}/cluster", self.root)
    }

    /// The node that changes with every change of a job.
    pub fn registry(&self) -> String {
        format!("{}/registry", self.root)
    }

    /// The directory of live hosts.
    pub fn hosts(&self) -> String {
        format!("{}/hosts", self.root)
    }

    /// A live host's node.
    pub fn host(&self, name: &str) -> String {
        format!("{}/hosts/{name}", self.root)
    }

    /// The directory of tenants' jobs.
    pub fn tenants(&self) -> String {
        format!("{}/jobs", self.root)
    }

    /// The directory of a tenant's jobs.
    pub fn jobs(&self, tenant: &str) -> String {
        format!("{}/jobs/{tenant}", self.root)
    }

    /// A job's spec.
    pub fn job(&self, tenant: &str, job: &str) -> String {
        format!("{}/jobs/{tenant}/{job}", self.root)
    }

    /// A job's tick state.
    pub fn run_state(&self, tenant: &str, job: &str) -> String {
        format!("{}/runs/{tenant}/{job}", self.root)
    }

    /// The election of a group.
    pub fn group(&self, group: u32) -> String {
        format!("{}/groups/{group:04}", self.root)
    }

    /// The election of a leader job that names no path.
    pub fn election(&self, tenant: &str, job: &str) -> String {
        format!("{}/elections/{tenant}/{job}", self.root)
    }

    /// The directory of what a job keeps.
    pub fn state(&self, tenant: &str, job: &str) -> String {
        format!("{}/state/{tenant}/{job}", self.root)
    }
}

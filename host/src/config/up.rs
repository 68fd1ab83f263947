//! What `silverback up` is given.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

/// How a host is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpSettings {
    /// The host's name, unique in the cluster.
    pub name: String,
    /// `HOST:PORT[,HOST:PORT…]`; None: the embedded coordinator in `data`.
    pub zookeeper: Option<String>,
    /// The path below which everything of the cluster lives in the coordinator.
    pub root: String,
    /// Where the API listens; loopback.
    pub listen: SocketAddr,
    /// The host's own folder.
    pub data: PathBuf,
    /// The folder of components and history; shared by the hosts of a cluster where they can share one.
    pub store: PathBuf,
    /// Whether an empty embedded coordinator may begin beside records of runs, or in place of a damaged one.
    pub new: bool,
    /// The session timeout asked of the coordinator.
    pub session_timeout: Duration,
    /// The ensemble's tickTime: the lease allows for a heartbeat that waited so long at a follower.
    pub tick_time: Duration,
    /// How far this machine's clock may run wrong against the servers', in parts per thousand.
    pub clock_drift_per_mille: u32,
    /// How long closing the gate and trapping a guest may take.
    pub stop_budget: Duration,
    /// What the lease leaves for late threads and timers.
    pub lease_margin: Duration,
    /// By how much this machine's wall clock and the ensemble's may differ before the host leads no groups.
    pub max_clock_offset: Duration,
    /// How long guests that were asked to stop are waited for before they are stopped.
    pub drain_grace: Duration,
    /// How long this host leads a group at the least before it makes way for the host that should lead it.
    pub group_hold: Duration,
    /// Processor time that compiling a component may take.
    pub compile_time: Duration,
    /// Memory that compiling a component may take, in bytes.
    pub compile_memory: u64,
    /// The most memory that all guests hold together, in bytes; None for half of the machine's.
    pub guest_memory: Option<u64>,
    /// How many terms of leader jobs there may be at once.
    pub leader_terms: u32,
    /// The file with the keys for secrets; None: there are no secrets here.
    pub secrets_key: Option<PathBuf>,
}

/// A duration as people write it: `6s`, `500ms`, `1h30m`. Positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationText(pub Duration);

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

impl FromStr for DurationText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = SignedDuration::from_str(text)
            .map_err(|_| format!("`{text}` is not a duration like `6s`, `500ms` or `1h30m`"))?;
        match Duration::try_from(duration) {
            Ok(duration) if !duration.is_zero() => Ok(DurationText(duration)),
            Ok(_) | Err(_) => Err(format!("duration `{text}` must be more than zero")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_positive_and_has_a_unit() {
        assert_eq!("1m30s".parse(), Ok(DurationText(Duration::from_secs(90))));
        for text in ["", "6", "0s", "-1s", "soon"] {
            assert!(text.parse::<DurationText>().is_err_and(|error| error.contains(text)), "{text}");
        }
    }
}

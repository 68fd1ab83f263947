//! What a live host says of itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The value of a host's node, as JSON. Its field names are a contract with whoever reads `--output json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// Its name.
    pub host: String,
    /// Where its API listens: `127.0.0.1:7070`.
    pub address: String,
    /// The version of the program.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// The id of the store that it keeps its records in; empty if it isn't known.
    #[serde(default)]
    pub store: String,
    /// Whether an operator has drained it: it stands in no election until it is undrained.
    #[serde(default)]
    pub drained: bool,
    /// By how many milliseconds its wall clock is ahead of the ensemble's, as well as its heartbeats tell; negative where it is
    /// behind. None before it is known.
    #[serde(default)]
    pub clock_offset_ms: Option<i64>,
    /// Whether that is beyond the bound: it leads no groups until the clocks agree again.
    #[serde(default)]
    pub clock_wrong: bool,
    /// The highest position in the ensemble's history that it has seen, which fencing tokens never fall below.
    #[serde(default)]
    pub position: i64,
    /// Why it leads nothing although it is not drained; None if nothing keeps it from leading.
    #[serde(default)]
    pub problem: Option<String>,
    /// How many elections it leads; it says so anew with its heartbeats.
    pub elections_led: u32,
    /// How many of them are groups of scheduled jobs.
    #[serde(default)]
    pub groups_led: u32,
    /// How many groups it stands for, with those that it leads.
    #[serde(default)]
    pub groups: u32,
    /// How many of the elections that it leads are those of leader jobs.
    #[serde(default)]
    pub jobs_led: u32,
    /// Its session with the coordinator, in hexadecimal as ZooKeeper's own tools write it: `0x100a3c5e2d10000`.
    pub session: String,
}

impl HostInfo {
    /// A session's id as people meet it in ZooKeeper's own tools.
    pub fn session_text(id: i64) -> String {
        format!("{id:#x}")
    }
}

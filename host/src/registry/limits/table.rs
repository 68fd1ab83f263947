//! The limits, one row each.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::config::parse_bytes;
use crate::registry::duration;

/// One limit of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Bytes of linear memory and tables, summed over all that the run has.
    MemoryBytes,
    /// Wall time in milliseconds.
    TimeMs,
    /// Time in which the guest computes, in milliseconds: what it waits for, or stands still for others, doesn't count.
    CpuMs,
    /// Instructions, about: each costs one unit. What a run takes is the same each time, on any machine.
    Fuel,
    /// Linear memories.
    Memories,
    /// Elements of all tables.
    TableElements,
    /// Tables.
    Tables,
    /// Core instances that its component is made of.
    Instances,
    /// Handles of the component model that it holds at once.
    Handles,
    /// Resources that the host holds for it at once: buckets, requests, streams, pollables.
    Resources,
    /// Bytes that the host takes from it in one call.
    CallBytes,
    /// Bytes that the host takes from it or gives to it over the run: keys, values, config, the queue, log lines, requests and
    /// their answers.
    TransferBytes,
    /// Random bytes over the run.
    RandomBytes,
    /// Bytes that it logs in a minute. What is beyond is cut and counted, and doesn't end the run.
    LogBytes,
    /// Keys of its job's state.
    StateKeys,
    /// Bytes of all values of its job's state.
    StateBytes,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Millis,
    /// Things.
    Count,
}

/// A row of the table.
struct Row {
    /// In a job.toml.
    name: &'static str,
    /// In JSON.
    field: &'static str,
    unit: Unit,
    least: u64,
    /// The most that an operator may allow, and what a tenant may have where nothing was set.
    most: u64,
    of_schedules: Option<u64>,
    of_leaders: Option<u64>,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY_MS: u64 = 24 * 3_600_000;

impl Limit {
    /// Each of them.
    pub const ALL: [Limit; 16] = [
        Limit::MemoryBytes,
        Limit::TimeMs,
        Limit::CpuMs,
        Limit::Fuel,
        Limit::Memories,
        Limit::TableElements,
        Limit::Tables,
        Limit::Instances,
        Limit::Handles,
        Limit::Resources,
        Limit::CallBytes,
        Limit::TransferBytes,
        Limit::RandomBytes,
        Limit::LogBytes,
        Limit::StateKeys,
        Limit::StateBytes,
    ];

    /// Its row of the table.
    const fn row(self) -> Row {
        use Unit::{Bytes, Count, Millis};
        let (name, field, unit, (least, most), of_schedules, of_leaders) = match self {
            Limit::MemoryBytes => ("memory", "memory_bytes", Bytes, (MIB, 128 * MIB), Some(64 * MIB), Some(64 * MIB)),
            // A term has no end that is known before, so what is summed over a run has no default there.
            Limit::TimeMs => ("time", "time_ms", Millis, (1, DAY_MS), Some(30_000), None),
            Limit::CpuMs => ("cpu", "cpu_ms", Millis, (1, DAY_MS), Some(10_000), None),
            Limit::Fuel => ("fuel", "fuel", Count, (1, 1 << 60), None, None),
            // A component made of others has a memory, two tables and some instances of each, and an instance between two.
            Limit::Memories => ("memories", "memories", Count, (1, 16), Some(16), Some(16)),
            Limit::TableElements => {
                ("table_elements", "table_elements", Count, (1, 80_000), Some(20_000), Some(20_000))
            }
            Limit::Tables => ("tables", "tables", Count, (1, 32), Some(32), Some(32)),
            Limit::Instances => ("instances", "instances", Count, (1, 128), Some(128), Some(128)),
            Limit::Handles => ("handles", "handles", Count, (1, 10_000), Some(1_000), Some(1_000)),
            Limit::Resources => ("resources", "resources", Count, (1, 1_000), Some(200), Some(200)),
            Limit::CallBytes => ("call", "call_bytes", Bytes, (KIB, 4 * MIB), Some(2 * MIB), Some(2 * MIB)),
            Limit::TransferBytes => ("transfer", "transfer_bytes", Bytes, (KIB, 1024 * GIB), Some(256 * MIB), None),
            Limit::RandomBytes => ("random", "random_bytes", Bytes, (KIB, GIB), Some(MIB), None),
            Limit::LogBytes => ("log", "log_bytes", Bytes, (KIB, 64 * MIB), Some(MIB), Some(MIB)),
            Limit::StateKeys => ("state_keys", "state_keys", Count, (1, 1_000), Some(1_000), Some(1_000)),
            Limit::StateBytes => ("state", "state_bytes", Bytes, (KIB, 64 * MIB), Some(8 * MIB), Some(8 * MIB)),
        };
        Row { name, field, unit, least, most, of_schedules, of_leaders }
    }

    /// As a job.toml calls it.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// As JSON calls it.
    pub const fn field(self) -> &'static str {
        self.row().field
    }

    /// What it counts.
    pub const fn unit(self) -> Unit {
        self.row().unit
    }

    /// From the least that makes sense to the most that an operator may allow.
    pub const fn bounds(self) -> RangeInclusive<u64> {
        let Row { least, most, .. } = self.row();
        least..=most
    }

    /// What holds where the job says nothing: of a scheduled run, or else of a term. None: no limit.
    pub const fn default_of(self, scheduled: bool) -> Option<u64> {
        let Row { of_schedules, of_leaders, .. } = self.row();
        if scheduled { of_schedules } else { of_leaders }
    }

    /// The limit that a job.toml calls so.
    pub fn named(name: &str) -> Option<Limit> {
        Limit::ALL.into_iter().find(|limit| limit.name() == name)
    }

    /// So much of it, as people write it.
    ///
    /// # Errors
    /// How it must be written.
    pub fn read(self, text: &str) -> Result<u64, &'static str> {
        match self.unit() {
            Unit::Count => text.parse().map_err(|_| "it must be a whole number"),
            Unit::Bytes => parse_bytes(text),
            Unit::Millis => {
                let duration = duration::parse(text).map_err(|_| "it must be a duration like `30s` or `5m`")?;
                u64::try_from(duration.as_millis()).map_err(|_| "it must be longer than none")
            }
        }
    }

    /// What is wrong with a value out of bounds.
    pub(in crate::registry) fn must_be(self) -> String {
        let bounds = self.bounds();
        format!("it must be from {} to {}", self.unit().write(*bounds.start()), self.unit().write(*bounds.end()))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Unit {
    /// As people write so much: `64MiB`, `30s`, `1000`.
    pub fn write(self, value: u64) -> String {
        match self {
            Unit::Count => value.to_string(),
            Unit::Bytes => match value {
                _ if value > 0 && value.is_multiple_of(GIB) => format!("{}GiB", value / GIB),
                _ if value > 0 && value.is_multiple_of(MIB) => format!("{}MiB", value / MIB),
                _ if value > 0 && value.is_multiple_of(KIB) => format!("{}KiB", value / KIB),
                _ => format!("{value} bytes"),
            },
            Unit::Millis => match value {
                _ if value > 0 && value.is_multiple_of(3_600_000) => format!("{}h", value / 3_600_000),
                _ if value > 0 && value.is_multiple_of(60_000) => format!("{}m", value / 60_000),
                _ if value > 0 && value.is_multiple_of(1000) => format!("{}s", value / 1000),
                _ => format!("{value}ms"),
            },
        }
    }
}

//! `up`: runs a host.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use silverback_election::LeaseRule;

use super::name;
use super::output::say;
use crate::config::{BytesText, DurationText, UpSettings};
use crate::coordinator::ZooKeeper;
use crate::runtime::DEFAULT_MAX_TERMS;
use crate::telemetry::{self, LogFormat};

/// The longest root, in bytes: with the longest names and key below it a path stays within the coordinator's limit.
const MAX_ROOT_BYTES: usize = 64;
/// Less is below what heartbeats on a busy machine can tell; more is no bound.
const CLOCK_OFFSETS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// A host that has just come back may go again; nobody waits for a hand-back.
const GROUP_HOLD: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// The kernel counts in seconds.
const COMPILE_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
/// Less is no room for a handful of runs.
const LEAST_GUEST_MEMORY: u64 = 64 << 20;
/// Each reserves 4 GiB, and there are 128 TiB that a process can address.
const MOST_LEADER_TERMS: i64 = 20_000;
const COMPILE_MEMORY: RangeInclusive<u64> = (256 << 20)..=(16 << 30);

#[derive(Debug, Args)]
pub(super) struct Up {
    /// The host's name, unique in the cluster
    #[arg(long, default_value = "local", value_parser = name)]
    name: String,
    /// The ZooKeeper ensemble, its servers separated by commas, with /CHROOT behind the last one if the cluster lives below a path
    /// that is there; without it the host is its own coordinator, one process, kept in --data
    #[arg(long, value_parser = ZooKeeper::check_servers, value_name = "HOST:PORT,…")]
    zookeeper: Option<String>,
    /// The path in the coordinator below which the cluster lives
    #[arg(long, default_value = "/silverback", value_parser = root, value_name = "PATH")]
    root: String,
    /// Where the API listens
    #[arg(long, default_value = "127.0.0.1:7070", value_parser = loopback, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The host's own folder
    #[arg(long, default_value = "./silverback-data", value_name = "DIR")]
    data: PathBuf,
    /// The folder of components and history, shared by the hosts of a cluster where they can [default: store in --data]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Begin with an empty coordinator in --data although the store has records of runs, or in place of a damaged one, which is
    /// kept under another name. Jobs have to be applied again
    #[arg(long, conflicts_with = "zookeeper")]
    new: bool,
    /// The session timeout to ask of ZooKeeper; a host that dies is followed up after about this long
    #[arg(long, default_value = "6s", value_name = "DURATION")]
    session_timeout: DurationText,
    /// The ensemble's tickTime
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    tick_time: DurationText,
    /// How far this machine's clock may run wrong against the servers', in parts per thousand. A lease is shorter by that:
    /// a clock that runs slower than this lets a leader go on when the ensemble elects the next
    #[arg(long, default_value_t = LeaseRule::DRIFT_PER_MILLE, value_name = "PER_MILLE")]
    clock_drift: u32,
    /// How long stopping a guest may take at a lease's end. A lease is shorter by that: on a machine too busy to stop a guest
    /// in time, it would run beside the next leader's
    #[arg(long, default_value_t = DurationText(LeaseRule::STOP_BUDGET), value_name = "DURATION")]
    stop_budget: DurationText,
    /// How late this machine's threads and timers may be. A lease is shorter by that
    #[arg(long, default_value_t = DurationText(LeaseRule::MARGIN), value_name = "DURATION")]
    lease_margin: DurationText,
    /// By how much this machine's wall clock and the ensemble's may differ, from 100ms to 1h. Beyond it the host says so and
    /// leads no groups of scheduled jobs, until the clocks differ by less than half of this
    #[arg(long, default_value = "2s", value_parser = clock_offset, value_name = "DURATION")]
    max_clock_offset: DurationText,
    /// How long guests may take to return when the host drains; also the most that a job's `grace` gives
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    drain_grace: DurationText,
    /// How long the host leads a group of scheduled jobs at the least before it gives it to the host that should lead it, which
    /// came or came back meanwhile
    #[arg(long, default_value = "30s", value_parser = group_hold, value_name = "DURATION")]
    group_hold: DurationText,
    /// How much processor time compiling a component may take, from 1s to 10m
    #[arg(long, default_value = "60s", value_parser = compile_time, value_name = "DURATION")]
    compile_time: DurationText,
    /// How much memory compiling a component may take, from 256MiB to 16GiB
    #[arg(long, default_value = "2GiB", value_parser = compile_memory, value_name = "SIZE")]
    compile_memory: BytesText,
    /// How much memory all guests may hold together, from 64MiB, and those of one tenant half as much; what asks for more is
    /// ended, with the reason [default: half of the machine's]
    #[arg(long, value_parser = guest_memory, value_name = "SIZE")]
    guest_memory: Option<BytesText>,
    /// How many terms of leader jobs there may be at once, from 1 to 20000, and of one tenant half as many; one more fails, and the
    /// next host's contender leads. Each takes up to ten memory mappings (sysctl vm.max_map_count)
    #[arg(long, default_value_t = DEFAULT_MAX_TERMS, value_parser = clap::value_parser!(u32).range(1..=MOST_LEADER_TERMS), value_name = "NUMBER")]
    leader_terms: u32,
    /// The file with the keys that secrets are kept under, the same on all hosts; one a line, the one that new secrets are sealed
    /// with first. `silverback secret key` prints one
    #[arg(long, value_name = "FILE")]
    secrets_key: Option<PathBuf>,
    /// How the host's own log looks, on stderr; SILVERBACK_LOG says what is in it
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
}

impl Up {
    pub(super) fn run(self) -> anyhow::Result<()> {
        telemetry::init(self.log_format)
            .with_context(|| format!("{} holds no log filter", telemetry::FILTER_VARIABLE))?;
        crate::daemon::run(self.settings(), |ready| {
            // Nobody has to read it.
            let _ = say(&format!("{ready}\n"));
        })
    }

    pub(super) fn settings(self) -> UpSettings {
        UpSettings {
            store: self.store.unwrap_or_else(|| self.data.join("store")),
            name: self.name,
            zookeeper: self.zookeeper,
            root: self.root,
            listen: self.listen,
            data: self.data,
            new: self.new,
            session_timeout: self.session_timeout.0,
            tick_time: self.tick_time.0,
            clock_drift_per_mille: self.clock_drift,
            stop_budget: self.stop_budget.0,
            lease_margin: self.lease_margin.0,
            max_clock_offset: self.max_clock_offset.0,
            drain_grace: self.drain_grace.0,
            group_hold: self.group_hold.0,
            compile_time: self.compile_time.0,
            compile_memory: self.compile_memory.0,
            guest_memory: self.guest_memory.map(|memory| memory.0),
            leader_terms: self.leader_terms,
            secrets_key: self.secrets_key,
        }
    }
}

fn clock_offset(text: &str) -> Result<DurationText, String> {
    let offset: DurationText = text.parse()?;
    if CLOCK_OFFSETS.contains(&offset.0) { Ok(offset) } else { Err("it must be from 100ms to 1h".to_owned()) }
}

/// Checks a root, without whitespace around it and slashes at its end.
fn root(text: &str) -> Result<String, String> {
    let Some(names) = text.trim().strip_prefix('/') else {
        return Err("it must begin with `/`, as in /silverback".to_owned());
    };
    let root = format!("/{}", names.trim_end_matches('/'));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    for name in root[1..].split('/') {
        match name {
            "" if root.len() == 1 => return Err("it must be a path below `/`, as in /silverback".to_owned()),
            "" => return Err("it has an empty name: write one `/` between two names".to_owned()),
            "." | ".." => return Err("`.` and `..` are no names in it: write the path as it is".to_owned()),
            name if !name.chars().all(is_plain) => {
                return Err("it must be a path like /silverback, of letters, digits, `-`, `_` and `.`".to_owned());
            }
            _ => {}
        }
    }
    if root.split('/').nth(1) == Some("zookeeper") {
        return Err("`/zookeeper` is ZooKeeper's own: use another path, as in /silverback".to_owned());
    }
    if root.len() > MAX_ROOT_BYTES {
        return Err(format!("it has {} bytes, over the limit of {MAX_ROOT_BYTES}", root.len()));
    }
    Ok(root)
}

fn group_hold(text: &str) -> Result<DurationText, String> {
    let hold: DurationText = text.parse()?;
    if GROUP_HOLD.contains(&hold.0) { Ok(hold) } else { Err("it must be from 1s to 24h".to_owned()) }
}

fn compile_time(text: &str) -> Result<DurationText, String> {
    let time: DurationText = text.parse()?;
    if COMPILE_TIME.contains(&time.0) { Ok(time) } else { Err("it must be from 1s to 10m".to_owned()) }
}

fn compile_memory(text: &str) -> Result<BytesText, String> {
    let memory: BytesText = text.parse()?;
    if COMPILE_MEMORY.contains(&memory.0) { Ok(memory) } else { Err("it must be from 256MiB to 16GiB".to_owned()) }
}

fn guest_memory(text: &str) -> Result<BytesText, String> {
    let memory: BytesText = text.parse()?;
    if memory.0 >= LEAST_GUEST_MEMORY { Ok(memory) } else { Err("it must be 64MiB or more".to_owned()) }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "it must be an address and a port like 127.0.0.1:7070".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only loopback (127.0.0.1 or [::1]) is served: there is neither TLS nor a token to keep strangers out"
            .to_owned())
    }
}

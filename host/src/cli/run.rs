//! `run`: a job.toml's component, once, on the spot; no host and no cluster is asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::apply::{Ready, read};
use super::logs::level;
use super::output::{Format, Output, say, say_json};
use super::read_file;
use crate::clock;
use crate::config::{DurationText, encode_key};
use crate::daemon::{Rehearsal, Rehearsed, Turn, rehearse};
use crate::history::{LogLine, LogSink, Outcome, Usage};
use crate::registry::{JobSpec, Ranges, Schedule, Trigger};
use crate::runtime::Interrupt;
use crate::text::plain;

/// How much of a value is shown, in characters.
const MAX_SHOWN: usize = 64;
/// What a host gives a guest that is asked to stop, where its operator says nothing.
const HOST_GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    circumstances: Circumstances,
    #[command(flatten)]
    output: Output,
}

/// What is run, and under what circumstances.
#[derive(Debug, Args)]
pub(super) struct Circumstances {
    /// The job.toml file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The tick that a scheduled run is told [default: the schedule's next]
    #[arg(long, value_name = "TIME")]
    tick: Option<Timestamp>,
    /// The number that it is told of its attempt
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    attempt: u32,
    /// What a key holds when the run begins. May be given again
    #[arg(long, value_name = "KEY=VALUE")]
    state: Vec<KeyValue>,
    /// What a secret is, by its name in job.toml, or the file that it stands in, which others on the machine don't see as they
    /// see a command. May be given again
    #[arg(long, value_name = "NAME=TEXT|NAME=@FILE")]
    secret: Vec<KeyValue>,
    /// A private address that its HTTP requests may reach, or a range of them, as a tenant is granted: 127.0.0.1. May be given
    /// again
    #[arg(long, value_name = "RANGE")]
    private: Vec<Private>,
    /// Let the lease run out so long after the start, as if the ensemble could not be reached any more
    #[arg(long, value_name = "DURATION", conflicts_with = "resign_after")]
    lose_leadership_after: Option<DurationText>,
    /// Ask it to stop so long after the start, as a drain, a resignation or a change of the job does
    ///
    /// It has the job's grace then, or 5s.
    #[arg(long, value_name = "DURATION")]
    resign_after: Option<DurationText>,
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let ready = read(&self.circumstances.file)?;
        let (lines, sink) = match self.output.output {
            Format::Table => (Arc::default(), print_lines()),
            Format::Json => collect(),
        };
        let went = self.circumstances.rehearse(ready, sink, Interrupt::default())?;
        match self.output.output {
            Format::Table => say(&report(&went))?,
            Format::Json => {
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                say_json(&format!("{:#}", as_json(&went, &lines)))?;
            }
        }
        Ok(if went.outcome == Outcome::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Circumstances {
    /// Runs the job to its end.
    pub(super) fn rehearse(&self, ready: Ready, log: LogSink, interrupt: Interrupt) -> anyhow::Result<Rehearsed> {
        let Ready { spec, component } = ready;
        let turn = match (&self.lose_leadership_after, &self.resign_after) {
            (Some(after), _) => Some(Turn::Loss(after.0)),
            (None, Some(after)) => Some(Turn::Resignation { after: after.0, host_grace: HOST_GRACE }),
            (None, None) => None,
        };
        let now = clock::system().wall();
        let next = match &spec.trigger {
            Trigger::Schedule { times, .. } => Schedule::parse(times, Some(&spec.id))?.next_after(now),
            Trigger::Leader { .. } => None,
        };
        rehearse(Rehearsal {
            tick: self.tick.or(next).unwrap_or(now),
            attempt: self.attempt,
            secrets: self.secrets(&spec)?,
            state: self.state.iter().map(|KeyValue(key, value)| (key.clone(), value.clone().into_bytes())).collect(),
            private: Ranges::from(self.private.iter().map(|Private(range)| *range).collect::<Vec<_>>()),
            component: component.bytes,
            spec,
            turn,
            log,
            interrupt,
        })
    }
}

impl Circumstances {
    /// By the keys that the job has them under.
    fn secrets(&self, spec: &JobSpec) -> anyhow::Result<BTreeMap<String, String>> {
        let mut given = BTreeMap::new();
        for KeyValue(name, text) in &self.secret {
            let job = &spec.id.name;
            ensure!(spec.secrets.values().any(|used| used == name), "--secret {name}: job `{job}` has no such secret");
            ensure!(given.insert(name, text).is_none(), "--secret {name} is given twice");
        }
        let secret = |(key, name): (&String, &String)| match given.get(name) {
            Some(text) => Ok((key.clone(), read_secret(name, text)?)),
            None => bail!("job `{}`: secrets.{key} `{name}` is not given: add --secret {name}=@FILE", spec.id.name),
        };
        spec.secrets.iter().map(secret).collect()
    }
}

/// The secret itself, or what stands in the file that `@` names, without the end of its last line.
fn read_secret(name: &str, text: &str) -> anyhow::Result<String> {
    let Some(file) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    let bytes = read_file(Path::new(file)).with_context(|| format!("--secret {name}"))?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("--secret {name}: `{file}` holds no text"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// `orders/1=paid`.
#[derive(Clone, Debug)]
struct KeyValue(String, String);

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("it must be like KEY=VALUE")?;
        encode_key(key).map_err(|error| error.to_string())?;
        Ok(KeyValue(key.to_owned(), value.to_owned()))
    }
}

#[derive(Clone, Copy, Debug)]
struct Private(IpNet);

impl FromStr for Private {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        Ranges::read(text).map(Private).ok_or("it must be an address or a range of them like `10.0.0.0/8`")
    }
}

/// Prints what a run says while it says it.
pub(super) fn print_lines() -> LogSink {
    Arc::new(|line: LogLine| {
        let context = if line.context.is_empty() { String::new() } else { format!("{}: ", plain(&line.context)) };
        // Whoever reads it may be gone, and the run goes on.
        let _ = say(&format!("{} {context}{}", level(line.level), plain(&line.message)));
    })
}

type Lines = Arc<Mutex<Vec<LogLine>>>;

fn collect() -> (Lines, LogSink) {
    let lines = Lines::default();
    let kept = lines.clone();
    (lines, Arc::new(move |line| kept.lock().unwrap_or_else(PoisonError::into_inner).push(line)))
}

/// How it went, for people.
pub(super) fn report(went: &Rehearsed) -> String {
    let Rehearsed { outcome, detail, usage, changes, discarded } = went;
    let mut text = match detail.is_empty() {
        true => format!("{outcome}\n"),
        false => format!("{outcome}: {}\n", plain(detail)),
    };
    let Usage { peak_memory_bytes, wall_us, cpu_us, fuel, host_calls, log_lines_dropped } = usage;
    let (ms, kib) = (|us: &u64| *us as f64 / 1000.0, peak_memory_bytes.div_ceil(1024));
    let _ = write!(text, "used: {:.1} ms, {:.1} ms of CPU time, {kib} KiB of memory", ms(wall_us), ms(cpu_us));
    let _ = write!(text, ", {host_calls} calls of the host");
    if let Some(fuel) = fuel {
        let _ = write!(text, ", {fuel} of fuel");
    }
    text.push('\n');
    if *log_lines_dropped > 0 {
        let _ = writeln!(text, "log lines dropped or cut: {log_lines_dropped}");
    }
    for (key, (before, now)) in changes {
        let _ = writeln!(text, "state {}: {}, was {}", plain(key), shown(now), shown(before));
    }
    if *discarded > 0 {
        let _ = writeln!(text, "state: {discarded} writes are discarded, since the run did not succeed");
    }
    text
}

fn shown(value: &Option<Vec<u8>>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    match std::str::from_utf8(value) {
        Ok(text) if text.chars().count() <= MAX_SHOWN => format!("`{}`", plain(text)),
        Ok(_) | Err(_) => format!("{} bytes", value.len()),
    }
}

/// The same for programs: values as text where they are text, and as lists of bytes where they are not.
fn as_json(went: &Rehearsed, lines: &[LogLine]) -> Value {
    let value = |value: &Option<Vec<u8>>| match value {
        None => Value::Null,
        Some(bytes) => std::str::from_utf8(bytes).map_or_else(|_| json!(bytes), Value::from),
    };
    let changes = went.changes.iter();
    let changes =
        changes.map(|(key, (before, now))| (key.clone(), json!({"before": value(before), "now": value(now)})));
    json!({
        "outcome": went.outcome,
        "detail": went.detail,
        "usage": went.usage,
        "logs": lines,
        "state": Value::Object(changes.collect()),
        "discarded": went.discarded,
    })
}

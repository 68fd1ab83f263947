//! `next`: the coming ticks of a job, or of a schedule that no job has yet, without a host.

use anyhow::bail;
use clap::{ArgGroup, Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Server;
use super::output::Output;
use crate::api::ComingTick;
use crate::clock;
use crate::registry::{Fold, Gap, JobId, Schedule, ScheduleSpec};

pub(super) const NEXT: [&str; 4] = ["tick", "local", "delay", "remark"];

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("ticks").args(["schedule", "at"]).multiple(true))]
pub(super) struct Next {
    /// The job; with a schedule, whose `H` and jitter to show
    #[arg(value_name = "TENANT/JOB", required_unless_present = "ticks")]
    job: Option<JobId>,
    /// How many at the most
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    written: Written,
}

/// A schedule as job.toml has it.
#[derive(Debug, Args)]
#[command(next_help_heading = "A schedule instead of a job's")]
struct Written {
    /// Cron, `@every 10s` or `@daily`; may be repeated
    #[arg(long)]
    schedule: Vec<String>,
    /// A single time; may be repeated
    #[arg(long, value_name = "TIME")]
    at: Vec<String>,
    /// A date, a range of dates or hours to leave out; may be repeated
    #[arg(long, value_name = "DATES", requires = "ticks")]
    except: Vec<String>,
    /// An IANA name
    #[arg(long, default_value = "UTC", value_name = "ZONE", requires = "ticks")]
    time_zone: String,
    /// What becomes of a time that the zone's clock skips
    #[arg(long, value_enum, default_value = "shift", requires = "ticks")]
    gap: GapArg,
    /// What becomes of a time that the zone's clock shows twice
    #[arg(long, value_enum, default_value = "first", requires = "ticks")]
    fold: FoldArg,
    /// How much later than its tick a run may begin
    #[arg(long, default_value = "0s", value_name = "DURATION", requires = "ticks")]
    jitter: SignedDuration,
    /// From when on; default: now
    #[arg(long, value_name = "TIME", requires = "ticks")]
    after: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GapArg {
    Shift,
    Skip,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FoldArg {
    First,
    Last,
    Both,
}

impl Next {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let rows = match &self.job {
            Some(job) if self.written.is_empty() => {
                self.server.client()?.get(&format!("/v1/jobs/{job}/next?n={}", self.limit))?
            }
            _ => self.written.coming(self.job.as_ref(), self.limit)?,
        };
        Ok(self.output.print(&rows, &NEXT)?)
    }
}

impl Written {
    fn is_empty(&self) -> bool {
        self.schedule.is_empty() && self.at.is_empty()
    }

    fn coming(&self, job: Option<&JobId>, limit: usize) -> anyhow::Result<Vec<Value>> {
        let Ok(jitter_ms) = u64::try_from(self.jitter.as_millis()) else {
            bail!("jitter `{:#}` is not valid: it must be from 0s to 24h", self.jitter);
        };
        let spec = ScheduleSpec {
            schedule: self.schedule.clone(),
            at: self.at.clone(),
            except: self.except.clone(),
            time_zone: self.time_zone.clone(),
            gap: match self.gap {
                GapArg::Shift => Gap::Shift,
                GapArg::Skip => Gap::Skip,
            },
            fold: match self.fold {
                FoldArg::First => Fold::First,
                FoldArg::Last => Fold::Last,
                FoldArg::Both => Fold::Both,
            },
            jitter_ms,
        };
        let after = self.after.unwrap_or_else(|| clock::system().wall());
        let schedule = Schedule::parse(&spec, job)?;
        schedule.check_at(&spec, after)?;
        let coming = schedule.forecast(after, limit).into_iter();
        Ok(coming.map(|tick| serde_json::to_value(ComingTick::from(tick))).collect::<Result<_, _>>()?)
    }
}

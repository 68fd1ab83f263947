//! The records of what becomes of a job's ticks and runs, for people.

use jiff::Timestamp;

use super::plan::{Abandoned, Occasion, Skip, Skipped};
use crate::history::{Outcome, RunRecord};
use crate::registry::JobId;

/// Writes the records of one job in one term.
pub(super) struct Scribe<'a> {
    pub(super) job: &'a JobId,
    pub(super) host: &'a str,
    pub(super) token: i64,
}

impl Scribe<'_> {
    /// A run that begins.
    pub(super) fn begun(&self, of: &Occasion, attempt: u32, started: Timestamp) -> RunRecord {
        RunRecord {
            run: self.run(of),
            attempt,
            tick: of.tick(),
            host: self.host.to_owned(),
            token: self.token,
            started,
            ended: None,
            outcome: None,
            detail: String::new(),
        }
    }

    /// What doesn't run. `why` is more than its reason says, where there is more to say.
    pub(super) fn skipped(&self, skip: &Skip, why: Option<&str>, now: Timestamp) -> RunRecord {
        let reason = why.unwrap_or_else(|| skip.reason.as_str());
        let all =
            |first: &Timestamp, before: &Timestamp| format!("all ticks from {first} until before {before}: {reason}");
        let (of, attempt, detail) = match &skip.what {
            Skipped::Tick(tick) => (Occasion::Tick(*tick), 1, reason.to_owned()),
            Skipped::Ticks { first, before } => (Occasion::Tick(*first), 1, all(first, before)),
            Skipped::Backfill { first, before } => (Occasion::Backfill(*first), 1, all(first, before)),
            Skipped::Attempt { of, attempt } => (of.clone(), *attempt, reason.to_owned()),
        };
        let ended = Some(now);
        RunRecord { ended, outcome: Some(Outcome::Skipped), detail, ..self.begun(&of, attempt, now) }
    }

    /// A run that another term began, and of which nobody will say how it ended.
    pub(super) fn abandoned(&self, found: &Abandoned, now: Timestamp) -> RunRecord {
        let (host, token) = found.holder.as_ref().map_or(("?", 0), |holder| (holder.host.as_str(), holder.token));
        let again = if found.again { "; it is tried again" } else { "" };
        RunRecord {
            host: host.to_owned(),
            token,
            ended: Some(now),
            outcome: Some(Outcome::Unknown),
            detail: format!("host `{host}` began it and did not say how it ended{again}"),
            ..self.begun(&found.of, found.attempt, found.begun)
        }
    }

    fn run(&self, of: &Occasion) -> String {
        format!("{}/{}", self.job, of.name())
    }
}

//! The records of what becomes of a job's ticks and runs, for people.
//!
//! A record is stored a moment after what it tells of was written to the coordinator, and is lost with a host that dies in
//! between. So whoever follows tells it again, from the run state ([`told_again`]).

use jiff::{SignedDuration, Timestamp};

use super::plan::{Abandoned, Holder, JobState, Kept, Occasion, Skip, Skipped};
use crate::history::{Outcome, RunRecord};
use crate::registry::JobId;

/// How long after what it tells of a record is stored, at the most; counted from the newest that its host wrote.
const STORED_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// The outcomes that a job's run state has of its last term, as far as it tells of them.
pub fn kept(job: &JobId, state: &JobState) -> Vec<RunRecord> {
    let Some(Holder { host, token }) = &state.holder else { return Vec::new() };
    let scribe = Scribe { job, host, token: *token };
    state.outcomes.iter().take(state.own).map(|kept| scribe.kept(kept)).collect()
}

/// Those of these whose own records may be lost with their host: the newest, and what came shortly before.
pub fn told_again(kept: Vec<RunRecord>) -> impl Iterator<Item = RunRecord> {
    let newest = kept.iter().filter_map(|record| record.ended).max();
    let is_near = move |ended| newest.is_some_and(|newest: Timestamp| newest.duration_since(ended) <= STORED_WITHIN);
    kept.into_iter().filter(move |record| record.ended.is_some_and(is_near))
}

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
            usage: None,
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

    /// What the run state has of an attempt that is over.
    fn kept(&self, kept: &Kept) -> RunRecord {
        RunRecord {
            ended: Some(kept.ended),
            outcome: Some(kept.outcome),
            detail: kept.detail.clone(),
            ..self.begun(&kept.of, kept.attempt, kept.began())
        }
    }

    fn run(&self, of: &Occasion) -> String {
        format!("{}/{}", self.job, of.name())
    }
}

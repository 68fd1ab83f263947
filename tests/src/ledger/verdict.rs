//! The oracle's word on all jobs of a ledger, and what they add up to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use silverback::history::Outcome;

use super::Ledger;
use crate::oracle::{Report, Seen};
use crate::times::Times;

/// What became of all jobs.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// How many there are.
    pub jobs: usize,
    /// How many ticks were to come, how many of them ran, and how many were skipped.
    pub ticks: usize,
    /// Of them.
    pub ran: usize,
    /// Of them.
    pub skipped: usize,
    /// How many attempts were begun.
    pub attempts: usize,
    /// How the attempts ended.
    pub ends: BTreeMap<String, usize>,
    /// Why ticks and attempts were skipped.
    pub reasons: BTreeMap<String, usize>,
    /// How long after its time each tick was begun first.
    pub lateness: Times,
    /// Ends and skips of which the run state didn't say how or why.
    pub untold: usize,
    /// What is wrong, each with its job's whole history.
    pub complaints: Vec<String>,
}

impl Ledger {
    /// Judges all jobs: what begins by `until` is looked for.
    pub fn verdict(&self, until: Timestamp) -> Verdict {
        let mut verdict = Verdict { jobs: self.stories.len(), ..Verdict::default() };
        for story in self.stories.values() {
            let Report { findings, lateness, ticks, ran, skipped } = story.judge(until);
            verdict.ticks += ticks;
            verdict.ran += ran;
            verdict.skipped += skipped;
            verdict
                .lateness
                .add(lateness.into_iter().map(|late| Duration::try_from(late).unwrap_or_default()).collect());
            verdict.untold += story.inferred;
            for seen in &story.seen {
                verdict.add(seen);
            }
            let beside = story.beside.values().filter(|ended| **ended == Some(Outcome::Succeeded)).count();
            let counted = story.ended_as(Outcome::Succeeded) + beside;
            if story.count != counted as u64 {
                verdict.complaints.push(format!("{counted} runs succeeded and counted {}: {story}", story.count));
            }
            if !findings.is_empty() || !story.broken.is_empty() {
                verdict.complaints.push(format!("{findings:?} {:?}: {story}", story.broken));
            }
        }
        verdict
    }
}

impl Verdict {
    fn add(&mut self, seen: &Seen) {
        let skipped = match seen {
            Seen::Ran(ran) => {
                self.attempts += 1;
                let end = ran.ended.map_or("under way".to_owned(), |(_, outcome)| outcome.to_string());
                *self.ends.entry(end).or_default() += 1;
                return;
            }
            Seen::Skipped { reason, .. } | Seen::GaveUp { reason, .. } => reason.as_str(),
            Seen::Untold { .. } => {
                self.untold += 1;
                "(no room for the reason)"
            }
        };
        *self.reasons.entry(skipped.to_owned()).or_default() += 1;
    }

    /// # Panics
    /// Where a promise was broken: with what is wrong, and the histories of the jobs.
    #[track_caller]
    pub fn assert_kept(&self) {
        let shown = self.complaints.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
        assert!(self.complaints.is_empty(), "{} jobs broke a promise:\n{shown}\n{self}", self.complaints.len());
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { jobs, ticks, ran, skipped, attempts, untold, .. } = self;
        writeln!(f, "{jobs} jobs, {ticks} ticks: {ran} ran in {attempts} attempts, {skipped} were skipped")?;
        for (end, count) in &self.ends {
            writeln!(f, "  {count:6} {end}")?;
        }
        writeln!(f, "skipped, with later attempts:")?;
        for (reason, count) in &self.reasons {
            writeln!(f, "  {count:6} {reason}")?;
        }
        if self.lateness.count() > 0 {
            let (p50, p99) = (self.lateness.p50(), self.lateness.p99());
            writeln!(f, "lateness p50 {p50:.1?}, p99 {p99:.1?}, max {:.1?}", self.lateness.max())?;
        }
        write!(f, "{untold} ends and skips are not told by run states")
    }
}

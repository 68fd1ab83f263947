//! What became of every scheduled job, from what the servers committed. Each begin and each end of a run is a write of the
//! job's run state, so the transaction log has all of them in their order, whichever host died meanwhile and whatever is
//! lost of its records.
//!
//! It doesn't judge: [`Story::judge`] asks the oracle. It doesn't follow a job through changes of its schedule.

mod book;
mod committed;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use silverback::config::Layout;
use silverback::history::Outcome;
use silverback::registry::{JobId, JobSpec, Policies, Schedule, Trigger};
use silverback::scheduler::plan::JobState;

use self::book::Book;
use self::committed::Committed;
pub use self::verdict::Verdict;
use crate::oracle::{Promise, Ran, Report, Seen, judge};
use crate::txn_log::Transaction;

/// What a run's end is held to after the limit of its time, also where its host died.
const END_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// All scheduled jobs of a cluster.
#[derive(Debug)]
pub struct Ledger {
    /// By name.
    pub stories: BTreeMap<JobId, Story>,
}

/// One job's.
#[derive(Debug)]
pub struct Story {
    /// As it was last stored.
    pub spec: JobSpec,
    /// When it was made.
    pub made: Timestamp,
    /// When it was changed last, or resumed.
    pub changed: Timestamp,
    /// What became of its ticks, in the order of the commits.
    pub seen: Vec<Seen>,
    /// What ran beside its schedule, by name and attempt, and how each ended.
    pub beside: BTreeMap<(String, u32), Option<Outcome>>,
    /// What is wrong whatever the policies: a count that doesn't go with its run, an end after its deadline.
    pub broken: Vec<String>,
    /// The run state that was written last.
    pub state: JobState,
    /// What its runs counted in its state.
    pub count: u64,
    /// Ends whose outcome is in no run state: it had no room, and what is said of them is inferred.
    pub inferred: usize,
    schedule: Schedule,
    policies: Policies,
}

impl Ledger {
    /// The story of `tenant/name`.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn of(&self, job: &str) -> &Story {
        self.find(job).unwrap_or_else(|| panic!("nothing is committed of {job}"))
    }

    /// The story of `tenant/name`, where it has one.
    pub fn find(&self, job: &str) -> Option<&Story> {
        self.stories.values().find(|story| story.spec.id.to_string() == job)
    }

    /// Reads the jobs of the cluster below `root`.
    ///
    /// # Panics
    /// Where a write is missing among the transactions, or isn't what hosts write.
    pub fn read(root: &str, transactions: &[Transaction]) -> Self {
        let (layout, mut stories) = (Layout::new(root), BTreeMap::new());
        for Committed { job, time, deeds } in committed::of_jobs(&layout, transactions) {
            if let Some(bytes) = deeds.spec {
                let spec: JobSpec = serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{job}: {error}"));
                Story::stored(&mut stories, &job, spec, time);
            }
            let Some(story) = stories.get_mut(&job) else { continue };
            match deeds.state {
                Some(bytes) => {
                    let next = JobState::from_bytes(bytes).unwrap_or_else(|error| panic!("{job}: {error}"));
                    Book { story, time }.turn(next, deeds.count);
                }
                None if deeds.count.is_some() => {
                    story.broken.push(format!("{time}: it counted, and no run ended"));
                }
                None => {}
            }
        }
        Ledger { stories }
    }
}

impl Story {
    fn stored(stories: &mut BTreeMap<JobId, Story>, job: &JobId, spec: JobSpec, time: Timestamp) {
        if let Some(story) = stories.get_mut(job) {
            (story.spec, story.changed) = (spec, time);
            return;
        }
        let Trigger::Schedule { times, policies } = &spec.trigger else { return };
        let schedule = Schedule::parse(times, Some(job)).unwrap_or_else(|error| panic!("{job}: {error}"));
        let policies = Policies::parse(policies, &job.name).unwrap_or_else(|error| panic!("{job}: {error}"));
        let story = Story {
            spec,
            made: time,
            changed: time,
            seen: Vec::new(),
            beside: BTreeMap::new(),
            broken: Vec::new(),
            state: JobState::default(),
            count: 0,
            inferred: 0,
            schedule,
            policies,
        };
        stories.insert(job.clone(), story);
    }

    /// When it ticks.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What becomes of ticks that overlap, were missed or failed.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The attempts that were begun, in their order.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Ran> {
        self.seen.iter().filter_map(|seen| match seen {
            Seen::Ran(ran) => Some(ran),
            Seen::Skipped { .. } | Seen::GaveUp { .. } | Seen::Untold { .. } => None,
        })
    }

    /// The run that was begun last and has no end yet.
    pub fn under_way(&self) -> Option<&Ran> {
        self.runs().next_back().filter(|ran| ran.ended.is_none())
    }

    /// How many runs ended so.
    pub fn ended_as(&self, outcome: Outcome) -> usize {
        self.runs().filter(|ran| ran.ended.is_some_and(|(_, ended)| ended == outcome)).count()
    }

    /// Every tick that comes by `until` was begun or skipped, nothing that was begun by then is under way, and nothing is
    /// being filled in.
    pub fn is_settled(&self, until: Timestamp) -> bool {
        let comes = |tick: Timestamp| self.schedule.begins(tick) <= until;
        let Some(cursor) = self.state.cursor else { return false };
        let decided = self.schedule.next_after(cursor).is_none_or(|next| !comes(next));
        let waits = self.state.queue.front().is_some_and(|tick| comes(*tick));
        let runs = self.state.active.iter().filter_map(|active| active.of.tick()).any(comes);
        decided && !waits && !runs && self.state.backfill.is_none()
    }

    /// Holds it against its promises, by one clock that all hosts share. What begins by `until` is looked for.
    pub fn judge(&self, until: Timestamp) -> Report {
        let promise = Promise {
            schedule: &self.schedule,
            policies: &self.policies,
            run_time: self.spec.limits.time().unwrap_or(Duration::MAX),
            from: self.schedule.cursor_at(self.made),
            changed: self.schedule.cursor_at(self.changed),
            until,
            end_within: END_WITHIN,
            skew: SignedDuration::ZERO,
        };
        judge(&promise, &self.seen)
    }
}

/// Its whole history, a line for each of its parts.
impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, made {}, changed {}: {:?}", self.spec.id, self.made, self.changed, self.policies)?;
        for seen in &self.seen {
            match seen {
                Seen::Ran(Ran { tick, attempt, began, ended, .. }) => {
                    let ended = ended.map_or("no end".to_owned(), |(at, outcome)| format!("{outcome} {at}"));
                    writeln!(f, "  {tick} #{attempt} began {began}, {ended}")?;
                }
                Seen::Skipped { first, before: None, reason, at } => {
                    writeln!(f, "  {first} skipped {at}: {reason}")?;
                }
                Seen::Skipped { first, before: Some(before), reason, at } => {
                    writeln!(f, "  {first} until before {before} skipped {at}: {reason}")?;
                }
                Seen::GaveUp { tick, attempt, reason, at } => {
                    writeln!(f, "  {tick} #{attempt} given up {at}: {reason}")?;
                }
                Seen::Untold { tick, attempt, at } => {
                    writeln!(f, "  {tick} #{attempt} not run {at}, for a reason that had no room")?;
                }
            }
        }
        write!(f, "  now {:?}", self.state)
    }
}

//! What keeps jobs from going on at this host, as it is told to their tenants.
//!
//! Whoever finds that a job can't go on raises a problem, and drops what it got once that is over. It knows no cause itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::JobId;

/// The longest text of a problem, in bytes. What is longer is cut.
const MAX_TEXT_BYTES: usize = 400;

/// Which jobs a problem is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// All jobs of the cluster.
    Cluster,
    /// The scheduled jobs of one group.
    Group(u32),
    /// One job.
    Job(JobId),
}

/// Something that keeps jobs from going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which jobs.
    pub about: About,
    /// Since when, by this host's clock.
    pub since: Timestamp,
    /// What is wrong and, if that is known, what to do about it. At most 400 bytes.
    pub text: String,
}

/// The problems of one host. Clones share them.
#[derive(Clone, Default)]
pub struct Problems(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    raised: BTreeMap<u64, Problem>,
}

/// A problem that is there until this is dropped.
pub struct Raised {
    problems: Problems,
    number: u64,
}

impl Problems {
    /// Raises a problem that is there from `since` until the returned value is dropped.
    #[must_use]
    pub fn raise(&self, about: About, since: Timestamp, text: impl Into<String>) -> Raised {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        table.raised.insert(number, Problem { about, since, text });
        drop(table);
        Raised { problems: self.clone(), number }
    }

    /// Returns all problems that are there now, the oldest first.
    pub fn list(&self) -> Vec<Problem> {
        self.table().raised.values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Raised {
    /// Returns what is said of the problem.
    fn text(&self) -> String {
        self.problems.table().raised.get(&self.number).map(|problem| problem.text.clone()).unwrap_or_default()
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.problems.table().raised.remove(&self.number);
    }
}

impl Problems {
    /// Puts `text` in place of the problem that `held` has, or of none, and returns whether it is a new one: a problem that stays
    /// the same keeps its time, and is worth no second line in the log.
    pub fn set(&self, held: &mut Option<Raised>, about: About, now: Timestamp, text: &str) -> bool {
        let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
        if held.as_ref().is_some_and(|held| held.text() == text) {
            return false;
        }
        *held = Some(self.raise(about, now, text));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(problems: &Problems) -> Vec<String> {
        problems.list().into_iter().map(|problem| problem.text).collect()
    }

    #[test]
    fn a_problem_is_there_until_its_holder_drops_it() {
        let (problems, job) = (Problems::default(), About::Job(JobId::new("acme", "report").unwrap()));
        let one = problems.raise(job.clone(), Timestamp::UNIX_EPOCH, "no component");
        let two = problems.raise(About::Group(7), Timestamp::UNIX_EPOCH, "denied");
        assert_eq!(texts(&problems), ["no component", "denied"]);
        drop(one);
        assert_eq!(problems.list()[0].about, About::Group(7));
        drop(two);
        assert_eq!(texts(&problems), Vec::<String>::new());
    }

    #[test]
    fn a_problem_that_stays_the_same_keeps_its_time() {
        let (problems, mut held) = (Problems::default(), None);
        let mut set = |second, text: &str| {
            let now = Timestamp::from_second(second).unwrap();
            problems.set(&mut held, About::Cluster, now, text);
            let all = problems.list();
            (all.len(), all[0].since.as_second(), all[0].text.clone())
        };
        assert_eq!(set(1, "denied"), (1, 1, "denied".to_owned()));
        assert_eq!(set(2, "denied"), (1, 1, "denied".to_owned()));
        assert_eq!(set(3, "missing"), (1, 3, "missing".to_owned()));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let problems = Problems::default();
        let _raised = problems.raise(About::Cluster, Timestamp::UNIX_EPOCH, "ü".repeat(1000));
        assert!(texts(&problems)[0].len() <= MAX_TEXT_BYTES);
    }
}

//! Plans that are in use, each of them once. Whoever needs a schedule gets the plan that others have already: it is parsed once as
//! long as anybody keeps it, and jobs that tick alike have one between them, even if each has a jitter of its own.
//!
//! A host knows of every job in the cluster, but keeps the schedules of those alone whose groups it leads. So they are not kept with
//! the jobs: a plan goes when the last who uses it does.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::plan::Plan;
use super::{Schedule, ScheduleError, ScheduleSpec};
use crate::registry::JobId;

static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);

/// What a plan is found by: what is written of it, and the job if it depends on that. No two have the same, unless somebody finds a
/// collision of BLAKE3.
type Key = [u8; 16];

#[derive(Default)]
struct Shared {
    plans: HashMap<Key, Weak<Plan>>,
    /// When there are so many, those that nobody has any more are dropped.
    sweep_at: usize,
}

impl Shared {
    fn get(&self, keys: &[Key]) -> Option<Arc<Plan>> {
        keys.iter().find_map(|key| self.plans.get(key)?.upgrade())
    }

    fn keep(&mut self, key: Key, plan: &Arc<Plan>) {
        if self.plans.len() >= self.sweep_at {
            self.plans.retain(|_, plan| plan.strong_count() > 0);
            self.plans.shrink_to_fit();
            self.sweep_at = 2 * self.plans.len() + 64;
        }
        self.plans.insert(key, Arc::downgrade(plan));
    }
}

impl Schedule {
    /// Returns the schedule of a job, as [`Self::parse`] does. It shares what others have of it already.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn shared(spec: &ScheduleSpec, job: &JobId) -> Result<Self, ScheduleError> {
        let (of_all, of_job) = keys(spec, job);
        // Nothing of it panics half done.
        let lock = || SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&[of_all, of_job]);
        let plan = match known {
            Some(plan) => plan,
            None => {
                let plan = Arc::new(Plan::parse(spec, Some(job))?);
                lock().keep(if plan.is_jobs_own { of_job } else { of_all }, &plan);
                plan
            }
        };
        Schedule::of(plan, spec, Some(job))
    }
}

/// The key among plans that are no job's own, and the key of this job's own.
fn keys(spec: &ScheduleSpec, job: &JobId) -> (Key, Key) {
    let ScheduleSpec { schedule, at, except, time_zone, gap, fold, jitter_ms: _ } = spec;
    let text = serde_json::to_vec(&(schedule, at, except, time_zone, gap, fold));
    let mut hash = blake3::Hasher::new();
    hash.update(&text.expect("it has no keys, and JSON asks no more than that they are strings"));
    let of_all = cut(&hash.finalize());
    hash.update(job.to_string().as_bytes());
    (of_all, cut(&hash.finalize()))
}

fn cut(hash: &blake3::Hash) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&hash.as_bytes()[..size_of::<Key>()]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(schedule: &str, jitter_ms: u64, job: &str) -> Schedule {
        let spec = ScheduleSpec { jitter_ms, ..ScheduleSpec::new(schedule) };
        Schedule::shared(&spec, &JobId::new("acme", job).unwrap()).unwrap()
    }

    #[test]
    fn b3_jobs_that_tick_alike_share_a_plan() {
        let first = shared("17 3 * * *", 0, "first");
        for (name, jitter_ms) in [("first", 0), ("second", 0), ("third", 60_000), ("fourth", 60_000)] {
            assert!(Arc::ptr_eq(&first.plan, &shared("17 3 * * *", jitter_ms, name).plan), "{name}");
        }
        assert!(!Arc::ptr_eq(&first.plan, &shared("18 3 * * *", 0, "second").plan));
        let shares = ["third", "fourth"].map(|name| shared("17 3 * * *", 60_000, name).share);
        assert_ne!(shares[0], shares[1]);
    }

    #[test]
    fn b3_what_depends_on_the_job_is_not_shared() {
        let first = shared("H 3 * * *", 0, "first");
        assert!(!Arc::ptr_eq(&first.plan, &shared("H 3 * * *", 0, "second").plan));
        assert!(Arc::ptr_eq(&first.plan, &shared("H 3 * * *", 0, "first").plan));
    }

    #[test]
    fn b3_what_nobody_uses_is_not_kept() {
        let mut shared = Shared::default();
        let parse = || Arc::new(Plan::parse(&ScheduleSpec::new("@hourly"), None).unwrap());
        let used = parse();
        shared.keep([0; 16], &used);
        for number in 1..1000_u16 {
            let mut key = [0; 16];
            key[..2].copy_from_slice(&number.to_be_bytes());
            shared.keep(key, &parse());
            assert!(shared.get(&[key]).is_none());
        }
        assert!(shared.plans.len() < 200, "{}", shared.plans.len());
        assert!(shared.get(&[[0; 16]]).is_some_and(|found| Arc::ptr_eq(&found, &used)));
    }
}

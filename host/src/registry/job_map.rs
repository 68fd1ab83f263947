//! All jobs of a cluster at one moment, by group. A change copies only the group that it is in, and whoever keeps a group sees
//! at a glance whether anything in it has changed: a host with a hundred thousand jobs hears of each change of one.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Index;
use std::sync::Arc;

use super::group_of::{DEFAULT_GROUPS, group_of};
use super::{Job, JobId};

/// The jobs of one group, of either trigger: the same `Arc` for as long as nothing in it changes.
pub type GroupJobs = Arc<Group>;

/// The jobs of one group by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group(BTreeSet<ByName>);

/// A job that is found by its name, which it has already: a hundred thousand more would be ten megabytes.
#[derive(Clone, Debug, PartialEq)]
struct ByName(Arc<Job>);

impl Borrow<JobId> for ByName {
    fn borrow(&self) -> &JobId {
        &self.0.spec.id
    }
}

impl Eq for ByName {}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.spec.id.cmp(&other.0.spec.id)
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Group {
    /// The job of this name.
    pub fn get(&self, id: &JobId) -> Option<&Arc<Job>> {
        self.0.get(id).map(|found| &found.0)
    }

    /// The jobs by name.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.0.iter().map(|job| &job.0)
    }

    /// Their names in order.
    pub fn keys(&self) -> impl Iterator<Item = &JobId> {
        self.values().map(|job| &job.spec.id)
    }
}

/// All jobs.
#[derive(Clone, Debug)]
pub struct JobMap(Vec<GroupJobs>);

impl Default for JobMap {
    fn default() -> Self {
        JobMap(vec![GroupJobs::default(); DEFAULT_GROUPS as usize])
    }
}

impl JobMap {
    /// The job of this name.
    pub fn get(&self, id: &JobId) -> Option<&Arc<Job>> {
        self.0[place(id)].get(id)
    }

    /// Whether there is a job of this name.
    pub fn contains_key(&self, id: &JobId) -> bool {
        self.get(id).is_some()
    }

    /// All jobs, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.0.iter().flat_map(|group| group.values())
    }

    /// The jobs of each group of the default number of groups: the same `Arc` for as long as nothing in it changes.
    pub fn groups(&self) -> impl Iterator<Item = &GroupJobs> {
        self.0.iter()
    }

    /// The jobs of one of `groups` groups. With the default number it is the same `Arc` for as long as nothing in it changes.
    pub fn group(&self, group: u32, groups: u32) -> GroupJobs {
        if groups == DEFAULT_GROUPS {
            return self.0.get(group as usize).cloned().unwrap_or_default();
        }
        let ours = self.values().filter(|job| group_of(&job.spec.id, groups) == group);
        Arc::new(Group(ours.cloned().map(ByName).collect()))
    }

    /// Puts a job in place of the one of its name.
    pub(crate) fn insert(&mut self, job: Arc<Job>) {
        Arc::make_mut(&mut self.0[place(&job.spec.id)]).0.replace(ByName(job));
    }

    /// Takes a job away.
    pub(super) fn remove(&mut self, id: &JobId) {
        if self.contains_key(id) {
            Arc::make_mut(&mut self.0[place(id)]).0.remove(id);
        }
    }

    /// These jobs and no others. What is as it was keeps its place in memory.
    pub(super) fn replace(&mut self, jobs: impl IntoIterator<Item = Arc<Job>>) {
        let mut new = JobMap::default();
        jobs.into_iter().for_each(|job| new.insert(job));
        for (known, new) in self.0.iter_mut().zip(new.0) {
            if **known != *new {
                *known = new;
            }
        }
    }

    /// Whether this is the other, by a glance at each group.
    pub(super) fn is_same(&self, other: &JobMap) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

impl Index<&JobId> for JobMap {
    type Output = Arc<Job>;

    fn index(&self, id: &JobId) -> &Arc<Job> {
        self.get(id).expect("there is a job of this name")
    }
}

fn place(id: &JobId) -> usize {
    group_of(id, DEFAULT_GROUPS) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::registry::{Digest, JobSpec, KeptPolicies, Limits, ScheduleSpec, Trigger};

    fn job(name: &str, version: i32) -> Arc<Job> {
        let spec = JobSpec {
            id: JobId::new("acme", name).unwrap(),
            component: Digest::of(b""),
            trigger: Trigger::Schedule { times: ScheduleSpec::new("@every 1h"), policies: KeptPolicies::default() },
            limits: Limits::SCHEDULED,
            config: BTreeMap::new(),
            secrets: Default::default(),
            http: Default::default(),
            paused: None,
        };
        Arc::new(Job { spec, version, born: 0, mzxid: version.into(), mtime_ms: 0, ticks_from_ms: None })
    }

    fn count(jobs: &JobMap) -> usize {
        jobs.values().count()
    }

    fn changed(before: &JobMap, after: &JobMap) -> usize {
        before.groups().zip(after.groups()).filter(|(before, after)| !Arc::ptr_eq(before, after)).count()
    }

    #[test]
    fn a_change_touches_its_group_alone() {
        let mut jobs = JobMap::default();
        (0..1000).for_each(|number| jobs.insert(job(&format!("job-{number}"), 0)));
        assert_eq!(count(&jobs), 1000);
        let before = jobs.clone();
        let one = job("job-7", 1);
        jobs.insert(one.clone());
        assert_eq!((changed(&before, &jobs), jobs[&one.spec.id].version), (1, 1));
        let group = group_of(&one.spec.id, DEFAULT_GROUPS);
        assert!(jobs.group(group, DEFAULT_GROUPS).get(&one.spec.id).is_some());
        let before = jobs.clone();
        jobs.remove(&one.spec.id);
        assert!(changed(&before, &jobs) == 1 && jobs.get(&one.spec.id).is_none() && count(&jobs) == 999);
        let before = jobs.clone();
        jobs.remove(&one.spec.id);
        assert!(jobs.is_same(&before));
    }

    #[test]
    fn what_is_read_anew_and_is_as_it_was_is_no_change() {
        let mut jobs = JobMap::default();
        (0..100).for_each(|number| jobs.insert(job(&format!("job-{number}"), 0)));
        let before = jobs.clone();
        jobs.replace((0..100).map(|number| job(&format!("job-{number}"), 0)));
        assert!(jobs.is_same(&before));
        jobs.replace((1..100).map(|number| job(&format!("job-{number}"), i32::from(number == 50))));
        assert_eq!((changed(&before, &jobs), count(&jobs)), (2, 99));
    }

    #[test]
    fn every_job_is_in_one_group_whatever_their_number() {
        let mut jobs = JobMap::default();
        (0..200).for_each(|number| jobs.insert(job(&format!("job-{number}"), 0)));
        for groups in [1, 7, DEFAULT_GROUPS] {
            let all: usize = (0..groups).map(|group| jobs.group(group, groups).values().count()).sum();
            assert_eq!(all, 200, "{groups} groups");
        }
    }
}

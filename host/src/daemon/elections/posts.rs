//! What there is to stand for in the cluster: kept up to date by looking only at those jobs that something has changed among.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Edition, Post, Want, Wanted, Wish, election_of};
use crate::registry::{GroupJobs, Jobs, Trigger, group_of};
use crate::scheduler::Scheduling;

/// All posts.
pub(super) struct Posts {
    /// Those of the leader jobs.
    pub(super) jobs: Wanted,
    /// The groups that have scheduled jobs.
    pub(super) groups: BTreeSet<u32>,
    parts: Vec<Part>,
}

/// What a part of all jobs gives.
#[derive(Default)]
struct Part {
    seen: GroupJobs,
    leaders: Vec<Post>,
    groups: BTreeSet<u32>,
}

impl Posts {
    pub(super) fn of(jobs: &Jobs, scheduling: &Scheduling) -> Self {
        let mut posts = Posts { jobs: Wanted::new(), groups: BTreeSet::new(), parts: Vec::new() };
        posts.parts.resize_with(jobs.groups().count(), Part::default);
        posts.follow(jobs, scheduling);
        posts
    }

    /// Takes in what has changed. False where nothing has.
    pub(super) fn follow(&mut self, jobs: &Jobs, scheduling: &Scheduling) -> bool {
        let mut modified = false;
        for (part, now) in self.parts.iter_mut().zip(jobs.groups()) {
            if Arc::ptr_eq(&part.seen, now) {
                continue;
            }
            for gone in part.leaders.drain(..) {
                self.jobs.remove(&gone);
            }
            *part = Part { seen: now.clone(), ..Part::default() };
            for job in now.values() {
                match job.spec.trigger {
                    Trigger::Leader { .. } if job.spec.paused.is_some() => {}
                    Trigger::Leader { .. } => {
                        let election = election_of(&job.spec, scheduling);
                        let want = Want { edition: Edition::of_job(job.clone()), wish: Wish::Stand, election };
                        let post = Post::Job(job.spec.id.clone());
                        part.leaders.push(post.clone());
                        self.jobs.insert(post, want);
                    }
                    // Also of one that rests: a run that its host began and died in is still to be settled.
                    Trigger::Schedule { .. } => drop(part.groups.insert(group_of(&job.spec.id, scheduling.groups))),
                }
            }
            modified = true;
        }
        if modified {
            self.groups = self.parts.iter().flat_map(|part| part.groups.iter().copied()).collect();
        }
        modified
    }
}

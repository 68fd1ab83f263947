//! Holds one post: makes ready what it needs, stands, and leaves.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use silverback_election::{Names as Form, OnReturn as Return};
use tokio::sync::watch;
use tracing::{error, warn};

use super::{Post, RETRY, Standings};
use crate::candidacy::{Candidacy, Candidate, Duty, Ended, LeaderJob, MakesWay, Membership, Preference, Seat, Seats};
use crate::registry::{About, Job, Names, OnReturn, Raised, Tenants, TermRules, Trigger, settings_of};
use crate::runtime::{AdmissionError, ComponentError, Components};
use crate::scheduler::{GroupDuty, Scheduling};

/// The longest pause before a component whose compiler fails is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long the others leave the first host of a group to be the first in its queue.
const FIRST_COMES: Duration = Duration::from_millis(200);

/// Whether a post is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    No,
    /// As soon as this host doesn't lead it.
    UnlessLeading,
    Now,
}

/// What holds one post.
pub(super) struct Holder {
    pub member: Arc<Membership>,
    pub components: Components,
    pub scheduling: Arc<Scheduling>,
    pub standing: Arc<Standings>,
    pub grace: Duration,
    pub group_hold: Duration,
    /// Who stands where, for groups.
    pub seats: watch::Receiver<Arc<Seats>>,
    pub post: Post,
    /// The path of its election.
    pub election: String,
}

impl Holder {
    /// Stands until it is told to leave, or there is nothing to stand for any more.
    pub(super) async fn hold(self, job: Option<Arc<Job>>, leave: watch::Receiver<Leave>) -> Ended {
        loop {
            if let Some(ended) = self.hold_while_accepted(job.as_deref(), leave.clone()).await {
                return ended;
            }
        }
    }

    /// None where the component is accepted no more: it is to be made ready anew, which waits until it is.
    async fn hold_while_accepted(&self, job: Option<&Job>, mut leave: watch::Receiver<Leave>) -> Option<Ended> {
        let prepared = async {
            match (&self.post, job) {
                (Post::Group(group), _) => Some(self.group(*group).await),
                (Post::Job(_), Some(job)) => self.leader(job).await,
                (Post::Job(_), None) => None,
            }
        };
        let prepared = tokio::select! {
            prepared = prepared => prepared,
            _ = leave.wait_for(|leave| *leave != Leave::No) => None,
        };
        let Some((candidacy, duty)) = prepared else { return Some(Ended::Left) };
        let candidate = Arc::new(Candidate::stand(self.member.clone(), candidacy, duty));
        self.standing.lock().insert(self.post.clone(), candidate.clone());
        let ended = tokio::select! {
            ended = candidate.ended() => Some(ended),
            never = self.keep_components() => match never {},
            () = told_to_leave(&candidate, leave) => {
                candidate.leave();
                Some(candidate.ended().await)
            }
            () = self.accepted_no_more(job) => {
                candidate.leave();
                match candidate.ended().await {
                    Ended::Left => None,
                    by_itself => Some(by_itself),
                }
            }
        };
        self.standing.lock().remove(&self.post);
        ended
    }

    /// Returns when the tenant's signers are others, of whom none signed a leader job's component, as far as can be told: a host
    /// that can't tell stands no more until it can.
    async fn accepted_no_more(&self, job: Option<&Job>) {
        let (Some(job), Post::Job(_)) = (job, &self.post) else { return pending().await };
        let spec = &job.spec;
        let mut tenants = self.scheduling.turns.tenants();
        loop {
            let signers = settings_of(&tenants.borrow_and_update(), &spec.id.tenant).signers;
            if let Err(error) = self.components.check_signature(&spec.component, &signers).await {
                error!(job = %spec.id, %error, "stands for this job no more");
                return;
            }
            if tenants.changed().await.is_err() {
                return pending().await;
            }
        }
    }

    /// Returns once one of the tenant's signers has signed a leader job's component, or there are none.
    async fn accepted(&self, job: &Job) {
        let spec = &job.spec;
        let mut tenants = self.scheduling.turns.tenants();
        let mut problem = None;
        loop {
            let signers = settings_of(&tenants.borrow_and_update(), &spec.id.tenant).signers;
            match self.components.check_signature(&spec.component, &signers).await {
                Ok(()) => return,
                Err(error @ ComponentError::Unfit { source: AdmissionError::Unsigned { .. }, .. }) => {
                    self.tell(&mut problem, &error);
                    error!(job = %spec.id, %error, "can't stand for this job until it or its tenant's signers change");
                    let others = |tenants: &Tenants| settings_of(tenants, &spec.id.tenant).signers != signers;
                    if tenants.wait_for(others).await.is_err() {
                        return pending().await;
                    }
                }
                Err(error) => {
                    if self.tell(&mut problem, &error) {
                        warn!(job = %spec.id, %error, "can't tell who signed this job's component, trying again");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Whoever is not the group's first comes a moment later: leadership of a group that nobody led begins where it should.
    async fn group(&self, group: u32) -> (Candidacy, Arc<dyn Duty>) {
        let host = self.scheduling.host.clone();
        if self.seats.borrow().first_but(&host, group).is_some() {
            tokio::time::sleep(FIRST_COMES).await;
        }
        let seat = Seat { group, host, hold: self.group_hold, seats: self.seats.clone() };
        let candidacy = Candidacy { makes_way: MakesWay::ForFirst(seat), ..self.candidacy(Return::Requeue) };
        (candidacy, Arc::new(GroupDuty { group, scheduling: self.scheduling.clone() }))
    }

    /// Holds the components of the group's jobs, for when the host that they were handed to is gone. A leader job's is
    /// ready before it stands.
    async fn keep_components(&self) -> Infallible {
        let Post::Group(group) = self.post else { return pending().await };
        let scheduling = &self.scheduling;
        let mut jobs = scheduling.jobs.clone();
        let mut kept = BTreeSet::new();
        let mut seen = None;
        loop {
            let ours = jobs.borrow_and_update().group(group, scheduling.groups);
            let mut missing = false;
            // Of the group's jobs, which are of either trigger; most changes are of none of them.
            let is_new = seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &ours));
            let scheduled = ours.values().filter(|job| is_new && matches!(job.spec.trigger, Trigger::Schedule { .. }));
            for digest in scheduled
                .map(|job| &job.spec.component)
                .filter(|digest| !kept.contains(*digest))
                .collect::<BTreeSet<_>>()
            {
                match self.components.keep(digest).await {
                    Ok(()) => drop(kept.insert(digest.clone())),
                    Err(error) => {
                        warn!(group, %error, "a component of this group can't be had, trying again");
                        missing = true;
                    }
                }
            }
            seen = Some(ours).filter(|_| !missing);
            tokio::select! {
                changed = jobs.changed() => if changed.is_err() { return pending().await },
                () = tokio::time::sleep(RETRY), if missing => {}
            }
        }
    }

    /// A host stands for a leader job only once it holds the component, ready to run: leadership is never won by a host that
    /// can't use it.
    async fn leader(&self, job: &Job) -> Option<(Candidacy, Arc<dyn Duty>)> {
        let spec = &job.spec;
        let Trigger::Leader { names, on_return, rules, .. } = &spec.trigger else { return None };
        let scheduling = &self.scheduling;
        let mut pause = RETRY;
        let mut problem = None;
        let component = loop {
            self.accepted(job).await;
            let signers = settings_of(&scheduling.turns.tenants().borrow(), &spec.id.tenant).signers;
            match self.components.prepared(&spec.id.tenant, &spec.build(), &signers).await {
                Ok(component) => break component,
                // They changed in between.
                Err(ComponentError::Unfit { source: AdmissionError::Unsigned { .. }, .. }) => {}
                Err(error @ ComponentError::Unfit { .. }) if !error.may_pass() => {
                    self.tell(&mut problem, &error);
                    error!(job = %spec.id, %error, "can't stand for this job until it changes");
                    return pending().await;
                }
                Err(error) => {
                    if self.tell(&mut problem, &error) {
                        warn!(job = %spec.id, %error, "can't stand for this job, trying again");
                    }
                    tokio::time::sleep(pause).await;
                    // What fails again and again is work each time.
                    if matches!(error, ComponentError::Unfit { .. }) {
                        pause = (2 * pause).min(LONGEST_PAUSE);
                    }
                }
            }
        };
        let on_return = match on_return {
            OnReturn::Requeue => Return::Requeue,
            OnReturn::Stop => Return::Stop,
        };
        let names = match names {
            Names::Kazoo => Form::Kazoo,
            Names::Curator => Form::Curator,
        };
        let (grace, max_term, makes_way) = (rules.grace(self.grace), rules.max_term(), self.makes_way(rules));
        let candidacy = Candidacy { names, grace, max_term, makes_way, ..self.candidacy(on_return) };
        let duty = LeaderJob {
            spec: spec.clone(),
            component,
            election: self.election.clone(),
            host: scheduling.host.clone(),
            runtime: self.components.runtime().clone(),
            history: scheduling.history.clone(),
            layout: scheduling.layout.clone(),
            secrets: scheduling.secrets.clone(),
            tenants: scheduling.turns.tenants(),
            clock: scheduling.clock.clone(),
        };
        Some((candidacy, Arc::new(duty)))
    }

    /// For the hosts that the job prefers to this one.
    fn makes_way(&self, rules: &TermRules) -> MakesWay {
        let Scheduling { host, layout, .. } = self.scheduling.as_ref();
        match rules.preferred_to(host) {
            [] => MakesWay::ForNobody,
            hosts => MakesWay::ForPreferred(Preference {
                hosts: hosts.to_vec(),
                after: rules.prefer_after(),
                live: layout.hosts(),
            }),
        }
    }

    fn candidacy(&self, on_return: Return) -> Candidacy {
        let (election, identifier) = (self.election.clone(), self.scheduling.host.clone());
        Candidacy {
            election,
            names: Form::Kazoo,
            identifier,
            on_return,
            grace: self.grace,
            max_term: None,
            makes_way: MakesWay::ForNobody,
            problems: self.scheduling.problems.clone(),
            about: self.about(),
        }
    }

    /// Tells the job's tenant why this host doesn't stand for it. Returns whether that is news.
    fn tell(&self, problem: &mut Option<Raised>, error: &ComponentError) -> bool {
        let (scheduling, text) = (&self.scheduling, format!("this host does not stand for it: {error}"));
        scheduling.problems.set(problem, self.about(), scheduling.clock.wall(), &text)
    }

    fn about(&self) -> About {
        match &self.post {
            Post::Job(id) => About::Job(id.clone()),
            Post::Group(group) => About::Group(*group),
        }
    }
}

/// Returns when the candidate is to leave whatever it does; lets it withdraw where that is enough.
async fn told_to_leave(candidate: &Candidate, mut leave: watch::Receiver<Leave>) {
    let mut standing = candidate.follow();
    loop {
        let wish = *leave.borrow_and_update();
        match wish {
            Leave::No => {}
            Leave::UnlessLeading => candidate.withdraw(),
            Leave::Now => return,
        }
        tokio::select! {
            changed = leave.changed() => if changed.is_err() { return },
            Ok(()) = standing.changed() => {}
        }
    }
}

//! Which elections this host stands in, on whichever session it has.
//!
//! Follows the registry and the session: stands for every leader job that it can run and for every group that has jobs,
//! leaves what is no longer wanted, stands anew when a job changes or a session is lost.

mod holder;
mod standings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use self::holder::Holder;
pub(super) use self::standings::Standings;
use crate::candidacy::{Ended, JoinError, Membership, PresenceValue};
use crate::coordinator::{Error, Session, SessionState, Sessions};
use crate::registry::{Job, JobId, Jobs, Trigger};
use crate::scheduler::{Scheduling, group_of};

/// Between two tries of what failed for a reason that may pass.
const RETRY: Duration = Duration::from_secs(2);

/// What one stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Post {
    /// A leader job's own election.
    Job(JobId),
    /// A group of scheduled jobs.
    Group(u32),
}

/// A change of the job makes its post another one; a group's never changes.
type Edition = i64;

/// The elections of this host.
pub(super) struct Elections {
    pub sessions: Sessions,
    pub scheduling: Arc<Scheduling>,
    pub presence: PresenceValue,
    pub tick: Duration,
    pub grace: Duration,
    pub standing: Arc<Standings>,
}

/// A post that is held, or on its way.
struct Held {
    edition: Edition,
    leave: watch::Sender<bool>,
}

/// All posts on one session.
struct Term<'a> {
    elections: &'a Elections,
    member: Arc<Membership>,
    held: BTreeMap<Post, Held>,
    tasks: JoinSet<(Post, Edition, Ended)>,
    /// Leader jobs whose function returned and whose `on_return` is stop: not stood for again in this edition.
    returned: &'a mut BTreeMap<Post, Edition>,
}

impl Elections {
    /// Stands until `drain` is true, then leaves everything and returns. `joined` is told when the host is a member for the
    /// first time.
    ///
    /// # Errors
    /// Where the host can't become a member at all: its name is taken, or its settings leave no lease.
    pub(super) async fn hold(self, drain: watch::Receiver<bool>, joined: watch::Sender<bool>) -> Result<(), JoinError> {
        let mut returned = BTreeMap::new();
        let mut follow = self.sessions.follow();
        let mut draining = drain.clone();
        let drained = async move { told(&mut draining).await };
        tokio::pin!(drained);
        loop {
            let member = tokio::select! {
                biased;
                () = &mut drained => return Ok(()),
                member = self.join(&mut follow, *joined.borrow()) => member?,
            };
            let Some(member) = member else { return Ok(()) };
            joined.send_replace(true);
            let lost = member.session().id();
            let term = Term {
                elections: &self,
                member,
                held: BTreeMap::new(),
                tasks: JoinSet::new(),
                returned: &mut returned,
            };
            if term.hold(drain.clone()).await == Over::Drained {
                return Ok(());
            }
            info!("the session is over, waiting for the next");
            let _ = follow.wait_for(|now| now.as_ref().is_none_or(|now| now.id() != lost)).await;
        }
    }

    /// Becomes a member on whichever session there is; None where there will be none any more. Once it was a member before,
    /// nothing keeps it from trying again.
    async fn join(
        &self,
        follow: &mut watch::Receiver<Option<Arc<dyn Session>>>,
        again: bool,
    ) -> Result<Option<Arc<Membership>>, JoinError> {
        loop {
            let session = follow.wait_for(Option::is_some).await.ok().and_then(|session| session.clone());
            let Some(session) = session else { return Ok(None) };
            match self.join_on(session).await {
                Ok(member) => return Ok(Some(member)),
                Err(JoinError::Coordinator(Error::Lost)) => warn!("the session was lost before this host was a member"),
                Err(error) if !again => return Err(error),
                Err(error) => error!(%error, "this host can't be a member of the cluster now, trying again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn join_on(&self, session: Arc<dyn Session>) -> Result<Arc<Membership>, JoinError> {
        let scheduling = &self.scheduling;
        let path = scheduling.layout.host(&scheduling.host);
        Membership::join(session, self.tick, scheduling.clock.clone(), path, self.presence.clone()).await
    }

    /// What there is to stand for.
    fn wanted(&self, jobs: &Jobs) -> BTreeMap<Post, (Edition, Option<Arc<Job>>)> {
        let live = || jobs.iter().filter(|(_, job)| !job.spec.paused);
        let groups: BTreeSet<u32> = live()
            .filter(|(_, job)| matches!(job.spec.trigger, Trigger::Schedule { .. }))
            .map(|(id, _)| group_of(id, self.scheduling.groups))
            .collect();
        let leaders = live()
            .filter(|(_, job)| matches!(job.spec.trigger, Trigger::Leader { .. }))
            .map(|(id, job)| (Post::Job(id.clone()), (job.mzxid, Some(job.clone()))));
        groups.into_iter().map(|group| (Post::Group(group), (0, None))).chain(leaders).collect()
    }
}

/// Why all posts were left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Drained,
    SessionLost,
}

impl Term<'_> {
    async fn hold(mut self, mut drain: watch::Receiver<bool>) -> Over {
        let mut jobs = self.elections.scheduling.jobs.clone();
        let mut session = self.member.session().state();
        let over = loop {
            let wanted = self.elections.wanted(&jobs.borrow_and_update());
            self.leave_unwanted(&wanted);
            self.stand_for_missing(wanted);
            tokio::select! {
                biased;
                _ = drain.wait_for(|drain| *drain) => break Over::Drained,
                _ = session.wait_for(|state| *state == SessionState::Lost) => break Over::SessionLost,
                Some(ended) = self.tasks.join_next() => self.left(ended),
                changed = jobs.changed() => if changed.is_err() { break Over::Drained },
            }
        };
        self.held.values().for_each(|held| {
            held.leave.send_replace(true);
        });
        while let Some(ended) = self.tasks.join_next().await {
            self.left(ended);
        }
        over
    }

    fn leave_unwanted(&self, wanted: &BTreeMap<Post, (Edition, Option<Arc<Job>>)>) {
        for (post, held) in &self.held {
            if wanted.get(post).is_none_or(|(edition, _)| *edition != held.edition) {
                held.leave.send_replace(true);
            }
        }
    }

    fn stand_for_missing(&mut self, wanted: BTreeMap<Post, (Edition, Option<Arc<Job>>)>) {
        for (post, (edition, job)) in wanted {
            if self.held.contains_key(&post) || self.returned.get(&post) == Some(&edition) {
                continue;
            }
            let (leave, left) = watch::channel(false);
            self.held.insert(post.clone(), Held { edition, leave });
            let holder = Holder {
                member: self.member.clone(),
                scheduling: self.elections.scheduling.clone(),
                standing: self.elections.standing.clone(),
                grace: self.elections.grace,
                post: post.clone(),
            };
            self.tasks.spawn(async move { (post, edition, holder.hold(job, left).await) });
        }
    }

    fn left(&mut self, ended: Result<(Post, Edition, Ended), tokio::task::JoinError>) {
        match ended {
            Ok((post, edition, Ended::Returned)) => {
                self.held.remove(&post);
                self.returned.insert(post, edition);
            }
            Ok((post, _, Ended::Left)) => {
                self.held.remove(&post);
            }
            // It stays held: this session has nothing to offer any more, and the end of all posts on it is about to come.
            Ok((_, _, Ended::SessionLost)) => {}
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
}

/// Waits until the flag is true, or nobody is left to set it.
async fn told(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}

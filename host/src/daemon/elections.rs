//! Which elections this host stands in, and on which of its sessions.
//!
//! Follows the registry: stands for every leader job that it can run and for every group that has jobs. One session is the
//! rule; a host that stands in more elections than one session may watch spreads them over further ones.

mod allotment;
mod berth;
mod holder;
mod standings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use silverback_election::LeaseRule;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::allotment::Allotment;
use self::berth::Berth;
pub(super) use self::standings::Standings;
use super::withdrawal::Withdrawal;
use crate::candidacy::{ClockState, JoinError, PresenceValue};
use crate::coordinator::{Coordinator, MAX_WATCHED_BYTES, Sessions};
use crate::registry::{Job, JobId, JobSpec, Jobs, Trigger, group_of};
use crate::runtime::Components;
use crate::scheduler::Scheduling;

/// Between two tries of what failed for a reason that may pass.
const RETRY: Duration = Duration::from_secs(2);
/// How long one attempt to open a further session waits for a server.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many bytes the watches of elections may take of one session; the rest is for the registry's, and for keys that
/// guests wait for.
pub(super) const ELECTIONS_SHARE: usize = MAX_WATCHED_BYTES * 15 / 16;

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

/// A post that there is to stand for.
#[derive(Clone, Debug)]
struct Want {
    edition: Edition,
    /// A leader job; None for a group.
    job: Option<Arc<Job>>,
    /// The path of its election.
    election: String,
}

/// All of them, or those of one session.
type Wanted = BTreeMap<Post, Want>;

/// The elections of this host.
pub(super) struct Elections {
    /// Opens further sessions.
    pub coordinator: Arc<dyn Coordinator>,
    /// The first session, which the host is known by.
    pub sessions: Sessions,
    /// What leader jobs run.
    pub components: Components,
    pub scheduling: Arc<Scheduling>,
    pub presence: PresenceValue,
    pub lease: LeaseRule,
    pub grace: Duration,
    pub standing: Arc<Standings>,
    /// [`ELECTIONS_SHARE`].
    pub share: usize,
    pub withdrawal: Arc<Withdrawal>,
    /// How this host's wall clock does: groups are led by the time on the wall.
    pub clock: watch::Receiver<ClockState>,
}

/// The path of the election whose leader runs the job.
pub(super) fn election_of(spec: &JobSpec, scheduling: &Scheduling) -> String {
    match &spec.trigger {
        Trigger::Leader { election: Some(path), .. } => path.clone(),
        Trigger::Leader { election: None, .. } => scheduling.layout.election(&spec.id.tenant, &spec.id.name),
        Trigger::Schedule { .. } => scheduling.layout.group(group_of(&spec.id, scheduling.groups)),
    }
}

impl Elections {
    /// Stands until `drain` is true, then leaves everything and returns. `joined` is told when the host is a member for the
    /// first time.
    ///
    /// # Errors
    /// Where the host can't become a member at all: its name is taken, or its settings leave no lease.
    pub(super) async fn hold(self, drain: watch::Receiver<bool>, joined: watch::Sender<bool>) -> Result<(), JoinError> {
        let elections = Arc::new(self);
        let mut jobs = elections.scheduling.jobs.clone();
        let mut withdrawal = elections.withdrawal.follow();
        let mut clock = elections.clock.clone();
        let mut allotment = Allotment::new(elections.share);
        let mut berths: Vec<watch::Sender<Wanted>> = Vec::new();
        let mut tasks = JoinSet::new();
        loop {
            let withdrawn = *withdrawal.borrow_and_update();
            let in_time = *clock.borrow_and_update() == ClockState::Right;
            let shares = allotment.share(elections.wanted(&jobs.borrow_and_update(), withdrawn, in_time));
            for (index, wanted) in shares.into_iter().enumerate() {
                match berths.get(index) {
                    Some(berth) => tell(berth, wanted),
                    None => {
                        let berth = watch::Sender::new(wanted);
                        let (wanted, drain, joined) = (berth.subscribe(), drain.clone(), joined.clone());
                        tasks.spawn(elections.clone().stand(index, wanted, drain, joined));
                        berths.push(berth);
                    }
                }
            }
            elections.withdrawal.told(withdrawn);
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(Ok(ended)) => ended?,
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Some(Err(_)) => {}
                    None => return Ok(()),
                },
                Ok(()) = jobs.changed() => {}
                Ok(()) = withdrawal.changed() => {}
                Ok(()) = clock.changed() => {}
            }
        }
    }

    /// Stands for what one session has to hold: the first one, or a further one that is opened for it and closed after it.
    async fn stand(
        self: Arc<Self>,
        index: usize,
        wanted: watch::Receiver<Wanted>,
        mut drain: watch::Receiver<bool>,
        joined: watch::Sender<bool>,
    ) -> Result<(), JoinError> {
        let (layout, host) = (&self.scheduling.layout, &self.scheduling.host);
        if index == 0 {
            let (sessions, node) = (self.sessions.clone(), layout.host(host));
            return Berth { elections: self.clone(), sessions, node }.hold(wanted, drain, joined).await;
        }
        let node = layout.further_session(host, index);
        let opened = tokio::select! {
            sessions = self.open() => Some(sessions),
            () = told(&mut drain) => None,
        };
        let Some(sessions) = opened else { return Ok(()) };
        info!(session = index, "a further session is opened: one may not watch all elections of this host");
        // This host is a member already: what keeps the further session from it may pass.
        let member = watch::Sender::new(true);
        let berth = Berth { elections: self.clone(), sessions: sessions.clone(), node };
        let ended = berth.hold(wanted, drain, member).await;
        sessions.close().await;
        ended
    }

    async fn open(&self) -> Sessions {
        loop {
            match Sessions::open(self.coordinator.clone(), PATIENCE).await {
                Ok(sessions) => return sessions,
                Err(error) => warn!(%error, "a further session can't be opened now, trying again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// What there is to stand for: nothing where the host is withdrawn, and no groups where its clock isn't known to be right.
    fn wanted(&self, jobs: &Jobs, withdrawn: bool, in_time: bool) -> Wanted {
        let waits_for_time = |job: &Job| !in_time && matches!(job.spec.trigger, Trigger::Schedule { .. });
        let live = jobs.values().filter(|job| job.spec.paused.is_none() && !withdrawn && !waits_for_time(job));
        let posts = live.map(|job| {
            let election = election_of(&job.spec, &self.scheduling);
            match job.spec.trigger {
                Trigger::Leader { .. } => {
                    let want = Want { edition: job.mzxid, job: Some(job.clone()), election };
                    (Post::Job(job.spec.id.clone()), want)
                }
                Trigger::Schedule { .. } => {
                    let group = group_of(&job.spec.id, self.scheduling.groups);
                    (Post::Group(group), Want { edition: 0, job: None, election })
                }
            }
        });
        posts.collect()
    }
}

/// Says what is wanted, where that is something new.
fn tell(berth: &watch::Sender<Wanted>, wanted: Wanted) {
    berth.send_if_modified(|now| {
        let editions = |wanted: &Wanted| -> Vec<(Post, Edition)> {
            wanted.iter().map(|(post, want)| (post.clone(), want.edition)).collect()
        };
        let changed = editions(now) != editions(&wanted);
        *now = wanted;
        changed
    });
}

/// Waits until the flag is true, or nobody is left to set it.
async fn told(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}

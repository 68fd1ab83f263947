//! Which elections this host stands in, and on which of its sessions.
//!
//! Follows the registry and the live hosts: stands for every leader job that it can run, and for the groups with jobs in
//! which it has a place. One session is the rule; a host that stands in more elections than one session may watch spreads
//! them over further ones.

mod allotment;
mod berth;
mod edition;
mod holder;
mod posts;
mod roster;
mod standings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use silverback_election::LeaseRule;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use self::allotment::Allotment;
use self::berth::Berth;
use self::edition::Edition;
use self::posts::Posts;
use self::roster::Roster;
pub(super) use self::standings::Standings;
use super::timeline::TimelineKeeper;
use super::withdrawal::Withdrawal;
use crate::candidacy::{ClockState, JoinError, PresenceValue, Seats, follow_hosts};
use crate::coordinator::{Coordinator, MAX_WATCHED_BYTES, Sessions};
use crate::registry::{JobId, JobSpec, Trigger, group_of};
use crate::runtime::Components;
use crate::scheduler::Scheduling;

/// Between two tries of what failed for a reason that may pass.
const RETRY: Duration = Duration::from_secs(2);
/// How long one attempt to open a further session waits for a server.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked for places that are to be left, and for groups that are led beyond this host's part.
const LOOK: Duration = Duration::from_millis(500);
/// How many session timeouts a host stays in the queue of a group where it has no place any more.
const LINGER_TIMEOUTS: u32 = 2;
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

/// How a post is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// This host is to stand.
    Stand,
    /// This host has no place there any more: it goes on only while it leads.
    GoOnLeading,
}

/// A post that there is to stand for.
#[derive(Clone, Debug)]
struct Want {
    edition: Edition,
    wish: Wish,
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
    /// Whether the ensemble is the one that this host knows.
    pub timeline: TimelineKeeper,
    pub lease: LeaseRule,
    pub grace: Duration,
    pub standing: Arc<Standings>,
    /// [`ELECTIONS_SHARE`].
    pub share: usize,
    pub withdrawal: Arc<Withdrawal>,
    /// How long a group is led at the least before way is made for the host that should lead it.
    pub group_hold: Duration,
    /// For the leaders of groups: who stands where.
    pub seats: watch::Sender<Arc<Seats>>,
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
        let Scheduling { host, groups, layout, clock, .. } = elections.scheduling.as_ref();
        let mut jobs = elections.scheduling.jobs.clone();
        let mut withdrawal = elections.withdrawal.follow();
        let mut live = follow_hosts(elections.sessions.clone(), layout.clone());
        let mut roster = Roster::new(host, *groups, elections.lease.timeout * LINGER_TIMEOUTS);
        let mut posts = Posts::of(&jobs.borrow_and_update(), &elections.scheduling);
        let mut wall = elections.clock.clone();
        let mut timeline = elections.timeline.timeline.follow();
        let mut allotment = Allotment::new(elections.share);
        let mut berths: Vec<watch::Sender<Wanted>> = Vec::new();
        let mut tasks = JoinSet::new();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaving = false;
        let mut stale = true;
        loop {
            let withdrawn = *withdrawal.borrow_and_update();
            let in_time = *wall.borrow_and_update() == ClockState::Right;
            if stale {
                let nothing = withdrawn || timeline.borrow_and_update().problem().is_some();
                let wanted = if nothing { Wanted::new() } else { elections.wanted(&posts, &roster, in_time) };
                leaving = wanted.values().any(|want| want.wish == Wish::GoOnLeading);
                for (index, wanted) in allotment.share(wanted).into_iter().enumerate() {
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
            }
            elections.withdrawal.told(withdrawn);
            elections.seat(roster.seats(&elections.standing.groups_led(), posts.groups.len()));
            stale = tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(Ok(ended)) => ended.map(|()| true)?,
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Some(Err(_)) => true,
                    None => return Ok(()),
                },
                Ok(()) = jobs.changed() => posts.follow(&jobs.borrow_and_update(), &elections.scheduling),
                Ok(()) = withdrawal.changed() => true,
                Ok(()) = wall.changed() => true,
                Ok(()) = timeline.changed() => true,
                Ok(()) = live.changed() => roster.see(live.borrow_and_update().clone(), clock.boot()),
                _ = looks.tick() => roster.pass(clock.boot()) || leaving,
            };
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
            return Berth { elections: self.clone(), sessions, node, is_first: true }.hold(wanted, drain, joined).await;
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
        let berth = Berth { elections: self.clone(), sessions: sessions.clone(), node, is_first: false };
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

    /// What this host stands for of it: no groups where its clock isn't known to be right.
    fn wanted(&self, posts: &Posts, roster: &Roster, in_time: bool) -> Wanted {
        let standing = self.standing.lock();
        let wish = |group: u32| match roster.stands(group) {
            true => Some(Wish::Stand),
            false => standing.contains_key(&Post::Group(group)).then_some(Wish::GoOnLeading),
        };
        let groups = posts.groups.iter().filter(|_| in_time).filter_map(|group| {
            let (wish, election) = (wish(*group)?, self.scheduling.layout.group(*group));
            Some((Post::Group(*group), Want { edition: Edition::of_group(), wish, election }))
        });
        posts.jobs.clone().into_iter().chain(groups).collect()
    }

    fn seat(&self, seats: Seats) {
        self.seats.send_if_modified(|now| {
            let modified = **now != seats;
            if modified {
                *now = Arc::new(seats);
            }
            modified
        });
    }
}

/// Says what is wanted, where that is something new.
fn tell(berth: &watch::Sender<Wanted>, wanted: Wanted) {
    berth.send_if_modified(|now| {
        let same = |(one, other): ((&Post, &Want), (&Post, &Want))| {
            one.0 == other.0 && one.1.edition == other.1.edition && one.1.wish == other.1.wish
        };
        let changed = now.len() != wanted.len() || !now.iter().zip(&wanted).all(same);
        *now = wanted;
        changed
    });
}

/// Waits until the flag is true, or nobody is left to set it.
async fn told(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}

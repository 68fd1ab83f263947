//! One of the host's sessions, and the posts that stand on it. Stands anew when a post changes or the session is lost.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::holder::{Holder, Leave};
use super::{Edition, Elections, Post, RETRY, Want, Wanted, Wish, told};
use crate::candidacy::{ClockState, Concern, Ended, JoinError, Membership};
use crate::coordinator::{Error, Session, SessionState, Sessions};
use crate::registry::{About, RegistryError};

/// A session, whichever it is at the moment.
pub(super) struct Berth {
    pub elections: Arc<Elections>,
    pub sessions: Sessions,
    /// The path of the host's node on this session, which its heartbeats go to.
    pub node: String,
    /// Whether the host is known by this session.
    pub is_first: bool,
}

/// A post that is held, or on its way.
struct Held {
    edition: Edition,
    leave: watch::Sender<Leave>,
}

/// All posts on one session.
struct Term<'a> {
    elections: &'a Elections,
    /// Where the host is known by this session: others see by its node whether it is withdrawn, and how its clock does.
    shown: Option<(watch::Receiver<bool>, watch::Receiver<ClockState>)>,
    member: Arc<Membership>,
    held: BTreeMap<Post, Held>,
    tasks: JoinSet<(Post, Edition, Ended)>,
    /// Leader jobs whose function returned and whose `on_return` is stop: not stood for again in this edition.
    returned: &'a mut BTreeMap<Post, Edition>,
}

impl Berth {
    /// Stands for what is wanted until `drain` is true, then leaves everything and returns. `joined` is told when the host
    /// is a member here for the first time.
    ///
    /// # Errors
    /// Where the host can't become a member at all: its name is taken, or its settings leave no lease.
    pub(super) async fn hold(
        self,
        wanted: watch::Receiver<Wanted>,
        drain: watch::Receiver<bool>,
        joined: watch::Sender<bool>,
    ) -> Result<(), JoinError> {
        let mut returned = BTreeMap::new();
        let mut follow = self.sessions.follow();
        let mut draining = drain.clone();
        let drained = async move { told(&mut draining).await };
        tokio::pin!(drained);
        loop {
            let shown = self.is_first.then(|| (self.elections.withdrawal.follow(), self.elections.clock.clone()));
            let member = tokio::select! {
                biased;
                () = &mut drained => return Ok(()),
                member = self.join(&mut follow, *joined.borrow()) => member?,
            };
            let Some(member) = member else { return Ok(()) };
            joined.send_replace(true);
            let lost = member.session().id();
            // Nothing is stood for on a session whose ensemble may have been restored from an older state.
            let mut state = member.session().state();
            tokio::select! {
                () = self.elections.timeline.timeline.current() => {}
                () = &mut drained => return Ok(()),
                _ = state.wait_for(|state| *state == SessionState::Lost) => continue,
            }
            let term = Term {
                elections: &self.elections,
                shown,
                member,
                held: BTreeMap::new(),
                tasks: JoinSet::new(),
                returned: &mut returned,
            };
            if term.hold(wanted.clone(), drain.clone()).await == Over::Drained {
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
        let mut told = String::new();
        loop {
            let session = follow.wait_for(Option::is_some).await.ok().and_then(|session| session.clone());
            let Some(session) = session else { return Ok(None) };
            match self.join_on(session).await {
                Ok(member) => return Ok(Some(member)),
                Err(JoinError::Coordinator(Error::Lost)) => warn!("the session was lost before this host was a member"),
                Err(error) if !again => return Err(error),
                // Said once for each reason, not with each try.
                Err(error) if error.to_string() == told => {}
                Err(error) => {
                    told = error.to_string();
                    error!(%error, "this host can't be a member of the cluster now, trying again");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn join_on(&self, session: Arc<dyn Session>) -> Result<Arc<Membership>, JoinError> {
        let Elections { scheduling, presence, lease, timeline, .. } = self.elections.as_ref();
        timeline.read(session.as_ref()).await.map_err(|error| match error {
            RegistryError::Coordinator(error) => JoinError::Coordinator(error),
            other => JoinError::Cluster(other.to_string()),
        })?;
        let (clock, node, told) = (scheduling.clock.clone(), self.node.clone(), timeline.timeline.clone());
        let concern = Concern::new(scheduling.problems.clone(), About::Cluster, clock.clone());
        let member = Membership::join(session.clone(), *lease, clock, node, presence.clone(), told, concern).await?;
        // Before anything is stood for: whether the ensemble was restored since the session before. If the mark is refused, its
        // keeper says so, and heartbeats still tell of lower numbers.
        match timeline.mark(session.as_ref()).await {
            Err(Error::Lost) => Err(Error::Lost.into()),
            Ok(()) | Err(_) => Ok(member),
        }
    }
}

/// Why all posts were left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Drained,
    SessionLost,
}

impl Term<'_> {
    async fn hold(mut self, mut wanted: watch::Receiver<Wanted>, mut drain: watch::Receiver<bool>) -> Over {
        let mut session = self.member.session().state();
        let mut shown = self.shown.take();
        let over = loop {
            // Counted from before it is read what is wanted: a withdrawal is complete when nothing is.
            let looking = self.elections.withdrawal.count();
            let now = wanted.borrow_and_update().clone();
            self.leave_unwanted(&now);
            self.stand_for_missing(now);
            drop(looking);
            tokio::select! {
                biased;
                _ = drain.wait_for(|drain| *drain) => break Over::Drained,
                _ = session.wait_for(|state| *state == SessionState::Lost) => break Over::SessionLost,
                Some(ended) = self.tasks.join_next() => self.left(ended),
                () = turned(&mut shown) => self.member.announce(),
                changed = wanted.changed() => if changed.is_err() { break Over::Drained },
            }
        };
        self.held.values().for_each(|held| {
            held.leave.send_replace(Leave::Now);
        });
        while let Some(ended) = self.tasks.join_next().await {
            self.left(ended);
        }
        over
    }

    fn leave_unwanted(&self, wanted: &Wanted) {
        for (post, held) in &self.held {
            let leave = match wanted.get(post).filter(|want| want.edition == held.edition).map(|want| want.wish) {
                Some(Wish::Stand) => Leave::No,
                Some(Wish::GoOnLeading) => Leave::UnlessLeading,
                None => Leave::Now,
            };
            held.leave.send_if_modified(|now| *now != Leave::Now && std::mem::replace(now, leave) != leave);
        }
    }

    fn stand_for_missing(&mut self, wanted: Wanted) {
        for (post, Want { edition, wish, election }) in wanted {
            let returned = self.returned.get(&post) == Some(&edition);
            if wish != Wish::Stand || self.held.contains_key(&post) || returned {
                continue;
            }
            let (leave, left) = watch::channel(Leave::No);
            self.held.insert(post.clone(), Held { edition: edition.clone(), leave });
            let holder = Holder {
                member: self.member.clone(),
                components: self.elections.components.clone(),
                scheduling: self.elections.scheduling.clone(),
                standing: self.elections.standing.clone(),
                grace: self.elections.grace,
                group_hold: self.elections.group_hold,
                seats: self.elections.seats.subscribe(),
                post: post.clone(),
                election,
            };
            let counted = self.elections.withdrawal.count();
            self.tasks.spawn(async move {
                let ended = holder.hold(edition.job().cloned(), left).await;
                drop(counted);
                (post, edition, ended)
            });
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

/// Returns when what the host's node shows has changed; never where it is shown by another session's.
async fn turned(shown: &mut Option<(watch::Receiver<bool>, watch::Receiver<ClockState>)>) {
    let Some((withdrawn, clock)) = shown else { return pending().await };
    tokio::select! {
        Ok(()) = withdrawn.changed() => {}
        Ok(()) = clock.changed() => {}
        else => pending().await,
    }
}

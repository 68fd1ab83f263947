//! A host's membership of the cluster on one session: its node, its heartbeats, and the lease that they prove.

use std::sync::Arc;
use std::time::Duration;

use silverback_election::{Heartbeats, LeaseRule, RuleError};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use super::clock_check::Answer;
use super::concern::Concern;
use super::timeline::Timeline;
use crate::capability::Lease;
use crate::clock::Clock;
use crate::coordinator::{CreateMode, Error, MultiError, Op, Session, Stat, ensure_path, repeat, settled};
use crate::vital;

/// A host, as its heartbeats see it. A function that gives the value is one that hears nothing.
pub trait Presence: Send + Sync {
    /// What the host's node says, made anew for each heartbeat.
    fn value(&self) -> Vec<u8>;

    /// A heartbeat was answered.
    fn hear(&self, _answer: Answer) {}
}

impl<F: Fn() -> Vec<u8> + Send + Sync> Presence for F {
    fn value(&self) -> Vec<u8> {
        self()
    }
}

/// Shared by all sessions of a host.
pub type PresenceValue = Arc<dyn Presence>;

/// Why a host can't be a member.
#[derive(Debug, Error)]
pub enum JoinError {
    /// A live host has this name.
    #[error("host name: `{name}` is in use by another live host of this cluster")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The negotiated session time-out leaves no lease.
    #[error("session timeout: {0}")]
    Rule(#[from] RuleError),
    /// What is stored as the cluster's node can't be read.
    #[error("{0}")]
    Cluster(String),
    /// The session failed.
    #[error(transparent)]
    Coordinator(#[from] Error),
}

/// One host on one session. Heartbeats are sent for as long as it is kept.
pub struct Membership {
    session: Arc<dyn Session>,
    lease: Arc<Lease>,
    clock: Arc<dyn Clock>,
    timeline: Arc<Timeline>,
    anew: Arc<Notify>,
    beating: JoinHandle<()>,
}

impl Membership {
    /// Creates the host's node at `path` and starts heartbeats from the current tokio runtime. Where the node exists already,
    /// waits for it to go: this host may have died a moment ago and its session not yet expired. `concern` is where heartbeats
    /// that are refused are told.
    ///
    /// # Errors
    /// [`JoinError::NameTaken`] where it stays for more than two session time-outs; [`JoinError::Rule`] where the numbers
    /// leave no lease with the time-out that was negotiated; `rule` has the one that was asked for.
    pub async fn join(
        session: Arc<dyn Session>,
        rule: LeaseRule,
        clock: Arc<dyn Clock>,
        path: String,
        value: PresenceValue,
        timeline: Arc<Timeline>,
        concern: Concern,
    ) -> Result<Arc<Self>, JoinError> {
        let rule = LeaseRule { timeout: session.timeout(), ..rule };
        rule.check()?;
        create_presence(session.as_ref(), &path, &value).await?;
        let lease = Lease::new(clock.clone());
        let beats = Heartbeats::new(rule, session.opening());
        lease.extend(beats.stop_at());
        let anew = Arc::new(Notify::new());
        let node = Node { session: session.clone(), path, value };
        let heard = Heard { lease: lease.clone(), beats, timeline: timeline.clone(), concern };
        let beat = beat(node, heard, clock.clone(), rule, anew.clone());
        let beating = tokio::spawn(async move {
            let _part = vital::part("a session's heartbeats");
            beat.await;
        });
        Ok(Arc::new(Membership { session, lease, clock, timeline, anew, beating }))
    }

    /// Has the host's node made anew, at one moment with what it says now: who watches the hosts sees it at once, and it
    /// counts as one that has just come.
    pub fn announce(&self) {
        self.anew.notify_one();
    }

    /// The session.
    pub fn session(&self) -> &Arc<dyn Session> {
        &self.session
    }

    /// What the heartbeats prove.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// Whether the ensemble is still the one that this host knows, and what tokens count from.
    pub fn timeline(&self) -> &Arc<Timeline> {
        &self.timeline
    }

    /// The clock that the lease is measured on.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// Creates the host's node.
async fn create_presence(session: &dyn Session, path: &str, value: &PresenceValue) -> Result<(), JoinError> {
    let patience = session.timeout() * 2;
    let name = || path.rsplit('/').next().unwrap_or(path).to_owned();
    let created = tokio::time::timeout(patience, async {
        loop {
            match session.create(path, &value.value(), CreateMode::Ephemeral).await {
                // Its stat follows.
                Ok(_) | Err(Error::NodeExists { .. }) => {}
                Err(Error::NoNode { .. }) => {
                    ensure_parent(session, path).await?;
                    continue;
                }
                Err(error) if error.is_unknown() => settled(session).await,
                Err(other) => return Err(other),
            }
            match session.stat_and_watch(path).await {
                Ok((Some(stat), _)) if stat.ephemeral_owner == session.id() => return Ok(()),
                Ok((Some(_), mut watch)) => {
                    info!(host = name(), "waiting for an earlier session of this host to end");
                    watch.changed().await;
                }
                Ok((None, _)) => {}
                Err(error) if error.is_unknown() => settled(session).await,
                Err(other) => return Err(other),
            }
        }
    });
    match created.await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(JoinError::NameTaken { name: name() }),
    }
}

/// Creates the directory of the host's node. Bootstrap makes it; it is missing only if somebody deleted it since.
async fn ensure_parent(session: &dyn Session, path: &str) -> Result<(), Error> {
    let Some((parent, _)) = path.rsplit_once('/') else { return Ok(()) };
    repeat(session, || ensure_path(session, parent)).await?;
    warn!(node = parent, "a directory of the cluster was missing, and is made again");
    Ok(())
}

/// The host's node on one session.
struct Node {
    session: Arc<dyn Session>,
    path: String,
    value: PresenceValue,
}

/// What heartbeats tell.
struct Heard {
    lease: Arc<Lease>,
    beats: Heartbeats,
    timeline: Arc<Timeline>,
    concern: Concern,
}

impl Heard {
    /// `seen`: the position that this host had seen when it sent the heartbeat.
    fn answered(&mut self, sent: Duration, received: Duration, seen: i64, stat: &Stat) {
        self.beats.acknowledged(sent, received);
        self.lease.extend(self.beats.stop_at());
        self.timeline.answered(seen, stat.mzxid);
        self.concern.clear();
    }

    fn refused(&self, node: &str, error: &Error) {
        if self.concern.raise(&format!("this host leads nothing: its heartbeats to node `{node}` are refused: {error}"))
        {
            warn!(node, %error, "heartbeats are refused: this host leads nothing once its leases have run out");
        }
    }
}

/// A quorum write every sixth of the time-out. One at a time: while one is not answered another would prove nothing.
async fn beat(node: Node, mut heard: Heard, clock: Arc<dyn Clock>, rule: LeaseRule, anew: Arc<Notify>) {
    let Node { session, path, value } = &node;
    // Said once, not with each heartbeat.
    let mut name_taken = false;
    let mut interval = tokio::time::interval(rule.interval());
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = anew.notified() => node.make_anew().await,
        }
        // Before the request is handed over, and never later: what counts is when the ensemble can have seen it.
        let sent = clock.boot();
        let wall = clock.wall();
        let seen = heard.timeline.position();
        match session.set(path, &value.value(), None).await {
            Ok(stat) if stat.ephemeral_owner == session.id() => {
                let received = clock.boot();
                name_taken = false;
                heard.answered(sent, received, seen, &stat);
                value.hear(Answer { wall, sent, received, stamp_ms: stat.mtime_ms });
            }
            // Our node went with our session, or by somebody's hand, and another host of our name made its own.
            Ok(_) if !std::mem::replace(&mut name_taken, true) => {
                error!(node = path, "another host has this host's name: no heartbeat proves anything until it stops");
            }
            Ok(_) => {}
            Err(Error::NoNode { .. }) => node.restore().await,
            Err(Error::Lost) => return,
            Err(error) => {
                match error.is_unknown() {
                    true => debug!(%error, "a heartbeat was not acknowledged"),
                    false => heard.refused(path, &error),
                }
                settled(session.as_ref()).await;
            }
        }
    }
}

impl Node {
    /// Creates the host's node again after somebody deleted it, and its directory if that is gone too. If this fails, the
    /// next heartbeat finds the node missing and tries again.
    async fn restore(&self) {
        let Node { session, path, value } = self;
        let mut created = session.create(path, &value.value(), CreateMode::Ephemeral).await;
        if let Err(Error::NoNode { .. }) = created {
            created = match ensure_parent(session.as_ref(), path).await {
                Ok(()) => session.create(path, &value.value(), CreateMode::Ephemeral).await,
                Err(error) => Err(error),
            };
        }
        match created {
            Ok(_) => warn!(node = path, "somebody deleted this host's node; it is made again"),
            Err(error) => {
                warn!(node = path, %error, "somebody deleted this host's node, and it can't be made again yet")
            }
        }
    }

    /// Deletes and creates it in one multi, so that nobody sees it gone. Done twice it is only newer; where it is somebody
    /// else's, or gone, the next heartbeat says so.
    async fn make_anew(&self) {
        let Node { session, path, value } = self;
        loop {
            match session.stat(path).await {
                Ok(Some(stat)) if stat.ephemeral_owner == session.id() => {}
                Ok(_) => return,
                Err(error) if error.is_unknown() => {
                    settled(session.as_ref()).await;
                    continue;
                }
                Err(_) => return,
            }
            let delete = Op::Delete { path: path.clone(), version: None };
            let create = Op::Create { path: path.clone(), data: value.value(), mode: CreateMode::Ephemeral };
            match session.multi(vec![delete, create]).await.map_err(MultiError::into_error) {
                Err(error) if error.is_unknown() => settled(session.as_ref()).await,
                Err(error) => return warn!(%error, "this host's node can't be made anew"),
                Ok(_) => return,
            }
        }
    }
}

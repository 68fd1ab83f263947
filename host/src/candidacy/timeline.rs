//! Whether the ensemble is still on the timeline that this host has seen.
//!
//! A *position* is the cluster's base plus a transaction number; a fencing token is the position of a contender's creation. The
//! host keeps the highest position that it saw on its disk, beside the cluster's id. An ensemble that answers with a lower one was
//! restored from an older state: its past is not ours, tokens would be given a second time, and what was done would be done again.
//! So nothing is led there until an operator lets the cluster go on, which raises the base above all that was seen.
//!
//! No term begins before its token is on the disk: a host that is started again would not know otherwise that it gave it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::{error, warn};

use crate::registry::ClusterNode;

/// What a host keeps of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCluster {
    /// The cluster's id.
    pub id: String,
    /// The transaction that made the cluster.
    pub birth: i64,
    /// The highest position that was seen.
    pub position: i64,
}

/// Writes what a host keeps of its cluster, durably. Called on threads that may block.
pub type Keep = Arc<dyn Fn(&KnownCluster) -> std::io::Result<()> + Send + Sync>;

/// Whether this host may lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimelineState {
    /// Not known yet: nothing was heard of this session.
    Unknown,
    /// It may.
    Current,
    /// The ensemble is at a lower position than this host has seen.
    Behind {
        /// The highest position that was seen.
        seen: i64,
        /// The ensemble's.
        now: i64,
    },
    /// Another host has found the ensemble behind.
    Held {
        /// That host.
        host: String,
        /// The highest position that it has seen.
        seen: i64,
    },
    /// This is another cluster than the one that this host's folder belongs to.
    Foreign {
        /// The id of the folder's cluster.
        ours: String,
        /// The id of this one.
        theirs: String,
    },
}

impl TimelineState {
    /// Returns why nothing is led, for people, with what to do about it; None if this host may lead, or doesn't know yet.
    pub fn problem(&self) -> Option<String> {
        let remedy = "`silverback cluster resume-after-restore` lets it go on";
        match self {
            TimelineState::Unknown | TimelineState::Current => None,
            TimelineState::Behind { seen, now } => Some(format!(
                "nothing is led: the ensemble was restored from an older state, at position {now}, and this host has seen {seen}; \
                 {remedy}"
            )),
            TimelineState::Held { host, seen } => Some(format!(
                "nothing is led: the ensemble was restored from an older state, and host `{host}` has seen position {seen}; \
                 {remedy}"
            )),
            TimelineState::Foreign { ours, theirs } => Some(format!(
                "nothing is led here: the data folder of this host belongs to cluster `{ours}`, and this is cluster `{theirs}`; \
                 give it a folder of its own, or, if this cluster takes the other's place, {remedy}"
            )),
        }
    }
}

/// One host's view of its cluster's timeline. All its sessions share it.
pub struct Timeline {
    view: Mutex<View>,
    state: watch::Sender<TimelineState>,
    /// To be kept, and kept.
    wanted: watch::Sender<Option<KnownCluster>>,
    kept: watch::Sender<i64>,
}

#[derive(Default)]
struct View {
    known: Option<KnownCluster>,
    node: Option<(ClusterNode, i64)>,
    /// The highest transaction since the newest session began.
    observed: Option<i64>,
    /// The position at which the ensemble was found behind. It stays behind although its numbers rise, until its base is raised.
    found_behind: Option<i64>,
    begins_anew: bool,
}

impl Timeline {
    /// With what the host keeps from before, if anything.
    pub fn new(known: Option<KnownCluster>) -> Arc<Self> {
        let kept = known.as_ref().map_or(i64::MIN, |known| known.position);
        Arc::new(Timeline {
            view: Mutex::new(View { known, ..View::default() }),
            state: watch::Sender::new(TimelineState::Unknown),
            wanted: watch::Sender::new(None),
            kept: watch::Sender::new(kept),
        })
    }

    /// The same on a coordinator that an operator wants to begin anew: a cluster that is made there counts its tokens from above all
    /// that was seen.
    pub fn beginning_anew(known: Option<KnownCluster>) -> Arc<Self> {
        let timeline = Timeline::new(known);
        timeline.view().begins_anew = true;
        timeline
    }

    /// Of a coordinator that forgets everything, for tests and benches: always current, and nothing is kept.
    pub fn unkept() -> Arc<Self> {
        let timeline = Timeline::new(None);
        timeline.state.send_replace(TimelineState::Current);
        timeline.kept.send_replace(i64::MAX);
        timeline
    }

    /// Starts writing what is seen with `keep`, from a task of the current tokio runtime, until the timeline is dropped.
    pub fn keep_with(self: &Arc<Self>, keep: Keep) {
        let (mut wanted, timeline) = (self.wanted.subscribe(), Arc::downgrade(self));
        tokio::spawn(async move {
            let mut fails = false;
            while wanted.changed().await.is_ok() {
                let Some(known) = wanted.borrow_and_update().clone() else { continue };
                let (keep, written) = (keep.clone(), known.clone());
                let kept = tokio::task::spawn_blocking(move || keep(&written)).await;
                let Some(timeline) = timeline.upgrade() else { return };
                match kept {
                    Ok(Ok(())) => {
                        fails = false;
                        timeline.kept.send_replace(known.position);
                    }
                    // The next heartbeat asks for it again.
                    Ok(Err(error)) if !std::mem::replace(&mut fails, true) => {
                        error!(%error, "the highest position can't be kept in the data folder: no term begins until it can");
                    }
                    Ok(Err(_)) => {}
                    Err(error) => error!(%error, "writing the highest position ended unexpectedly"),
                }
            }
        });
    }

    /// The node of the cluster is so now, which was made by the transaction `birth`.
    pub fn cluster_is(&self, node: ClusterNode, birth: i64) {
        let mut view = self.view();
        view.node = Some((node, birth));
        self.decide(view);
    }

    /// A session has begun whose first write was this transaction. Whatever other sessions have heard, this is where the ensemble
    /// is now.
    pub fn begin_session(&self, zxid: i64) {
        let mut view = self.view();
        view.observed = Some(zxid);
        self.decide(view);
    }

    /// A write was committed by this transaction.
    pub fn observe(&self, zxid: i64) {
        let mut view = self.view();
        view.observed = view.observed.max(Some(zxid));
        self.decide(view);
    }

    /// A contender with this token was created.
    pub(super) fn observe_token(&self, token: i64) {
        let base = self.view().base();
        self.observe(token.saturating_sub(base));
    }

    /// Returns the fencing token of a contender that was created by this transaction.
    pub fn token(&self, czxid: i64) -> i64 {
        czxid.saturating_add(self.view().base())
    }

    /// Returns the highest position that this host has seen; 0 before it has seen any.
    pub fn position(&self) -> i64 {
        self.view().known.as_ref().map_or(0, |known| known.position)
    }

    /// Returns the cluster's node as it was read last.
    pub fn cluster(&self) -> Option<ClusterNode> {
        self.view().node.as_ref().map(|(node, _)| node.clone())
    }

    /// Returns when an operator last let the cluster go on after its ensemble was restored from an older state.
    pub fn resumed_at(&self) -> Option<Timestamp> {
        let resumed_at_ms = self.view().node.as_ref().and_then(|(node, _)| node.resumed_at_ms)?;
        Timestamp::from_millisecond(resumed_at_ms).ok()
    }

    /// Returns what a cluster's node is made of if it is missing: the cluster that this host knows, or a new one.
    pub fn absent(&self) -> ClusterNode {
        let view = self.view();
        match (&view.node, &view.known) {
            (Some((node, birth)), _) => ClusterNode { birth: Some(*birth), ..node.clone() },
            (None, Some(known)) if view.begins_anew => ClusterNode { base: known.position, ..ClusterNode::new() },
            (None, Some(known)) => ClusterNode { id: known.id.clone(), birth: Some(known.birth), ..ClusterNode::new() },
            (None, None) => ClusterNode::new(),
        }
    }

    /// Follows whether this host may lead.
    pub fn follow(&self) -> watch::Receiver<TimelineState> {
        self.state.subscribe()
    }

    /// Waits until this host may lead.
    pub async fn current(&self) {
        let _ = self.follow().wait_for(|state| *state == TimelineState::Current).await;
    }

    /// Waits until a position is on the disk.
    pub async fn kept(&self, position: i64) {
        let _ = self.kept.subscribe().wait_for(|kept| *kept >= position).await;
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the conclusion from what is seen now, and keeps it if it is a new one.
    fn decide(&self, mut view: MutexGuard<'_, View>) {
        let state = view.state();
        view.found_behind = if let TimelineState::Behind { now, .. } = state { Some(now) } else { None };
        if state == TimelineState::Current
            && let Some(known) = view.advanced()
        {
            view.known = Some(known.clone());
            self.wanted.send_replace(Some(known));
        }
        drop(view);
        let changed = self.state.send_if_modified(|now| {
            *now != state && {
                *now = state.clone();
                true
            }
        });
        if let Some(problem) = state.problem().filter(|_| changed) {
            error!(problem, "this host leads nothing");
        } else if changed && state == TimelineState::Current {
            tracing::debug!("the ensemble is on the timeline that this host has seen");
        }
    }
}

impl View {
    fn base(&self) -> i64 {
        self.node.as_ref().map_or(0, |(node, _)| node.base)
    }

    fn state(&self) -> TimelineState {
        let Some(((node, _), observed)) = self.node.as_ref().zip(self.observed) else { return TimelineState::Unknown };
        let now = observed.saturating_add(node.base);
        if let Some(known) = &self.known {
            // A base above all that was seen is an operator's word that this cluster goes on from there.
            if known.id != node.id && node.base < known.position {
                return TimelineState::Foreign { ours: known.id.clone(), theirs: node.id.clone() };
            }
            if node.base < known.position && (now < known.position || self.found_behind.is_some()) {
                return TimelineState::Behind { seen: known.position, now: self.found_behind.unwrap_or(now) };
            }
        }
        match &node.behind {
            Some(behind) => TimelineState::Held { host: behind.host.clone(), seen: behind.seen },
            None => TimelineState::Current,
        }
    }

    /// Returns what is to be kept now.
    fn advanced(&self) -> Option<KnownCluster> {
        let ((node, birth), observed) = self.node.as_ref().zip(self.observed)?;
        let position = observed.saturating_add(node.base);
        Some(KnownCluster { id: node.id.clone(), birth: *birth, position })
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        let (wanted, kept) =
            (self.wanted.borrow().as_ref().map_or(i64::MIN, |known| known.position), *self.kept.borrow());
        if wanted > kept {
            warn!("the highest position that this host saw is not on its disk");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::Behind;

    fn known(id: &str, position: i64) -> KnownCluster {
        KnownCluster { id: id.to_owned(), birth: 3, position }
    }

    fn node(id: &str, base: i64) -> ClusterNode {
        ClusterNode { id: id.to_owned(), base, ..ClusterNode::new() }
    }

    fn state(timeline: &Timeline) -> TimelineState {
        timeline.follow().borrow().clone()
    }

    #[test]
    fn nothing_is_known_before_the_node_and_a_transaction_are_seen() {
        let timeline = Timeline::new(None);
        assert_eq!(state(&timeline), TimelineState::Unknown);
        timeline.observe(9);
        assert_eq!(state(&timeline), TimelineState::Unknown);
        timeline.cluster_is(node("x", 0), 3);
        assert_eq!(state(&timeline), TimelineState::Current);
        assert_eq!(timeline.position(), 9);
    }

    #[test]
    fn w7_an_ensemble_that_is_behind_is_led_by_nobody_until_its_base_is_raised() {
        let timeline = Timeline::new(Some(known("x", 153)));
        timeline.cluster_is(node("x", 0), 3);
        timeline.observe(115);
        assert_eq!(state(&timeline), TimelineState::Behind { seen: 153, now: 115 });
        // Nor once its numbers have caught up with what was seen.
        timeline.observe(400);
        assert_eq!(state(&timeline), TimelineState::Behind { seen: 153, now: 115 });
        assert_eq!(timeline.position(), 153);
        timeline.cluster_is(node("x", 153), 3);
        assert_eq!(state(&timeline), TimelineState::Current);
        assert!(timeline.token(401) > 153 && timeline.position() == 553);
    }

    #[test]
    fn a_host_without_a_past_is_held_by_what_another_has_seen() {
        let timeline = Timeline::new(None);
        let held = ClusterNode { behind: Some(Behind { host: "a".to_owned(), seen: 153 }), ..node("x", 0) };
        timeline.cluster_is(held, 3);
        timeline.observe(115);
        assert_eq!(state(&timeline), TimelineState::Held { host: "a".to_owned(), seen: 153 });
        timeline.cluster_is(node("x", 153), 3);
        assert_eq!(state(&timeline), TimelineState::Current);
    }

    #[test]
    fn the_folder_of_another_cluster_is_refused_until_its_past_is_covered() {
        let timeline = Timeline::new(Some(known("x", 153)));
        timeline.cluster_is(node("y", 0), 3);
        timeline.observe(500);
        assert!(matches!(state(&timeline), TimelineState::Foreign { .. }));
        timeline.cluster_is(node("y", 153), 3);
        assert_eq!(state(&timeline), TimelineState::Current);
        assert_eq!(timeline.absent().id, "y");
    }

    #[test]
    fn a_base_that_went_back_with_the_ensemble_is_seen() {
        let timeline = Timeline::new(None);
        timeline.cluster_is(node("x", 100), 3);
        timeline.observe(500);
        timeline.cluster_is(node("x", 0), 3);
        timeline.begin_session(450);
        assert_eq!(state(&timeline), TimelineState::Behind { seen: 600, now: 500 });
    }

    #[test]
    fn a_coordinator_that_begins_anew_counts_on_from_what_was_seen() {
        let timeline = Timeline::beginning_anew(Some(known("x", 153)));
        let absent = timeline.absent();
        assert!(absent.base == 153 && absent.id != "x");
        timeline.cluster_is(absent, 3);
        timeline.begin_session(5);
        assert_eq!((state(&timeline), timeline.position()), (TimelineState::Current, 158));
    }

    #[tokio::test]
    async fn a_position_counts_as_kept_once_it_is_written() {
        let timeline = Timeline::new(None);
        let (written, mut writes) = tokio::sync::mpsc::unbounded_channel();
        let fails = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let now = fails.clone();
        timeline.keep_with(Arc::new(move |known| {
            written.send(known.position).unwrap();
            if now.load(std::sync::atomic::Ordering::SeqCst) { Err(std::io::Error::other("full")) } else { Ok(()) }
        }));
        timeline.cluster_is(node("x", 0), 3);
        timeline.observe(9);
        assert_eq!(writes.recv().await, Some(9));
        assert!(tokio::time::timeout(Duration::from_millis(20), timeline.kept(9)).await.is_err());
        fails.store(false, std::sync::atomic::Ordering::SeqCst);
        timeline.observe(10);
        timeline.kept(10).await;
    }
}

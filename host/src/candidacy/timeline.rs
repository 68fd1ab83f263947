//! Whether the ensemble is still on the timeline that this host has seen.
//!
//! A *position* is the cluster's base plus a transaction number; a fencing token is the position of a contender's creation. The
//! host keeps the highest position that it saw on its disk, beside the cluster's id and its mark in the tree (`mark`). An ensemble
//! that answers a write with a lower position than was seen before that write was sent, or whose tree has an earlier edition of the
//! mark, was restored from an older state: its past is not ours, tokens would be given a second time, and what was done would be
//! done again. So nothing is led there until an operator lets the cluster go on, which raises the base above all that was seen.
//!
//! No term begins before its token is on the disk: a host that is started again would not know otherwise that it gave it.

mod mark;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::{error, warn};

pub use self::mark::{Edition, Floor, Mark};
pub use self::state::{Evidence, TimelineState};
use crate::coordinator::Stat;
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
    /// This host's mark in the tree; None if it has none yet, or if an operator has let the cluster go on since.
    pub mark: Option<Mark>,
}

/// Writes what a host keeps of its cluster, durably. Called on threads that may block.
pub type Keep = Arc<dyn Fn(&KnownCluster) -> std::io::Result<()> + Send + Sync>;

/// One host's view of its cluster's timeline. All its sessions share it.
pub struct Timeline {
    view: Mutex<View>,
    state: watch::Sender<TimelineState>,
    /// To be kept, and kept.
    wanted: watch::Sender<Option<KnownCluster>>,
    kept: watch::Sender<i64>,
    /// Why it can't be kept, for people.
    unkept: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct View {
    known: Option<KnownCluster>,
    node: Option<(ClusterNode, i64)>,
    /// The highest transaction of this host that was heard of.
    observed: Option<i64>,
    mark: Option<Mark>,
    /// By what the ensemble was found behind. It stays behind, whatever is heard of it later, until its base is raised.
    found: Option<Evidence>,
    /// How often the base was raised above all that was seen.
    resumptions: u64,
    begins_anew: bool,
    /// How many looks at the cluster's node have begun, and which of them is the newest whose answer is known.
    looks: u64,
    newest_look: u64,
}

/// A look at the cluster's node, in the order in which they began.
#[derive(Clone, Copy, Debug)]
pub struct Look(u64);

impl Timeline {
    /// With what the host keeps from before, if anything.
    pub fn new(known: Option<KnownCluster>) -> Arc<Self> {
        let kept = known.as_ref().map_or(i64::MIN, |known| known.position);
        Arc::new(Timeline {
            view: Mutex::new(View { mark: known.as_ref().and_then(|known| known.mark), known, ..View::default() }),
            state: watch::Sender::new(TimelineState::Unknown),
            wanted: watch::Sender::new(None),
            unkept: watch::Sender::new(None),
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

    /// Of a coordinator that forgets everything, for tests and benches: current until something else is seen, and nothing is kept.
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
            while wanted.changed().await.is_ok() {
                let Some(known) = wanted.borrow_and_update().clone() else { continue };
                let (keep, written) = (keep.clone(), known.clone());
                let kept = tokio::task::spawn_blocking(move || keep(&written)).await;
                let Some(timeline) = timeline.upgrade() else { return };
                match kept {
                    Ok(Ok(())) => {
                        timeline.unkept.send_if_modified(|unkept| unkept.take().is_some());
                        timeline.kept.send_replace(known.position);
                    }
                    // The next heartbeat asks for it again.
                    Ok(Err(error)) => timeline.cannot_keep(&error),
                    Err(error) => timeline.cannot_keep(&error),
                }
            }
        });
    }

    /// Tells that a look at the cluster's node begins now.
    pub fn look(&self) -> Look {
        let mut view = self.view();
        view.looks += 1;
        Look(view.looks)
    }

    /// This look found the cluster's node so, which was made by the transaction `birth`. What another look found that began later
    /// is newer, and stays.
    pub fn cluster_is(&self, look: Look, node: ClusterNode, birth: i64) {
        let mut view = self.view();
        if look.0 < view.newest_look {
            return;
        }
        view.newest_look = look.0;
        view.node = Some((node, birth));
        if view.is_covered() {
            view.mark = None;
            view.resumptions += 1;
        }
        self.decide(view);
    }

    /// A write of this host's was committed by this transaction.
    pub fn observe(&self, zxid: i64) {
        self.answered(i64::MIN, zxid);
    }

    /// A write of this host's that was sent when it had seen the position `seen` was committed by this transaction. What was heard
    /// of other sessions since it was sent may be higher; what was seen before may not.
    pub fn answered(&self, seen: i64, zxid: i64) {
        let mut view = self.view();
        let position = view.base().saturating_add(zxid);
        view.heard(zxid, (position < seen).then_some(Evidence::Position(position)));
        self.decide(view);
    }

    /// Returns the position and the mark that this host knows, to compare the answer to its next mark write with. None if this host
    /// must not write its mark because it has found a restoration: a write would hide the evidence.
    pub fn floor(&self) -> Option<Floor> {
        let view = self.view();
        if view.is_contradicted() {
            return None;
        }
        Some(Floor { position: view.position(), mark: view.mark, resumptions: view.resumptions })
    }

    /// A write of this host's mark that was sent after `floor` was answered so. `directory` is that of the marks, read since; it may
    /// be left out if the mark is the node that `floor` knows.
    pub fn marked(&self, floor: &Floor, stat: &Stat, directory: Option<Edition>) {
        let mut view = self.view();
        let found = view.evidence(floor, stat, directory);
        if found.is_none() {
            view.remember(floor, Edition::of(stat), directory);
        }
        view.heard(stat.mzxid, found);
        self.conclude(view, Kept::Later);
    }

    /// This host's mark, looked for after `floor`, is missing. Returns whether that is because the ensemble was restored: then it
    /// is not to be made again. `directory` is that of the marks, if it is there.
    pub fn is_taken_back_without_mark(&self, floor: &Floor, directory: Option<Edition>) -> bool {
        let mut view = self.view();
        let Some(found) = view.evidence_of_directory(floor, directory) else { return false };
        view.found = Some(found);
        // What was heard of it before it was restored.
        view.observed = None;
        self.conclude(view, Kept::Later);
        true
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
        self.view().position()
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

    /// Returns what the cluster's node held when it was read last, if it was, for a node that is to hold it again.
    pub fn remembered(&self) -> Option<ClusterNode> {
        let view = self.view();
        view.node.as_ref().map(|(node, birth)| ClusterNode { birth: Some(*birth), ..node.clone() })
    }

    /// Returns what a cluster's node is made of if it is missing: the cluster that this host knows, or a new one.
    pub fn absent(&self) -> ClusterNode {
        if let Some(remembered) = self.remembered() {
            return remembered;
        }
        let view = self.view();
        match &view.known {
            Some(known) if view.begins_anew => ClusterNode { base: known.position, ..ClusterNode::new() },
            Some(known) => ClusterNode { id: known.id.clone(), birth: Some(known.birth), ..ClusterNode::new() },
            None => ClusterNode::new(),
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

    /// Follows why positions can't be kept on the disk, for people; None if they can.
    pub fn follow_unkept(&self) -> watch::Receiver<Option<String>> {
        self.unkept.subscribe()
    }

    /// Tells why a position can't be kept: as an error in the log, if that is news.
    pub(super) fn cannot_keep(&self, why: &dyn std::fmt::Display) {
        let problem = format!(
            "no term begins: the highest position can't be kept in the data folder: {why}; make room there, or let the host write \
             there"
        );
        let is_news = self.unkept.send_if_modified(|unkept| {
            let is_news = unkept.as_ref() != Some(&problem);
            *unkept = Some(problem.clone());
            is_news
        });
        if is_news {
            error!(problem, "this host begins no term");
        }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the state that follows from the view, and has the view kept on the disk if this host may lead.
    fn decide(&self, view: MutexGuard<'_, View>) {
        self.conclude(view, Kept::Now);
    }

    fn conclude(&self, mut view: MutexGuard<'_, View>, kept: Kept) {
        let state = view.state();
        view.found = if let TimelineState::Behind { found, .. } = &state { Some(found.clone()) } else { None };
        if state == TimelineState::Current
            && kept == Kept::Now
            && let Some(known) = view.advanced()
        {
            view.known = Some(known.clone());
            self.wanted.send_replace(Some(known));
        }
        // Before the lock is released: of two conclusions, the later one is published last.
        let changed = self.state.send_if_modified(|now| {
            *now != state && {
                *now = state.clone();
                true
            }
        });
        drop(view);
        if let Some(problem) = state.problem().filter(|_| changed) {
            error!(problem, "this host leads nothing");
        } else if changed && state == TimelineState::Current {
            tracing::debug!("the ensemble is on the timeline that this host has seen");
        }
    }
}

/// When what was concluded is kept on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Now,
    /// With what the next heartbeat tells.
    Later,
}

impl View {
    fn base(&self) -> i64 {
        self.node.as_ref().map_or(0, |(node, _)| node.base)
    }

    fn position(&self) -> i64 {
        self.known.as_ref().map_or(0, |known| known.position)
    }

    /// A transaction was heard of. Sessions are heard in any order, so it counts if it is higher than what was heard before, unless
    /// it proves that the ensemble was restored: then it replaces what was heard before.
    fn heard(&mut self, zxid: i64, found: Option<Evidence>) {
        self.observed = if found.is_some() { Some(zxid) } else { self.observed.max(Some(zxid)) };
        self.found = found.or(self.found.take());
    }

    /// Whether a base above all that was seen is an operator's word that this cluster goes on from there.
    fn is_covered(&self) -> bool {
        let known = self.known.as_ref().zip(self.node.as_ref());
        known.is_some_and(|(known, (node, _))| node.base >= known.position)
    }

    /// Whether what this host has seen forbids it to lead here.
    fn is_contradicted(&self) -> bool {
        matches!(self.state(), TimelineState::Behind { .. } | TimelineState::Foreign { .. })
    }

    fn state(&self) -> TimelineState {
        let Some((node, _)) = &self.node else { return TimelineState::Unknown };
        let now = self.observed.map(|observed| observed.saturating_add(node.base));
        if let Some(known) = self.known.as_ref().filter(|_| !self.is_covered()) {
            if known.id != node.id {
                return TimelineState::Foreign { ours: known.id.clone(), theirs: node.id.clone() };
            }
            let lower = now.filter(|now| *now < known.position).map(Evidence::Position);
            if let Some(found) = self.found.clone().or(lower) {
                return TimelineState::Behind { seen: known.position, found };
            }
        }
        match &node.behind {
            _ if now.is_none() => TimelineState::Unknown,
            Some(behind) => TimelineState::Held { host: behind.host.clone(), seen: behind.seen },
            None => TimelineState::Current,
        }
    }

    /// Returns what an answer proves of a restoration.
    fn evidence(&self, floor: &Floor, stat: &Stat, directory: Option<Edition>) -> Option<Evidence> {
        let position = stat.mzxid.saturating_add(self.base());
        if position < floor.position {
            return Some(Evidence::Position(position));
        }
        let (seen, now) = (floor.mark?.node, Edition::before(stat));
        if floor.resumptions == self.resumptions && seen.is_taken_back_by(now) {
            return Some(Evidence::Mark { seen: seen.version, now: now.version });
        }
        self.evidence_of_directory(floor, directory)
    }

    fn evidence_of_directory(&self, floor: &Floor, directory: Option<Edition>) -> Option<Evidence> {
        let (seen, now) = (floor.mark?.directory, directory?);
        let proven = floor.resumptions == self.resumptions && seen.is_taken_back_by(now);
        proven.then_some(Evidence::NoMark)
    }

    /// Remembers the mark. Of two answers that are heard in another order than they were given, the later one counts.
    fn remember(&mut self, floor: &Floor, node: Edition, directory: Option<Edition>) {
        if floor.resumptions != self.resumptions {
            return;
        }
        let known = self.mark.filter(|mark| mark.node.czxid == node.czxid);
        self.mark = match (known, directory) {
            (Some(mark), _) if mark.node.is_taken_back_by(node) => Some(mark),
            (Some(mark), _) => Some(Mark { node, ..mark }),
            (None, Some(directory)) => Some(Mark { node, directory }),
            (None, None) => self.mark,
        };
    }

    /// Returns what is to be kept now.
    fn advanced(&self) -> Option<KnownCluster> {
        let ((node, birth), observed) = self.node.as_ref().zip(self.observed)?;
        let position = observed.saturating_add(node.base);
        Some(KnownCluster { id: node.id.clone(), birth: *birth, position, mark: self.mark })
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

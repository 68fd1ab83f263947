//! Who waits for which node to change.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::oneshot;

use crate::coordinator::tree::{Event, EventKind, parent_of};

/// What a watch looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Watched {
    /// A node's existence and value.
    Node,
    /// The set of a node's children.
    Children,
}

/// One watch that has not fired.
pub(super) struct Armed {
    /// Whose it is.
    pub session: i64,
    /// Fires it.
    pub fire: oneshot::Sender<()>,
    key: (Watched, String),
}

/// All watches that have not fired.
#[derive(Default)]
pub(super) struct Watches {
    last_id: u64,
    armed: BTreeMap<u64, Armed>,
    by_key: HashMap<(Watched, String), Vec<u64>>,
}

impl Watches {
    /// Sets one. The number takes it away again.
    pub(super) fn arm(&mut self, session: i64, watched: Watched, path: &str) -> (u64, oneshot::Receiver<()>) {
        let (fire, fired) = oneshot::channel();
        let key = (watched, path.to_owned());
        self.last_id += 1;
        self.by_key.entry(key.clone()).or_default().push(self.last_id);
        self.armed.insert(self.last_id, Armed { session, fire, key });
        (self.last_id, fired)
    }

    /// Takes one away, where it has not fired.
    pub(super) fn disarm(&mut self, id: u64) -> Option<Armed> {
        let armed = self.armed.remove(&id)?;
        if let Some(ids) = self.by_key.get_mut(&armed.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&armed.key);
            }
        }
        Some(armed)
    }

    /// Takes those away that fire at an event.
    pub(super) fn take_concerned(&mut self, event: &Event) -> Vec<Armed> {
        let path = &event.path;
        let mut keys = vec![(Watched::Node, path.clone())];
        match event.kind {
            EventKind::Changed => {}
            EventKind::Created => keys.extend(parent_of(path).map(|parent| (Watched::Children, parent.to_owned()))),
            EventKind::Deleted => {
                keys.push((Watched::Children, path.clone()));
                keys.extend(parent_of(path).map(|parent| (Watched::Children, parent.to_owned())));
            }
        }
        let ids: Vec<u64> = keys.iter().flat_map(|key| self.by_key.remove(key).unwrap_or_default()).collect();
        ids.into_iter().filter_map(|id| self.armed.remove(&id)).collect()
    }

    /// Takes a session's away.
    pub(super) fn take_session(&mut self, session: i64) -> Vec<Armed> {
        let of_session = |(id, armed): (&u64, &Armed)| (armed.session == session).then_some(*id);
        let ids: Vec<u64> = self.armed.iter().filter_map(of_session).collect();
        ids.into_iter().filter_map(|id| self.disarm(id)).collect()
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.armed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the watches on `/a` and `/a/b` that an event fires.
    fn fired_by(kind: EventKind, path: &str) -> Vec<i64> {
        let mut watches = Watches::default();
        watches.arm(1, Watched::Node, "/a");
        watches.arm(2, Watched::Children, "/a");
        watches.arm(3, Watched::Node, "/a/b");
        watches.arm(4, Watched::Children, "/a/b");
        let event = Event { path: path.to_owned(), kind };
        let mut fired: Vec<i64> = watches.take_concerned(&event).into_iter().map(|armed| armed.session).collect();
        assert!(watches.take_concerned(&event).is_empty(), "a watch fired twice");
        fired.sort_unstable();
        fired
    }

    #[test]
    fn each_event_fires_the_watches_that_zookeeper_fires() {
        assert_eq!(fired_by(EventKind::Created, "/a"), [1]);
        assert_eq!(fired_by(EventKind::Changed, "/a"), [1]);
        assert_eq!(fired_by(EventKind::Deleted, "/a"), [1, 2]);
        assert_eq!(fired_by(EventKind::Created, "/a/b"), [2, 3]);
        assert_eq!(fired_by(EventKind::Changed, "/a/b"), [3]);
        assert_eq!(fired_by(EventKind::Deleted, "/a/b"), [2, 3, 4]);
        assert_eq!(fired_by(EventKind::Created, "/a/b/c"), [4]);
    }

    #[test]
    fn a_watch_that_was_taken_away_leaves_nothing() {
        let mut watches = Watches::default();
        let (id, _fired) = watches.arm(1, Watched::Node, "/a");
        assert!(watches.disarm(id).is_some());
        assert!(watches.disarm(id).is_none());
        assert!(watches.by_key.is_empty());
    }
}

//! What the keepers of a group share while their host leads it: the way to the coordinator, what is under way, the alarms.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::change::{Change, Setback};
use super::group::Scheduling;
use super::keeper::{Loaded, Under};
use super::pipeline::Pipeline;
use super::runner::Start;
use super::turns::Turn;
use crate::capability::Gate;
use crate::registry::Build;
use crate::runtime::{ComponentError, RunEnd};

/// Names a keeper within its term. A job that was deleted and made again has another.
pub(super) type Key = u64;

/// Something that a keeper waited for.
pub(super) enum Event {
    /// What the coordinator has of its job.
    Loaded(Result<Loaded, Setback>),
    /// Its component is ready, or can't be had.
    Prepared { build: Build, prepared: Result<Start, ComponentError> },
    /// A run has ended.
    Ended { nonce: u32, end: RunEnd },
    /// It has rested after a setback.
    Rested,
    /// The record that a change was held for is stored; where not, it is waited for no longer.
    Told { stored: bool, held: Box<(Under, Change)> },
}

/// The longest sleep between two looks at the wall clock, which may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// How many jobs of a group are read, and settled, at once. A host may come to lead many groups of many jobs in one moment, and what is under
/// way for all of them would be more than all else that it keeps.
const MAX_READING: usize = 16;

/// One group's, for one term.
pub(super) struct Desk {
    pub(super) scheduling: Arc<Scheduling>,
    pub(super) gate: Arc<Gate>,
    pub(super) pipeline: Pipeline,
    pub(super) under_way: FuturesUnordered<BoxFuture<'static, (Key, Event)>>,
    /// Takes the turns of those who waited for one.
    pub(super) turns: mpsc::UnboundedSender<(Key, Turn)>,
    /// Nothing more is begun.
    pub(super) closing: bool,
    /// Nothing is begun for the moment.
    pub(super) held_back: bool,
    alarms: BTreeSet<(Timestamp, Key)>,
    /// Those whose jobs are still to be read, and how many are being read.
    to_read: VecDeque<Key>,
    reading: usize,
    nonce: u32,
}

impl Desk {
    pub(super) fn new(
        scheduling: Arc<Scheduling>,
        gate: Arc<Gate>,
        pipeline: Pipeline,
        turns: mpsc::UnboundedSender<(Key, Turn)>,
    ) -> Self {
        let (_, nonce) = uuid::Uuid::new_v4().as_u64_pair();
        Desk {
            scheduling,
            gate,
            pipeline,
            under_way: FuturesUnordered::new(),
            turns,
            closing: false,
            held_back: false,
            alarms: BTreeSet::new(),
            to_read: VecDeque::new(),
            reading: 0,
            nonce: nonce as u32,
        }
    }

    /// The time by the wall clock, in whole milliseconds: as run states keep it.
    pub(super) fn now(&self) -> Timestamp {
        let now = self.scheduling.clock.wall();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Another one each time.
    pub(super) fn nonce(&mut self) -> u32 {
        self.nonce = self.nonce.wrapping_add(1);
        self.nonce
    }

    /// Something that `key` waits for.
    pub(super) fn wait_for(&mut self, key: Key, event: impl Future<Output = Event> + Send + 'static) {
        self.under_way.push(Box::pin(async move { (key, event.await) }));
    }

    /// The keeper asks for what the coordinator has of its job. It is read when [`Self::next_to_read`] comes to it.
    pub(super) fn ask_to_read(&mut self, key: Key) {
        self.to_read.push_back(key);
    }

    /// Whose job may be read now, as not too many are.
    pub(super) fn next_to_read(&mut self) -> Option<Key> {
        let next = if self.reading < MAX_READING { self.to_read.pop_front() } else { None };
        self.reading += usize::from(next.is_some());
        next
    }

    /// A job has been read and settled, or need not be.
    pub(super) fn has_read(&mut self) {
        self.reading -= 1;
    }

    /// Sets the alarm of `key` in place of the one it had.
    pub(super) fn alarm(&mut self, key: Key, had: &mut Option<Timestamp>, at: Option<Timestamp>) {
        if *had != at {
            if let Some(before) = had.take() {
                self.alarms.remove(&(before, key));
            }
            self.alarms.extend(at.map(|at| (at, key)));
            *had = at;
        }
    }

    /// The keeper whose alarm rings first, where it rings by now.
    pub(super) fn ring(&mut self) -> Option<Key> {
        let now = self.now();
        self.alarms.first().copied().filter(|(at, _)| *at <= now).map(|(at, key)| {
            self.alarms.remove(&(at, key));
            key
        })
    }

    /// How far off the next alarm is.
    pub(super) fn until_next(&self) -> Duration {
        let next = self.alarms.first().map(|(at, _)| at.duration_since(self.now()));
        next.map_or(Duration::MAX, |next| Duration::try_from(next).unwrap_or(Duration::ZERO))
    }

    /// How long nothing rings.
    pub(super) fn nap(&self) -> Duration {
        // Not by whole milliseconds: that would wake a moment too early, again and again.
        nap(self.alarms.first().map(|(at, _)| *at), self.scheduling.clock.wall())
    }
}

/// How long nothing is due: until the next alarm, which may have been due since it was set.
pub(super) fn nap(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let until = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO));
    until.unwrap_or(MAX_SLEEP).min(MAX_SLEEP)
}

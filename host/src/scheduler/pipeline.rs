//! Writes run states, in fenced multis that many jobs of a group share. It doesn't know what they say.
//!
//! A job has one change under way at the most, so changes of a batch have nothing to do with each other: where one of them
//! can't be done, the others are done without it. What came while a few multis are under way goes with the next one.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::change::Change;
use super::commit::{Settled, commit};
use crate::capability::Gate;
use crate::coordinator::{MAX_MULTI_BYTES, MAX_MULTI_OPS};

/// The most changes of one multi.
pub(super) const MAX_BATCH: usize = 64;
/// How many multis of a group are under way at once. While they are, batches grow.
const MAX_UNDER_WAY: usize = 4;

/// The changes of one group on their way to the coordinator. `K` says whose a change is.
pub(super) struct Pipeline<K> {
    gate: Arc<Gate>,
    waiting: VecDeque<(K, Change)>,
    under_way: FuturesUnordered<BoxFuture<'static, Settled<K>>>,
}

impl<K: Send + Sync + 'static> Pipeline<K> {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Pipeline { gate, waiting: VecDeque::new(), under_way: FuturesUnordered::new() }
    }

    /// Puts a change behind the others; it goes with the next [`Pipeline::flush`] that has room.
    pub(super) fn push(&mut self, whose: K, change: Change) {
        self.waiting.push_back((whose, change));
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn flush(&mut self) {
        while self.under_way.len() < MAX_UNDER_WAY && !self.waiting.is_empty() {
            let batch = self.next_batch();
            self.under_way.push(Box::pin(commit(self.gate.clone(), batch)));
        }
    }

    /// Waits for a batch to be settled: each change with how it went. For ever where none is under way.
    pub(super) async fn settled(&mut self) -> Settled<K> {
        match self.under_way.next().await {
            Some(settled) => settled,
            None => std::future::pending().await,
        }
    }

    fn next_batch(&mut self) -> Vec<(K, Change)> {
        let (mut batch, mut ops, mut bytes) = (Vec::new(), 1, self.gate.contender().len());
        while let Some((_, change)) = self.waiting.front() {
            ops += change.ops();
            bytes += change.bytes();
            let fits = batch.len() < MAX_BATCH && ops <= MAX_MULTI_OPS && bytes <= MAX_MULTI_BYTES;
            // One that is too large for any multi goes alone, and is refused by name.
            if !fits && !batch.is_empty() {
                break;
            }
            batch.extend(self.waiting.pop_front());
        }
        batch
    }
}

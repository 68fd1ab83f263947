//! Writes run states, in multis that all groups of a host share. It doesn't know what they say.
//!
//! A job has one change under way at the most, so changes of a batch have nothing to do with each other: each brings the
//! check of its own term, and where one of them can't be done, the others are done without it. What comes while a few multis
//! are under way goes with the next one, so batches grow with the load and a host that has little to do waits for nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::change::{Change, Setback, Written};
use super::commit::{Entry, commit};
use super::desk::Key;
use super::keeper::Under;
use crate::capability::Gate;
use crate::coordinator::{MAX_MULTI_BYTES, MAX_MULTI_OPS};
use crate::vital;

/// The most changes of one multi.
const MAX_BATCH: usize = 64;
/// How many multis of a session are under way at once. While they are, batches grow.
const MAX_UNDER_WAY: usize = 8;

/// A change that is settled: whose it is, what follows from it, and how it went.
pub(super) type Settled = (Key, Under, Result<Written, Setback>);

/// Whose a change is, and who is told.
pub(super) struct Sender {
    key: Key,
    under: Under,
    tell: mpsc::UnboundedSender<Settled>,
}

type Parcel = Entry<Sender>;

/// The pipelines of a host, one for each of its sessions.
#[derive(Default)]
pub struct Pipelines(Mutex<HashMap<i64, mpsc::WeakUnboundedSender<Parcel>>>);

impl Pipelines {
    /// The way to the coordinator for one term, and where it hears how its changes went.
    pub(super) fn open(&self, gate: &Arc<Gate>, handle: &Handle) -> (Pipeline, mpsc::UnboundedReceiver<Settled>) {
        let (tell, told) = mpsc::unbounded_channel();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, parcels| parcels.upgrade().is_some());
        let session = gate.session().id();
        let parcels = open.get(&session).and_then(mpsc::WeakUnboundedSender::upgrade).unwrap_or_else(|| {
            let (parcels, taken) = mpsc::unbounded_channel();
            open.insert(session, parcels.downgrade());
            handle.spawn(carry(taken));
            parcels
        });
        (Pipeline { gate: gate.clone(), parcels, tell }, told)
    }
}

/// One term's way to the coordinator.
pub(super) struct Pipeline {
    gate: Arc<Gate>,
    parcels: mpsc::UnboundedSender<Parcel>,
    tell: mpsc::UnboundedSender<Settled>,
}

impl Pipeline {
    /// Sends a change on its way.
    pub(super) fn push(&self, key: Key, under: Under, change: Change) {
        let whose = Sender { key, under, tell: self.tell.clone() };
        // Whoever carries them does so for as long as there is a term.
        let _ = self.parcels.send(Entry::new(whose, self.gate.clone(), change));
    }
}

/// Carries the changes of one session until no term of it is left.
async fn carry(mut parcels: mpsc::UnboundedReceiver<Parcel>) {
    let _part = vital::part("the writer of run states");
    let mut under_way = FuturesUnordered::new();
    let mut first: Option<Parcel> = None;
    loop {
        tokio::select! {
            biased;
            Some(settled) = under_way.next() => tell(settled),
            parcel = parcels.recv(), if first.is_none() && under_way.len() < MAX_UNDER_WAY => match parcel {
                Some(parcel) => first = Some(parcel),
                None => break,
            },
        }
        if under_way.len() < MAX_UNDER_WAY
            && let Some(parcel) = first.take()
        {
            let (batch, left) = batch(parcel, &mut parcels);
            first = left;
            under_way.push(commit(batch));
        }
    }
    while let Some(settled) = under_way.next().await {
        tell(settled);
    }
}

/// As many as fit with the first one, of those that are there; and one that doesn't.
fn batch(first: Parcel, parcels: &mut mpsc::UnboundedReceiver<Parcel>) -> (Vec<Parcel>, Option<Parcel>) {
    let (mut ops, mut bytes) = (first.ops(), first.bytes());
    let mut batch = vec![first];
    while batch.len() < MAX_BATCH {
        let Ok(parcel) = parcels.try_recv() else { break };
        ops += parcel.ops();
        bytes += parcel.bytes();
        // One that is too large for any multi goes alone, and is refused by name.
        if ops > MAX_MULTI_OPS || bytes > MAX_MULTI_BYTES {
            return (batch, Some(parcel));
        }
        batch.push(parcel);
    }
    (batch, None)
}

fn tell(settled: super::commit::Settled<Sender>) {
    for (Sender { key, under, tell }, result) in settled {
        // A term that ended early needs to hear nothing.
        let _ = tell.send((key, under, result));
    }
}

//! What the coordinator keeps of a scheduled job: up to where its ticks are decided, what is under way, what waits, and the
//! newest outcomes. One node of at most [`MAX_STATE_BYTES`], so everything in it is bounded and the outcomes give way.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backfill::Backfill;
use super::stored::{self, Stored};
use super::{later, millis};
use crate::history::{Outcome, RING, RunRecord, cut};

/// The most bytes of the node's value.
pub const MAX_STATE_BYTES: usize = 1024;
/// How much of an outcome's detail is kept here, in bytes.
const DETAIL_BYTES: usize = 60;
/// The longest detail of a pause, in bytes.
const PAUSE_BYTES: usize = 26;

/// A scheduled job's run state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct JobState {
    /// Every tick up to here was begun, skipped, or waits in the queue: none of them is decided again.
    pub cursor: Option<Timestamp>,
    /// The first tick after the cursor, by the schedule as it was when the cursor was moved; None where there is none. Should
    /// the job be changed before anybody has decided it, it is known from here that there was one.
    #[serde(skip_serializing_if = "Option::is_none", with = "jiff::fmt::serde::timestamp::second::optional")]
    pub next: Option<Timestamp>,
    /// Whose term wrote this. All that is under way is its own: a term first settles what it finds of another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The runs that were begun and are not over, oldest first; at most [`crate::registry::MAX_RUNNING`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<Active>,
    /// The ticks that wait for their turn, oldest first, at or before the cursor and after all that were begun; at most
    /// [`crate::registry::MAX_QUEUED`].
    #[serde(skip_serializing_if = "VecDeque::is_empty", serialize_with = "stored::to_seconds")]
    pub queue: VecDeque<Timestamp>,
    /// The span that is being filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Backfill>,
    /// How many runs in a row failed for good.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// Paused by itself, until the job is changed or resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// The time of the job's last change, if it is settled by more than what its time says: because that was yet to come then, or
    /// because an operator set the cursor since.
    #[serde(skip_serializing_if = "Option::is_none", with = "jiff::fmt::serde::timestamp::millisecond::optional")]
    pub settled: Option<Timestamp>,
    /// The last outcomes, newest first: as many as there is room for.
    pub outcomes: VecDeque<Kept>,
    /// How many of them, the newest, are the holder's own.
    #[serde(skip_serializing_if = "is_none_of_them")]
    pub own: usize,
}

/// Whose term wrote a run state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The host's name.
    pub host: String,
    /// Its term's fencing token.
    pub token: i64,
}

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// A tick, by its nominal time.
    Tick(#[serde(with = "jiff::fmt::serde::timestamp::second::required")] Timestamp),
    /// An order to run now: the last part of the run's id, at most 32 bytes.
    Order(String),
    /// A tick that is filled in, by its nominal time.
    Backfill(#[serde(with = "jiff::fmt::serde::timestamp::second::required")] Timestamp),
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// What it is for.
    pub of: Occasion,
    /// Which attempt: the one under way, or the one that waits for its time. From 1.
    pub attempt: u32,
    /// How far it is.
    pub phase: Phase,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The attempt was begun.
    Begun {
        /// Made anew for each attempt to begin, so that a begin whose reply was lost is recognised.
        nonce: u32,
        /// When.
        #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
        at: Timestamp,
        /// By when its end is written, whatever becomes of it.
        #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
        deadline: Timestamp,
    },
    /// The attempt waits for its time, after one that failed or was lost. Here and not in a host's memory, so that a crash
    /// in the middle of the wait changes nothing.
    Waiting {
        /// It begins no sooner.
        #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
        until: Timestamp,
    },
}

/// Why a job paused itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// When.
    pub at: Timestamp,
    /// For people.
    pub why: String,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it was for.
    pub of: Occasion,
    /// From 1.
    pub attempt: u32,
    /// How.
    pub outcome: Outcome,
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub ended: Timestamp,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub took_ms: u32,
    /// Why, cut.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl JobState {
    /// Reads the node's value, also one that was written before policies were.
    ///
    /// # Errors
    /// Where it is not what [`JobState::to_bytes`] writes or wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        if bytes.is_empty() { Ok(JobState::default()) } else { serde_json::from_slice(bytes) }
    }

    /// The node's value, as it is.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a run state is plain data")
    }

    /// The run that this begin began.
    pub fn begun(&self, nonce: u32) -> Option<&Active> {
        self.active.iter().find(|active| active.nonce() == Some(nonce))
    }

    /// Puts an outcome into the ring, as its newest; the oldest give way where there is no room.
    pub(super) fn push(&mut self, mut kept: Kept) {
        cut(&mut kept.detail, DETAIL_BYTES);
        self.outcomes.push_front(kept);
        self.outcomes.truncate(RING);
        self.own = (self.own + 1).min(RING);
    }

    /// What follows is this term's.
    pub(super) fn written_by(&mut self, holder: &Holder) {
        if self.holder.as_ref() != Some(holder) {
            self.holder = Some(holder.clone());
            self.own = 0;
        }
    }

    pub(super) fn pause(&mut self, at: Timestamp, mut why: String) {
        cut(&mut why, PAUSE_BYTES);
        self.paused = Some(Paused { at, why });
    }

    /// Ready to be written, with the node's value: within [`MAX_STATE_BYTES`].
    pub(super) fn fit(mut self) -> (Self, Vec<u8>) {
        loop {
            let bytes = self.to_bytes();
            if bytes.len() <= MAX_STATE_BYTES || self.outcomes.pop_back().is_none() {
                return (self, bytes);
            }
            self.own = self.own.min(self.outcomes.len());
        }
    }
}

impl Occasion {
    /// The nominal time, where it has one.
    pub fn tick(&self) -> Option<Timestamp> {
        match self {
            Occasion::Tick(tick) | Occasion::Backfill(tick) => Some(*tick),
            Occasion::Order(_) => None,
        }
    }

    /// The last part of the run's id.
    pub fn name(&self) -> String {
        match self {
            Occasion::Tick(tick) => tick.to_string(),
            Occasion::Order(name) => name.clone(),
            Occasion::Backfill(tick) => format!("backfill-{tick}"),
        }
    }
}

impl Active {
    /// What its begin was marked with; None while it waits.
    pub fn nonce(&self) -> Option<u32> {
        match self.phase {
            Phase::Begun { nonce, .. } => Some(nonce),
            Phase::Waiting { .. } => None,
        }
    }
}

impl Kept {
    /// What a whole record says of an attempt that is over.
    pub(super) fn of_record(record: RunRecord) -> Option<Self> {
        let ended = record.ended?;
        let name = record.run.rsplit('/').next().unwrap_or_default().to_owned();
        Some(Kept {
            of: record.tick.map_or(Occasion::Order(name), Occasion::Tick),
            attempt: record.attempt,
            outcome: record.outcome?,
            ended,
            took_ms: span_ms(record.started, ended),
            detail: record.detail,
        })
    }

    /// When it began.
    pub fn began(&self) -> Timestamp {
        later(self.ended, -millis(u64::from(self.took_ms)))
    }
}

/// From one time until another, in whole milliseconds; 0 where that is in the past.
pub(super) fn span_ms(from: Timestamp, until: Timestamp) -> u32 {
    u32::try_from(until.duration_since(from).as_millis().max(0)).unwrap_or(u32::MAX)
}

fn is_none_of_them(count: &usize) -> bool {
    *count == 0
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

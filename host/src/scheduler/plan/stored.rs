//! The forms that a run state has been stored in. The first knew one run and no queue, and kept whole records.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::backfill::Backfill;
use super::state::{Active, Holder, JobState, Kept, Occasion, Paused, Phase};
use crate::history::{RING, RunRecord, Running};

/// What either form may have.
#[derive(Deserialize)]
pub(super) struct Stored {
    #[serde(default)]
    cursor: Option<Timestamp>,
    #[serde(default, with = "jiff::fmt::serde::timestamp::second::optional")]
    next: Option<Timestamp>,
    #[serde(default)]
    holder: Option<Holder>,
    #[serde(default)]
    active: Vec<Active>,
    #[serde(default)]
    queue: Vec<i64>,
    #[serde(default)]
    backfill: Option<Backfill>,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    paused: Option<Paused>,
    #[serde(default, with = "jiff::fmt::serde::timestamp::millisecond::optional")]
    settled: Option<Timestamp>,
    #[serde(default)]
    outcomes: VecDeque<serde_json::Value>,
    #[serde(default)]
    own: usize,
    /// Of the first form.
    #[serde(default)]
    running: Option<Running>,
}

impl From<Stored> for JobState {
    fn from(stored: Stored) -> Self {
        let mut state = JobState {
            cursor: stored.cursor,
            next: stored.next,
            holder: stored.holder,
            active: stored.active,
            queue: from_seconds(&stored.queue),
            backfill: stored.backfill,
            failures: stored.failures,
            paused: stored.paused,
            settled: stored.settled,
            // An outcome is for people: one that can't be read is no reason to lose the cursor.
            outcomes: stored.outcomes.into_iter().filter_map(outcome).collect(),
            own: stored.own,
        };
        state.outcomes.truncate(RING);
        state.own = state.own.min(state.outcomes.len());
        for Kept { detail, .. } in &mut state.outcomes {
            crate::history::cut(detail, crate::history::RING_DETAIL_BYTES);
        }
        if let Some(running) = stored.running {
            state.take_in(running);
        }
        state
    }
}

/// Whole records are of the first form.
fn outcome(value: serde_json::Value) -> Option<Kept> {
    match Kept::deserialize(&value) {
        Ok(kept) => Some(kept),
        Err(_) => RunRecord::deserialize(&value).ok().and_then(Kept::of_record),
    }
}

impl JobState {
    /// Nobody has this one under way: whoever began it wrote the first form.
    fn take_in(&mut self, running: Running) {
        let record = running.record;
        let name = record.run.rsplit('/').next().unwrap_or_default().to_owned();
        self.holder = Some(Holder { host: record.host, token: record.token });
        self.active.push(Active {
            of: record.tick.map_or(Occasion::Order(name), Occasion::Tick),
            attempt: record.attempt,
            phase: Phase::Begun { nonce: 0, at: record.started, deadline: record.started },
        });
    }
}

/// The first tick in seconds since 1970, then each one's distance from the one before: ticks are whole seconds, and short so.
pub(super) fn to_seconds<S: Serializer>(ticks: &VecDeque<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut before = 0;
    let distance = |tick: &Timestamp| tick.as_second() - std::mem::replace(&mut before, tick.as_second());
    let distances: Vec<i64> = ticks.iter().map(distance).collect();
    distances.serialize(serializer)
}

fn from_seconds(distances: &[i64]) -> VecDeque<Timestamp> {
    let mut second = 0_i64;
    let tick = |distance: &i64| {
        second = second.saturating_add(*distance);
        Timestamp::from_second(second).ok()
    };
    distances.iter().filter_map(tick).collect()
}

//! What the coordinator keeps of a job's runs: the one small node that decides, after any crash, what was begun and what
//! was finished. Whole records and logs are elsewhere.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{Outcome, RunRecord};
use crate::text::{clean_lines, is_harmful};

/// How many outcomes the ring keeps.
pub const RING: usize = 8;
/// How much of a record's detail the ring keeps, in bytes.
pub const RING_DETAIL_BYTES: usize = 120;

/// A job's tick state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// The last tick that was begun or skipped; no tick at or before it is ever begun. None for a leader job.
    #[serde(default)]
    pub cursor: Option<Timestamp>,
    /// The run that was begun and not finished.
    #[serde(default)]
    pub running: Option<Running>,
    /// The last outcomes, newest first.
    #[serde(default)]
    pub outcomes: VecDeque<RunRecord>,
}

/// A run that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its record as it was begun, without an end.
    #[serde(flatten)]
    pub record: RunRecord,
    /// Made anew for each attempt to begin, so that a begin whose reply was lost is recognised.
    pub nonce: String,
}

impl RunState {
    /// Reads the node's value.
    ///
    /// # Errors
    /// Where it is not what [`RunState::to_bytes`] writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        if bytes.is_empty() { Ok(RunState::default()) } else { serde_json::from_slice(bytes) }
    }

    /// The node's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a run state is plain data")
    }

    /// Puts an outcome into the ring, as its newest.
    pub fn push(&mut self, mut record: RunRecord) {
        cut(&mut record.detail, RING_DETAIL_BYTES);
        record.usage = None;
        self.outcomes.push_front(record);
        self.outcomes.truncate(RING);
    }

    /// Takes a run away that was begun and that nobody will say the end of: it goes into the ring as unknown. Whether that
    /// is so, the caller knows.
    pub fn take_abandoned(&mut self, now: Timestamp) {
        let Some(Running { mut record, .. }) = self.running.take() else { return };
        record.ended = Some(now);
        record.outcome = Some(Outcome::Unknown);
        record.detail = format!("host `{}` began it and did not say how it ended", record.host);
        self.push(record);
    }
}

/// Cuts a text that is stored for people to at most `bytes`, and makes it harmless.
pub fn cut(text: &mut String, bytes: usize) {
    if text.contains(is_harmful) {
        *text = clean_lines(text, usize::MAX);
    }
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(run: &str, token: i64) -> RunRecord {
        RunRecord {
            run: run.to_owned(),
            attempt: 1,
            tick: None,
            host: "a".to_owned(),
            token,
            started: Timestamp::UNIX_EPOCH,
            ended: None,
            outcome: None,
            detail: "x".repeat(500),
            usage: None,
        }
    }

    #[test]
    fn the_ring_keeps_the_newest_and_stays_small() {
        let mut state = RunState::default();
        for run in 0..20 {
            state.push(record(&format!("t/j/{run}"), 1));
        }
        assert_eq!(state.outcomes.len(), RING);
        assert_eq!(state.outcomes[0].run, "t/j/19");
        assert!(state.to_bytes().len() < 4096, "{}", state.to_bytes().len());
        assert_eq!(RunState::from_bytes(&state.to_bytes()).unwrap(), state);
    }

    #[test]
    fn a_run_that_was_abandoned_is_unknown_once() {
        let running = Running { record: record("t/j/1", 7), nonce: "n".to_owned() };
        let mut state = RunState { running: Some(running), ..RunState::default() };
        state.take_abandoned(Timestamp::UNIX_EPOCH);
        let once = state.clone();
        assert_eq!((once.running, once.outcomes[0].run.as_str()), (None, "t/j/1"));
        assert_eq!(once.outcomes[0].outcome, Some(Outcome::Unknown));
        state.take_abandoned(Timestamp::UNIX_EPOCH);
        assert_eq!(state.outcomes, once.outcomes);
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let mut text = "äöü".to_owned();
        cut(&mut text, 3);
        assert_eq!(text, "ä…");
    }

    #[test]
    fn s10_what_is_stored_for_people_is_harmless_and_keeps_its_lines() {
        let mut text = "panicked:\n\tat \u{1b}[2J\u{9b}\u{202e}lib.rs".to_owned();
        cut(&mut text, 100);
        assert_eq!(text, "panicked:\n\tat \u{fffd}[2J\u{fffd}\u{fffd}lib.rs");
        cut(&mut text, 12);
        assert_eq!(text, "panicked:\n\ta…");
    }
}

//! What the store has of a run: its record and, where it said little, what it said.

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::record::{PlacedLine, RunRecord};
use crate::registry::JobId;

/// Parts a line of the journal: no name has it, and JSON only as an escape.
const TAB: u8 = b'\t';

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// How many runs of the job are kept, of those that the same host wrote.
    pub(super) keep: usize,
    pub(super) run: RunRecord,
    /// A longer log has objects of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lines: Vec<PlacedLine>,
}

impl Entry {
    pub(super) fn new(run: RunRecord, keep: usize) -> Self {
        Entry { keep: keep.max(1), run, lines: Vec::new() }
    }

    /// What the attempt is known by; names sort by age.
    pub(super) fn name(&self) -> String {
        name(&self.run)
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record has string keys only, which is all that JSON asks")
    }

    /// As a line of the journal, which has those of all jobs.
    pub(super) fn to_line(&self, job: &JobId) -> String {
        format!("{job}{}{}\n", char::from(TAB), self.to_json())
    }
}

/// A run's name in the store, beginning with its start in milliseconds.
pub(super) fn name(record: &RunRecord) -> String {
    let nominal = record.run.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let nominal: String = nominal.chars().take(64).map(plain).collect();
    format!("{:015}-{nominal}-{}", record.started.as_millisecond().max(0), record.attempt)
}

/// The lines of a text that are not empty.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// Returns the jobs and the entries of a journal's segment. Lines that are cut off are logged and left out.
pub(super) fn of_segment<'a>(segment: &Path, text: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    lines(text).filter_map(move |line| {
        let split = split(line);
        if split.is_none() {
            tracing::warn!(%segment, "a line of the history is no record and is left out: the file is damaged");
        }
        split
    })
}

/// The job of a journal's line, and its entry.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let tab = line.iter().position(|byte| *byte == TAB)?;
    Some((&line[..tab], &line[tab + 1..]))
}

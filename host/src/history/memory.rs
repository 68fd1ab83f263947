//! This host's newest log lines of all jobs, in order, for those who follow them live.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::record::{LogLine, PlacedLine};
use crate::clock::Clock;
use crate::registry::JobId;

/// How much is held, in bytes over all jobs.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// What a text takes more than its length, at the most, by how allocators round.
const TEXT_BYTES: usize = 16;

pub(super) struct Memory {
    host: String,
    clock: Arc<dyn Clock>,
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

type JobsLine = (Arc<JobId>, PlacedLine);

struct Ring {
    lines: VecDeque<JobsLine>,
    bytes: usize,
    /// Every line stamped later is here.
    floor: u64,
    last: u64,
}

/// The lines of a job that are in memory.
pub(super) struct Recent {
    pub(super) lines: Vec<PlacedLine>,
    /// True when no other line can match.
    pub(super) complete: bool,
}

pub(super) fn stamp_at(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

/// Returns the memory that a placed line takes, in bytes.
pub(super) fn cost(PlacedLine { host, line, .. }: &PlacedLine) -> usize {
    cost_on(host, line)
}

/// Returns the memory that a line of this host takes, in bytes: its texts and what holds them, so that an empty line isn't free.
fn cost_on(host: &str, line: &LogLine) -> usize {
    let texts = [host, &line.run, &line.context, &line.message];
    size_of::<JobsLine>() + texts.iter().map(|text| text.len() + TEXT_BYTES).sum::<usize>()
}

impl Memory {
    pub(super) fn new(host: &str, clock: Arc<dyn Clock>) -> Self {
        let now = stamp_at(clock.wall());
        let ring = Ring { lines: VecDeque::new(), bytes: 0, floor: now, last: now };
        Memory { host: host.to_owned(), clock, ring: Mutex::new(ring), newest: watch::channel(now).0 }
    }

    /// Returns the memory that a line takes once it has its place, in bytes.
    pub(super) fn cost(&self, line: &LogLine) -> usize {
        cost_on(&self.host, line)
    }

    /// Gives a line its place.
    pub(super) fn push(&self, job: &Arc<JobId>, line: LogLine) -> PlacedLine {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp_at(self.clock.wall()).max(ring.last + 1);
        let line = PlacedLine { host: self.host.clone(), stamp, line };
        ring.last = stamp;
        ring.bytes += cost(&line);
        ring.lines.push_back((job.clone(), line.clone()));
        while ring.bytes > MAX_BYTES
            && let Some((_, oldest)) = ring.lines.pop_front()
        {
            ring.bytes -= cost(&oldest);
            ring.floor = oldest.stamp;
        }
        drop(ring);
        self.newest.send_replace(stamp);
        line
    }

    pub(super) fn lines(&self, job: &JobId, after: Option<u64>) -> Recent {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(0, |after| ring.lines.partition_point(|(_, line)| line.stamp <= after));
        let lines = ring.lines.range(from..).filter(|(of, _)| **of == *job).map(|(_, line)| line.clone()).collect();
        Recent { lines, complete: after.is_some_and(|after| after >= ring.floor) }
    }

    pub(super) async fn line_after(&self, job: &JobId, after: u64) {
        let mut newest = self.newest.subscribe();
        let mut seen = after;
        // The sender lives as long as `self`, so the wait ends with a line only.
        while let Ok(now) = newest.wait_for(|newest| *newest > seen).await.map(|newest| *newest) {
            if !self.lines(job, Some(seen)).lines.is_empty() {
                return;
            }
            seen = now;
        }
    }
}

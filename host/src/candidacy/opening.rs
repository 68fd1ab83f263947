//! How a term of a job with a lock delay opens: its guest starts once the term's own beginning is durable, and no earlier than
//! the lock delay after the grant where the term before had no clean end.
//!
//! The beginning is written after the wait, never before: a leader that dies or gives up while it waits leaves the run state
//! as it found it, and the next one waits as long again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::term_book::{Begun, TermBook};
use crate::capability::{Gate, GateState};
use crate::clock::Clock;
use crate::coordinator::Error;
use crate::history::RunRecord;

/// A term whose guest may start.
pub(super) struct Opened {
    pub record: RunRecord,
    pub begun: Begun,
    /// That it waited and why, for the run's record.
    pub waited: Option<String>,
}

/// Why a guest is not started.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotStarted {
    /// It was to stop before it began.
    Stopped {
        /// What was waited for.
        detail: String,
    },
    /// The run state can't be read or written.
    Unwritten,
    /// Its term ended before it began.
    Ended,
}

/// Opens a term that was granted at `granted` on the boot clock. `record` makes the run's record when the guest may start.
pub(super) async fn open(
    book: &TermBook<'_>,
    gate: &Arc<Gate>,
    clock: &Arc<dyn Clock>,
    granted: Duration,
    lock_delay: Duration,
    record: impl FnOnce() -> RunRecord,
) -> Result<Opened, NotStarted> {
    let unclean = match unless_over(gate, book.unclean_end(gate)).await? {
        Ok(unclean) => unclean,
        Err(Error::Lost) => return Err(stopped("its session was lost before the run state was read")),
        Err(_) => return Err(NotStarted::Unwritten),
    };
    let mut waited = None;
    if let Some(why) = unclean {
        let (job, delay_ms) = (book.job, lock_delay.as_millis());
        info!(%job, token = gate.token(), delay_ms, why, "waits for the lock delay before the guest starts");
        if !sit_out(gate, clock, granted.saturating_add(lock_delay)).await {
            return Err(stopped(format!("it waited for the lock delay of {delay_ms} ms, since {why}")));
        }
        waited = Some(format!("started after the lock delay of {delay_ms} ms, since {why}"));
    }
    let record = record();
    match unless_over(gate, book.write_beginning(gate, &record)).await? {
        Some(begun) => Ok(Opened { record, begun, waited }),
        None => Err(NotStarted::Unwritten),
    }
}

fn stopped(detail: impl Into<String>) -> NotStarted {
    NotStarted::Stopped { detail: detail.into() }
}

/// Waits until `until` on the boot clock. False where the guests are asked to stop meanwhile, or the term is over.
async fn sit_out(gate: &Gate, clock: &Arc<dyn Clock>, until: Duration) -> bool {
    let mut asked = gate.stop_asked();
    tokio::select! {
        biased;
        _ = asked.wait_for(|asked| *asked) => false,
        () = tokio::time::sleep(until.saturating_sub(clock.boot())) => !gate.is_over(),
    }
}

/// What is asked of the coordinator may wait for a connection longer than the term lasts.
async fn unless_over<T>(gate: &Gate, asked: impl Future<Output = T>) -> Result<T, NotStarted> {
    let mut state = gate.state();
    tokio::select! {
        biased;
        _ = state.wait_for(|state| *state == GateState::Over) => Err(stopped("the run state was not read and written in time")),
        answer = asked => Ok(answer),
    }
}

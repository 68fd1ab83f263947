//! What a clock that was ahead for a while leaves in a run state, and how an operator mends it.

use jiff::{SignedDuration, Timestamp};

use super::admit::Draft;
use super::state::{JobState, Phase};
use super::{Changed, Decision, Rules, Term, later, millis};

/// By how much a time may be ahead of this host's clock without a word: more than clocks of hosts that may lead differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(10);

/// What a job waits for because a clock was ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Its ticks are decided up to then: none runs before.
    Cursor(Timestamp),
    /// It paused itself then: a resume before that is none.
    Paused(Timestamp),
    /// An attempt that failed is made again then, which is later than the job's own longest wait.
    Retry(Timestamp),
}

impl Ahead {
    /// Returns the time that is yet to come.
    pub fn until(&self) -> Timestamp {
        match self {
            Ahead::Cursor(until) | Ahead::Paused(until) | Ahead::Retry(until) => *until,
        }
    }
}

/// Whether a time that is in the past by the clock that it comes from is yet to come by this one, and not only by as much as
/// clocks differ.
pub(super) fn is_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now) > CLOCKS_DIFFER
}

/// Returns what of the state is ahead of the clock, if anything.
pub fn ahead(state: &JobState, rules: &Rules<'_>, now: Timestamp) -> Option<Ahead> {
    let longest =
        rules.policies.retry.map_or(SignedDuration::ZERO, |retry| millis(retry.max_ms.saturating_add(retry.jitter_ms)));
    let cursor = state.cursor.map(Ahead::Cursor);
    let paused = state.paused.as_ref().map(|paused| Ahead::Paused(paused.at));
    let retries = state.active.iter().filter_map(|active| match active.phase {
        Phase::Waiting { until } if is_ahead(until, later(now, longest)) => Some(Ahead::Retry(until)),
        Phase::Waiting { .. } | Phase::Begun { .. } => None,
    });
    cursor.into_iter().chain(paused).chain(retries).find(|ahead| is_ahead(ahead.until(), now))
}

/// Counts the ticks up to `to` as decided and those after it as not, as an operator asks for. What waits in the queue goes on
/// waiting only if it is not after `to`: a later tick comes again by the schedule. Nothing waits for a time that is yet to come
/// any more: retries are made now, and a job that paused itself by a clock that was ahead goes on.
///
/// `change` is the job's last one, which is settled. It isn't settled again, because that would undo this.
pub fn cursor_set(
    state: &JobState,
    rules: &Rules<'_>,
    term: &Term,
    change: Changed,
    to: Timestamp,
    now: Timestamp,
) -> Decision {
    let mut draft = Draft::of(state, rules, term, now);
    let cursor = rules.schedule.cursor_at(to);
    draft.state.settled = Some(change.name());
    draft.state.queue.retain(|tick| *tick <= cursor);
    for active in &mut draft.state.active {
        if let Phase::Waiting { until } = &mut active.phase {
            *until = (*until).min(now);
        }
    }
    if draft.state.paused.take_if(|paused| is_ahead(paused.at, now)).is_some() {
        draft.state.failures = 0;
    }
    draft.state.cursor = Some(cursor);
    draft.state.next = rules.schedule.next_after(cursor);
    draft.decide(None)
}

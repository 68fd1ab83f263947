//! Whether this host's wall clock agrees with the ensemble's, as far as its heartbeats tell. Ticks are times on the wall: a
//! host whose clock is wrong would run them early or late (quartz#463, quartz#548), so it leads no group meanwhile.
//!
//! The ensemble's leader stamps each heartbeat with its own time while the heartbeat is under way. So with the wall clock
//! read before, and the time that the answer took, the offset lies between *before - stamp* and *before + taken - stamp*.
//! It doesn't know what follows from it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::heartbeat::{Presence, PresenceValue};

/// How many answers are remembered, and for how long: a clock that runs wrong by a hundredth moves by 300 ms meanwhile.
const REMEMBERED: usize = 8;
const RECENT: Duration = Duration::from_secs(30);
/// The stamp has whole milliseconds, the rest is cut.
const STAMP: SignedDuration = SignedDuration::from_millis(1);

/// What a heartbeat told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The wall clock just before it was sent.
    pub wall: Timestamp,
    /// The boot clock then.
    pub sent: Duration,
    /// The boot clock when the answer was there.
    pub received: Duration,
    /// The ensemble's stamp, in milliseconds since 1970.
    pub stamp_ms: i64,
}

/// How the clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    /// No answer was quick enough yet to tell.
    Unknown,
    /// Within the bound.
    Right,
    /// Beyond the bound, and not yet back within half of it.
    Wrong,
}

/// By how much the clock is ahead of the ensemble's: surely between these two. Behind, where they are negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset {
    least: SignedDuration,
    most: SignedDuration,
}

/// The check of one host's clock, told by the heartbeats of all its sessions.
pub struct ClockCheck {
    /// Beyond it the clock is wrong.
    bound: SignedDuration,
    recent: Mutex<VecDeque<(Duration, Offset)>>,
    state: watch::Sender<ClockState>,
    /// Whether it was said that an answer told nothing.
    slow: Once,
}

impl ClockCheck {
    /// A check with this bound; nothing is known yet.
    pub fn new(bound: Duration) -> Self {
        let bound = SignedDuration::try_from(bound).unwrap_or(SignedDuration::MAX);
        ClockCheck {
            bound,
            recent: Mutex::default(),
            state: watch::Sender::new(ClockState::Unknown),
            slow: Once::new(),
        }
    }

    /// How the clock does now.
    pub fn state(&self) -> ClockState {
        *self.state.borrow()
    }

    /// Follows how the clock does.
    pub fn follow(&self) -> watch::Receiver<ClockState> {
        self.state.subscribe()
    }

    /// By how much the clock is ahead of the ensemble's, in milliseconds, as well as it is known; negative where it is behind.
    pub fn offset_ms(&self) -> Option<i64> {
        let best = best(&self.recent())?;
        Some((best.least + (best.most - best.least) / 2).as_millis() as i64)
    }

    /// A presence with this value, whose heartbeats tell of the clock.
    pub fn told_by(self: &Arc<Self>, value: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> PresenceValue {
        Arc::new(Telling { value, check: self.clone() })
    }

    /// A heartbeat was answered.
    fn hear(&self, answer: Answer) {
        // One that took longer than the bound tells nothing that matters.
        let quick = |offset: &Offset| offset.most - offset.least <= self.bound.saturating_add(STAMP);
        let Some(offset) = Offset::of(answer).filter(quick) else {
            self.slow.call_once(|| {
                let (took_ms, bound_ms) =
                    (answer.received.saturating_sub(answer.sent).as_millis(), self.bound.as_millis());
                warn!(
                    took_ms,
                    bound_ms, "a heartbeat took longer than clocks may differ: it tells nothing of this host's clock"
                );
            });
            return;
        };
        let mut recent = self.recent();
        recent.retain(|(heard, _)| answer.received.saturating_sub(*heard) <= RECENT);
        recent.push_front((answer.received, offset));
        recent.truncate(REMEMBERED);
        // The newest counts: what doesn't agree with it is from before the clock was set.
        if let Some(stale) = recent.iter().position(|(_, other)| offset.and(*other).is_none()) {
            recent.truncate(stale);
        }
        let best = best(&recent).unwrap_or(offset);
        drop(recent);
        self.judge(best);
    }

    fn judge(&self, offset: Offset) {
        let (before, now) = (self.state(), offset.judged(self.bound, self.state()));
        if now == before {
            return;
        }
        let (bound_ms, offset_ms) = (self.bound.as_millis(), self.offset_ms());
        match now {
            ClockState::Wrong => error!(
                offset_ms,
                bound_ms,
                "this host's clock and the ensemble's differ by more than the bound: it leads no groups until they agree"
            ),
            ClockState::Right if before == ClockState::Wrong => {
                info!(offset_ms, bound_ms, "this host's clock and the ensemble's agree again");
            }
            ClockState::Right | ClockState::Unknown => {}
        }
        self.state.send_replace(now);
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<(Duration, Offset)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Telling<F> {
    value: F,
    check: Arc<ClockCheck>,
}

impl<F: Fn() -> Vec<u8> + Send + Sync> Presence for Telling<F> {
    fn value(&self) -> Vec<u8> {
        (self.value)()
    }

    fn hear(&self, answer: Answer) {
        self.check.hear(answer);
    }
}

/// What all that agree with the newest say together.
fn best(recent: &VecDeque<(Duration, Offset)>) -> Option<Offset> {
    recent.iter().map(|(_, offset)| *offset).reduce(|all, other| all.and(other).unwrap_or(all))
}

impl Offset {
    /// None for what can't be: an answer before its question, or a stamp that is no time.
    fn of(answer: Answer) -> Option<Self> {
        let stamp = Timestamp::from_millisecond(answer.stamp_ms).ok()?;
        let taken = SignedDuration::try_from(answer.received.checked_sub(answer.sent)?).ok()?;
        let least = answer.wall.duration_since(stamp);
        Some(Offset { least: least - STAMP, most: least + taken })
    }

    /// Where both hold; None where they can't.
    fn and(self, other: Offset) -> Option<Offset> {
        let both = Offset { least: self.least.max(other.least), most: self.most.min(other.most) };
        (both.least <= both.most).then_some(both)
    }

    /// Wrong where it is surely beyond the bound. From there back only where it is surely within half of it, so that a clock
    /// at the bound doesn't make the host come and go.
    fn judged(self, bound: SignedDuration, before: ClockState) -> ClockState {
        if self.least > bound || self.most < -bound {
            return ClockState::Wrong;
        }
        let half = bound / 2;
        match before {
            ClockState::Unknown | ClockState::Right => ClockState::Right,
            ClockState::Wrong if self.least >= -half && self.most <= half => ClockState::Right,
            ClockState::Wrong => ClockState::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(2);

    /// A check, and the time of its ensemble.
    struct Place {
        check: ClockCheck,
        now_ms: u64,
    }

    impl Place {
        fn new() -> Self {
            Place { check: ClockCheck::new(BOUND), now_ms: 1_000_000 }
        }

        /// An answer a second after the last, that was under way for so long before the stamp and after it.
        fn hear(&mut self, offset_ms: i64, before_ms: u64, after_ms: u64) -> ClockState {
            self.now_ms += 1000;
            let boot = |ms: u64| Duration::from_millis(ms);
            self.check.hear(Answer {
                wall: Timestamp::from_millisecond(self.now_ms as i64 - before_ms as i64 + offset_ms).unwrap(),
                sent: boot(self.now_ms - before_ms),
                received: boot(self.now_ms + after_ms),
                stamp_ms: self.now_ms as i64,
            });
            self.check.state()
        }
    }

    #[test]
    fn nothing_is_known_before_an_answer_was_quick_enough() {
        let mut place = Place::new();
        assert_eq!((place.check.state(), place.check.offset_ms()), (ClockState::Unknown, None));
        assert_eq!(place.hear(0, 1500, 1500), ClockState::Unknown);
        assert_eq!(place.hear(0, 900, 900), ClockState::Right);
    }

    #[test]
    fn a_clock_is_wrong_beyond_the_bound_in_either_direction_and_right_at_half_of_it() {
        for sign in [1, -1] {
            let mut place = Place::new();
            assert_eq!(place.hear(sign * 1900, 2, 2), ClockState::Right);
            assert_eq!(place.hear(sign * 2100, 2, 2), ClockState::Wrong);
            assert!((place.check.offset_ms().unwrap() - sign * 2100).abs() <= 2, "{:?}", place.check.offset_ms());
            assert_eq!(place.hear(sign * 1500, 2, 2), ClockState::Wrong, "within the bound, but not by half");
            assert_eq!(place.hear(sign * 900, 2, 2), ClockState::Right);
            assert_eq!(place.hear(sign * 1900, 2, 2), ClockState::Right);
        }
    }

    #[test]
    fn a_clock_that_is_wrong_from_the_start_is_never_right() {
        assert_eq!(Place::new().hear(5000, 1, 1), ClockState::Wrong);
        assert_eq!(Place::new().hear(-5000, 1, 1), ClockState::Wrong);
    }

    #[test]
    fn a_slow_answer_alone_proves_nothing_wrong_and_nothing_right() {
        for (before, after) in [(900, 0), (0, 900)] {
            let mut place = Place::new();
            place.hear(0, 1, 1);
            assert_eq!(
                place.hear(2100, before, after),
                if before == 0 { ClockState::Wrong } else { ClockState::Right }
            );
        }
        let mut place = Place::new();
        place.hear(5000, 1, 1);
        assert_eq!(place.hear(0, 1, 1990), ClockState::Wrong, "it may be ahead by nearly the bound");
        assert_eq!(place.hear(0, 2500, 0), ClockState::Wrong);
        assert_eq!(place.hear(0, 1, 1), ClockState::Right);
    }

    #[test]
    fn the_best_of_the_answers_that_agree_counts_until_the_clock_is_set() {
        let mut place = Place::new();
        place.hear(300, 5, 5);
        place.hear(300, 700, 700);
        assert!((295..=305).contains(&place.check.offset_ms().unwrap()), "{:?}", place.check.offset_ms());
        place.hear(-800, 5, 5);
        assert!((-805..=-795).contains(&place.check.offset_ms().unwrap()), "{:?}", place.check.offset_ms());
    }

    #[test]
    fn what_was_heard_before_the_clock_was_set_does_not_count_when_it_is_set_back() {
        let mut place = Place::new();
        place.hear(500, 300, 300);
        place.hear(1900, 5, 5);
        place.hear(0, 300, 300);
        assert!((-5..=5).contains(&place.check.offset_ms().unwrap()), "{:?}", place.check.offset_ms());
    }

    #[test]
    fn what_was_heard_long_ago_counts_no_more() {
        let mut place = Place::new();
        place.hear(300, 5, 5);
        place.now_ms += 60_000;
        place.hear(700, 0, 1000);
        assert!((1195..=1205).contains(&place.check.offset_ms().unwrap()), "{:?}", place.check.offset_ms());
    }

    #[test]
    fn what_cannot_be_is_passed_over() {
        let check = ClockCheck::new(BOUND);
        let answer = Answer { wall: Timestamp::UNIX_EPOCH, sent: BOUND, received: Duration::ZERO, stamp_ms: 0 };
        check.hear(answer);
        check.hear(Answer { sent: Duration::ZERO, stamp_ms: i64::MAX, ..answer });
        assert_eq!(check.state(), ClockState::Unknown);
    }
}

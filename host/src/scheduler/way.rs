//! When a group is given up for the host that should lead it: at a boundary between ticks, where it costs nobody anything.
//!
//! First a moment is waited for at which nothing runs and no tick is near. A busy group may have none, so after a while nothing
//! more is begun, for a short time in which the runs under way may end. Where they don't, the schedule goes on, and it is tried
//! again later: a long run is no reason to hold up a group, and a group that is led elsewhere than it should be is no harm.

use std::time::Duration;

/// How far off the next tick has to be: longer than a handover.
pub(super) const CLEAR: Duration = Duration::from_millis(250);
/// How long such a moment is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing is begun then.
const HELD_BACK: Duration = Duration::from_secs(3);
/// How long the schedule goes on before it is tried again, the first time; twice as long each time after.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How far a group is with it. Times are on the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nobody asked.
    Kept,
    /// A quiet moment is waited for.
    Asked { until: Duration, pause: Duration },
    /// Nothing is begun.
    HeldBack { until: Duration, pause: Duration },
    /// The schedule goes on as if nobody had asked.
    Paused { until: Duration, pause: Duration },
}

impl Way {
    /// Whether way is asked for now.
    pub(super) fn asked(self, asked: bool, now: Duration) -> Self {
        match (self, asked) {
            (_, false) => Way::Kept,
            (Way::Kept, true) => Way::Asked { until: now + PATIENCE, pause: FIRST_PAUSE },
            (under_way, true) => under_way,
        }
    }

    /// What time makes of it.
    pub(super) fn at(self, now: Duration) -> Self {
        match self {
            Way::Asked { until, pause } if now >= until => Way::HeldBack { until: now + HELD_BACK, pause },
            Way::HeldBack { until, pause } if now >= until => Way::Paused { until: now + pause, pause },
            Way::Paused { until, pause } if now >= until => {
                Way::Asked { until: now + PATIENCE, pause: (pause * 2).min(LONGEST_PAUSE) }
            }
            other => other,
        }
    }

    /// How long it stays as it is, if nothing else happens. None: for ever.
    pub(super) fn lasts(self, now: Duration) -> Option<Duration> {
        match self {
            Way::Kept => None,
            Way::Asked { until, .. } | Way::HeldBack { until, .. } | Way::Paused { until, .. } => {
                Some(until.saturating_sub(now))
            }
        }
    }

    /// Whether the group is given up where nothing of it runs, and its next tick is so far off.
    pub(super) fn gives_up(self, next_tick: Duration) -> bool {
        match self {
            Way::Kept | Way::Paused { .. } => false,
            Way::Asked { .. } => next_tick >= CLEAR,
            Way::HeldBack { .. } => true,
        }
    }

    /// Whether nothing is begun.
    pub(super) fn holds_back(self) -> bool {
        matches!(self, Way::HeldBack { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);
    const FAR: Duration = Duration::from_secs(1);

    #[test]
    fn a_quiet_moment_is_taken_and_one_just_before_a_tick_is_not() {
        let asked = Way::Kept.asked(true, START);
        assert!(asked.gives_up(FAR) && !asked.gives_up(CLEAR / 2) && !asked.holds_back());
        assert!(!Way::Kept.gives_up(FAR));
        assert_eq!(asked.asked(false, START), Way::Kept, "nobody stands ready any more");
    }

    #[test]
    fn a_busy_group_is_held_back_for_a_while_and_goes_on_where_its_runs_last() {
        let asked = Way::Kept.asked(true, START);
        let held_back = asked.at(START + PATIENCE);
        assert!(held_back.holds_back() && held_back.gives_up(Duration::ZERO));
        let paused = held_back.at(START + PATIENCE + HELD_BACK);
        assert!(!paused.holds_back() && !paused.gives_up(FAR));
        assert_eq!(paused.asked(true, START + PATIENCE + HELD_BACK), paused, "asked again, it is not begun anew");
        let again = paused.at(START + PATIENCE + HELD_BACK + FIRST_PAUSE);
        assert!(again.gives_up(FAR));
        let Way::Asked { pause, .. } = again else { panic!("{again:?}") };
        assert_eq!(pause, FIRST_PAUSE * 2);
    }
}

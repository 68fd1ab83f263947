//! How long one rests before one stands again.

use std::time::Duration;

/// The shortest time between two starts of a term that succeeds, so that a function that returns at once doesn't make the
/// ensemble spin.
const MIN_TERM_GAP: Duration = Duration::from_secs(1);
/// The shortest rest after a term. The successor reads the queue meanwhile, and ZooKeeper lets a read wait while somebody's
/// write is on its way to the disk: one's own next contender, made at once, would hold the handover up by that.
const HANDOVER: Duration = Duration::from_millis(20);
/// The first back-off after a failed term; doubles with each that follows.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
/// The longest back-off.
const MAX_BACK_OFF: Duration = Duration::from_secs(60);

/// After so many failed terms in a row; the last term was granted so long ago, None where there was none.
pub(super) fn before_standing_again(failures: u32, since_grant: Option<Duration>) -> Duration {
    match (failures, since_grant) {
        (0, None) => Duration::ZERO,
        (0, Some(since_grant)) => MIN_TERM_GAP.saturating_sub(since_grant).max(HANDOVER),
        (failures, _) => FIRST_BACK_OFF.saturating_mul(2_u32.saturating_pow(failures - 1)).min(MAX_BACK_OFF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn whoever_never_led_stands_again_at_once() {
        assert_eq!(before_standing_again(0, None), Duration::ZERO);
    }

    #[test]
    fn a_short_term_is_followed_by_the_rest_of_a_second_and_a_long_one_by_a_handover() {
        assert_eq!(before_standing_again(0, Some(Duration::ZERO)), MIN_TERM_GAP);
        assert_eq!(before_standing_again(0, Some(Duration::from_millis(300))), Duration::from_millis(700));
        assert_eq!(before_standing_again(0, Some(LONG)), HANDOVER);
    }

    #[test]
    fn failures_in_a_row_back_off_twice_as_long_each_time_up_to_a_minute() {
        let back_offs = [1, 2, 3, 6, 7, u32::MAX].map(|failures| before_standing_again(failures, Some(LONG)).as_secs());
        assert_eq!(back_offs, [1, 2, 4, 32, 60, 60]);
    }
}

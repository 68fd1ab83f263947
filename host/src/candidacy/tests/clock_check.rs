//! What heartbeats tell of a wall clock.

use super::*;
use crate::candidacy::{ClockCheck, ClockState};
use crate::clock::SetClock;

/// Far from what a busy machine makes of a clock that stands still in between.
const BOUND: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn heartbeats_tell_of_a_clock_that_is_set_wrong_and_right_again() {
    let place = Place::new(Duration::from_secs(1)).await;
    let session = place.embedded.connect(HANGS).await.unwrap();
    let right = clock::system().wall();
    let clock = SetClock::at(right + HOUR);
    let check = Arc::new(ClockCheck::new(BOUND));
    let mut state = check.follow();
    assert_eq!(check.state(), ClockState::Unknown);
    let rule = LeaseRule::new(place.timeout, Duration::ZERO).unwrap();
    let value = check.told_by(|| b"here".to_vec());
    let member = Membership::join(
        session,
        rule,
        clock.clone(),
        "/zoo/hosts/a".to_owned(),
        value,
        Timeline::unkept(),
        Concern::untold(),
    )
    .await
    .unwrap();
    for (now, told, sign) in [
        (right + HOUR, ClockState::Wrong, 1),
        (right, ClockState::Right, 0),
        (right - HOUR, ClockState::Wrong, -1),
        (right, ClockState::Right, 0),
    ] {
        clock.set(now);
        soon("the verdict", state.wait_for(|state| *state == told)).await.unwrap();
        let offset_s = check.offset_ms().unwrap() / 1000;
        assert!((offset_s - sign * 3600).abs() < 60, "the clock is told to be off by {offset_s} s");
    }
    assert!(!member.lease().is_over(), "the lease knows nothing of the time on the wall");
}

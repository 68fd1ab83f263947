//! Waiting for something that another process does. There is no event to await across processes, so this polls: the only
//! place of the harness that sleeps.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(25);

/// Polls until `look` gives a value, and gives it. `look` answers with what it saw instead as long as it isn't there.
///
/// # Panics
/// When `limit` has passed: the message names `what` was awaited and what was seen last.
#[track_caller]
pub fn await_value<T, S: Debug>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, S>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) => assert!(Instant::now() < deadline, "waited {limit:?} for {what}; last seen: {seen:#?}"),
        }
        thread::sleep(PAUSE);
    }
}

/// Polls until `holds` is true of what `look` gives, and gives it.
///
/// # Panics
/// As [`await_value`].
#[track_caller]
pub fn await_that<T: Debug>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> T,
    mut holds: impl FnMut(&T) -> bool,
) -> T {
    await_value(what, limit, || {
        let seen = look();
        if holds(&seen) { Ok(seen) } else { Err(seen) }
    })
}

/// Polls until `look` can tell, and `holds` is true of what it tells, and returns that.
///
/// # Panics
/// As [`await_value`].
#[track_caller]
pub fn await_told<T: Debug, E: Debug>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, E>,
    mut holds: impl FnMut(&T) -> bool,
) -> T {
    await_value(what, limit, || match look() {
        Ok(seen) if holds(&seen) => Ok(seen),
        seen => Err(seen),
    })
}

/// Lets others work for `span`, while `check` holds throughout.
///
/// # Panics
/// As soon as it doesn't: `check` panics itself.
#[track_caller]
pub fn for_a_while(span: Duration, mut check: impl FnMut()) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        check();
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_as_soon_as_it_is_there() {
        let mut tries = 0;
        let value = await_value("the third try", Duration::from_secs(5), || {
            tries += 1;
            if tries == 3 { Ok("there") } else { Err(tries) }
        });
        assert_eq!((value, tries), ("there", 3));
    }

    #[test]
    #[should_panic(expected = "waited 60ms for a leader; last seen: [\n    \"follower\",\n]")]
    fn says_what_was_awaited_and_what_was_seen() {
        await_that("a leader", Duration::from_millis(60), || ["follower"], |seen| seen.contains(&"leader"));
    }

    #[test]
    fn an_error_is_asked_again() {
        let mut asked = 0;
        let answers = || {
            asked += 1;
            if asked < 3 { Err("busy") } else { Ok(asked) }
        };
        assert_eq!(await_told("the fourth answer", Duration::from_secs(60), answers, |answer| *answer > 3), 4);
    }

    #[test]
    fn checks_for_the_whole_while() {
        let mut checks = 0;
        for_a_while(Duration::from_millis(80), || checks += 1);
        assert!(checks > 1, "{checks}");
    }
}

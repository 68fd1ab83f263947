//! On the machine itself: the stage that the calling thread plays on.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Change, Contender, Level, StoreError, Wake};
use crate::http::{Error, Request, Response};
use crate::testing::Play;
use crate::url::Target;

thread_local! {
    static ON: RefCell<Option<Rc<RefCell<Play>>>> = const { RefCell::new(None) };
}

/// Lets this thread play on a stage until the result is dropped.
pub(crate) fn enter(play: Rc<RefCell<Play>>) -> impl Drop {
    struct Leave(Option<Rc<RefCell<Play>>>);
    impl Drop for Leave {
        fn drop(&mut self) {
            ON.set(self.0.take());
        }
    }
    Leave(ON.replace(Some(play)))
}

/// The thread's stage.
///
/// # Panics
/// Where it has none.
fn on<T>(ask: impl FnOnce(&mut Play) -> T) -> T {
    let play = ON.with_borrow(Clone::clone);
    let play =
        play.expect("only a host answers that: in a test, call it within `silverback_guest::testing::Stage::run`");
    ask(&mut play.borrow_mut())
}

/// Whether this thread has a stage.
pub(crate) fn is_there() -> bool {
    ON.with_borrow(Option::is_some)
}

pub(crate) fn config(key: &str) -> Option<String> {
    on(|play| play.config(key))
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    on(|play| Ok(play.get(key)))
}

pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), StoreError> {
    on(|play| play.write(key, Some(value.to_vec())))
}

pub(crate) fn delete(key: &str) -> Result<(), StoreError> {
    on(|play| play.write(key, None))
}

pub(crate) fn keys() -> Result<Vec<String>, StoreError> {
    on(|play| Ok(play.keys()))
}

pub(crate) fn increment(key: &str, delta: u64) -> Result<u64, StoreError> {
    on(|play| play.increment(key, delta))
}

pub(crate) fn wait_for_change(key: &str, seen: Option<u64>, timeout_ms: u64) -> Result<Change, String> {
    on(|play| Ok(play.wait_for_change(key, seen, timeout_ms)))
}

pub(crate) fn is_leader() -> bool {
    on(|play| play.is_leader())
}

pub(crate) fn token() -> u64 {
    on(|play| play.token())
}

pub(crate) fn remaining_ms() -> u64 {
    on(|play| play.remaining_ms())
}

pub(crate) fn should_stop() -> bool {
    on(|play| play.should_stop())
}

pub(crate) fn sleep(timeout_ms: u64) -> Wake {
    on(|play| play.sleep(timeout_ms))
}

pub(crate) fn contenders() -> Result<Vec<Contender>, String> {
    on(|play| Ok(play.contenders()))
}

pub(crate) fn log(level: Level, context: &str, message: &str) {
    on(|play| play.log(level, context, message));
}

pub(crate) fn send(request: Request, _: Target) -> Result<Response, Error> {
    // The answer may look at the stage itself.
    let mut answer = on(Play::sending)?;
    let answered = answer(&request);
    on(|play| play.sent(request, answer));
    answered
}

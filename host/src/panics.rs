//! Catches panics of libraries that were given damaged input, and remembers the message of the latest panic of a thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// How many calls of [`catch`] this thread is inside of.
    static CATCHING: Cell<u32> = const { Cell::new(0) };
    static LATEST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`, and returns the message of the panic if it panics. Nothing is printed then: the caller reports it.
///
/// # Errors
/// The panic's message, with the place in the source.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    CATCHING.set(CATCHING.get() + 1);
    let caught = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(CATCHING.get() - 1);
    caught.map_err(|payload| latest().unwrap_or_else(|| message(payload.as_ref())))
}

/// Returns the message of the latest panic of this thread, with its place in the source, if there was one since
/// [`install_hook`] was first called.
pub fn latest() -> Option<String> {
    LATEST.with_borrow(Clone::clone)
}

/// Makes panics remember their messages. Calls after the first one do nothing.
pub fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            LATEST.set(Some(with_place(info)));
            if CATCHING.get() == 0 {
                print(info);
            }
        }));
    });
}

fn with_place(info: &PanicHookInfo<'_>) -> String {
    let message = message(info.payload());
    info.location().map_or_else(|| message.clone(), |place| format!("{message} ({place})"))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_is_caught_gives_its_message_and_its_place() {
        assert_eq!(catch(|| 7), Ok(7));
        let error = catch(|| -> () { panic!("page {} is no page", 3) }).unwrap_err();
        assert!(error.starts_with("page 3 is no page (") && error.contains("panics.rs:"), "{error}");
        assert_eq!(CATCHING.get(), 0);
    }
}

//! Where a host call is made: on its guest's stack, or on another.
//!
//! A guest's stack keeps each page that was ever touched of it for as long as the guest is there: in a leader job that may be
//! months. The other one is its thread's, made once and used for all: to map one for each call would let a guest that calls without
//! end hold the process's lock of mappings, for which whoever needs memory waits.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use corosensei::on_stack;
use corosensei::stack::DefaultStack;
use futures::future::BoxFuture;

/// Of another stack: what isn't touched of it is never taken.
const STACK_BYTES: usize = 256 * 1024;

thread_local! {
    /// The thread's other stack, while nobody is on it.
    static OTHER: Cell<Option<DefaultStack>> = const { Cell::new(None) };
}

/// Where the calls of one run are made that may go deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stack {
    /// On the guest's own: a scheduled run's.
    Guests,
    /// On one that is another's when the call returns or waits: a term's, which lasts.
    Other,
}

impl Stack {
    /// What a call that doesn't wait gives.
    pub(super) fn call<T>(self, call: impl FnOnce() -> T) -> T {
        match self {
            Stack::Guests => call(),
            Stack::Other => elsewhere(call),
        }
    }

    /// What a call that may wait gives.
    pub(super) fn wait<'a, F: Future + Send + 'a>(self, call: impl FnOnce() -> F) -> Wait<'a, F::Output> {
        Wait { stack: self, call: self.call(|| boxed(call)) }
    }
}

/// On the thread's other stack; on this one where there is no memory for another.
fn elsewhere<T>(call: impl FnOnce() -> T) -> T {
    let Some(mut stack) = OTHER.take().or_else(|| DefaultStack::new(STACK_BYTES).ok()) else { return call() };
    let done = on_stack(&mut stack, call);
    OTHER.set(Some(stack));
    done
}

/// The future is some kilobytes large: it is made in a frame that is no part of the caller's.
#[inline(never)]
fn boxed<'a, F: Future + Send + 'a>(call: impl FnOnce() -> F) -> BoxFuture<'a, F::Output> {
    Box::pin(call())
}

/// A call that may wait.
pub(super) struct Wait<'a, T> {
    stack: Stack,
    call: BoxFuture<'a, T>,
}

impl<T> Future for Wait<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Wait { stack, call } = &mut *self;
        stack.call(|| call.as_mut().poll(context))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use corosensei::stack::Stack as _;
    use futures::FutureExt;
    use futures::future::poll_fn;

    use super::*;

    /// About where on the stack the caller is.
    #[inline(never)]
    fn depth() -> usize {
        let here = std::hint::black_box(0_u8);
        std::hint::black_box(&raw const here).addr()
    }

    fn is_far(from: usize) -> bool {
        depth().abs_diff(from) > STACK_BYTES / 2
    }

    /// Both before it waits and after, and what comes after the wait is as if nothing had been.
    #[test]
    fn the_calls_of_a_term_are_made_and_polled_on_another_stack_and_those_of_a_run_on_its_own() {
        for (stack, elsewhere) in [(Stack::Other, true), (Stack::Guests, false)] {
            let (here, polls) = (depth(), AtomicUsize::new(0));
            assert_eq!(stack.call(|| is_far(here)), elsewhere);
            let mut wait = stack.wait(|| {
                let made = is_far(here);
                let polls = &polls;
                poll_fn(move |_| match polls.fetch_add(1, Ordering::Relaxed) {
                    0 => Poll::Pending,
                    _ => Poll::Ready((made, is_far(here))),
                })
            });
            assert_eq!((&mut wait).now_or_never(), None);
            assert_eq!(wait.now_or_never(), Some((elsewhere, elsewhere)));
            assert!(!is_far(here));
        }
    }

    #[test]
    fn a_thread_has_one_other_stack_and_makes_more_where_it_is_on_it() {
        let place = || Stack::Other.call(depth);
        let (first, within) = Stack::Other.call(|| (depth(), place()));
        assert!(first.abs_diff(within) > STACK_BYTES / 2, "nobody is called onto a stack in use");
        // That one call is where the last was says nothing: the kernel gives the same place again.
        let kept = OTHER.take().expect("it is kept for the next call");
        let (limit, base) = (kept.limit().get(), kept.base().get());
        OTHER.set(Some(kept));
        assert!((limit..base).contains(&place()), "and that is where the next is made");
        assert!(!(limit..base).contains(&std::thread::spawn(place).join().unwrap()), "of this thread alone");
    }

    #[test]
    fn a_panic_on_another_stack_reaches_the_caller() {
        let panics = std::panic::catch_unwind(|| Stack::Other.call(|| panic!("a call that panics")));
        assert_eq!(panics.unwrap_err().downcast_ref(), Some(&"a call that panics"));
        assert_eq!(Stack::Other.call(|| 1), 1, "the next is called as ever");
    }
}

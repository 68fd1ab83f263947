//! Futures off the stack of a guest.
//!
//! A host call is polled on its guest's stack, and what it touches there stays for as long as the guest does, which may be
//! months in a leader job.

use futures::future::BoxFuture;

/// What `call` gives, made in a frame that is gone when it is polled.
#[inline(never)]
pub(super) fn apart<'a, F: Future + Send + 'a>(call: impl FnOnce() -> F) -> BoxFuture<'a, F::Output> {
    Box::pin(call())
}

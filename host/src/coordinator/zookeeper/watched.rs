//! Counts the bytes of watched paths of one session.
//!
//! After a reconnect the client library sends them all again, and past 128 KiB it does so in several requests of the same
//! number, whose answers it then can't tell apart: the session breaks, and again, at every reconnect.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::coordinator::{Error, MAX_WATCHED_BYTES};

/// What is left to watch.
#[derive(Clone, Default)]
pub(super) struct WatchedBytes(Arc<AtomicUsize>);

/// One watch's share, given back when dropped.
pub(super) struct Share {
    of: WatchedBytes,
    bytes: usize,
}

impl WatchedBytes {
    /// A share for a watch on `path`.
    ///
    /// # Errors
    /// [`Error::TooManyWatches`].
    pub(super) fn take(&self, path: &str) -> Result<Share, Error> {
        let bytes = path.len();
        let add = |used: usize| Some(used + bytes).filter(|sum| *sum <= MAX_WATCHED_BYTES);
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, add) {
            Ok(_) => Ok(Share { of: self.clone(), bytes }),
            Err(used) => {
                Err(Error::TooManyWatches { path: path.to_owned(), size: used + bytes, limit: MAX_WATCHED_BYTES })
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_past_the_limit_is_refused_until_another_is_gone() {
        let watched = WatchedBytes::default();
        let path = "/x".repeat(512);
        let mut shares: Vec<Share> =
            (0..MAX_WATCHED_BYTES / path.len()).map(|_| watched.take(&path).unwrap()).collect();
        let error = watched.take("/a").err().unwrap().to_string();
        assert_eq!(
            error,
            "a watch on `/a` would make 98306 bytes of watched paths of this session, over the limit of 98304"
        );
        shares.pop();
        assert!(watched.take("/a").is_ok());
    }
}

//! Counts the bytes of watched paths of one session.
//!
//! After a reconnect the client library sends them all again, and past 128 KiB it does so in several requests of the same
//! number, whose answers it then can't tell apart: the session breaks, and again, at every reconnect.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::coordinator::{Error, MAX_WATCHED_BYTES};

/// What is left to watch. Clones share it.
#[derive(Clone, Default)]
pub(super) struct WatchedBytes {
    used: Arc<AtomicUsize>,
    /// What the library puts before every path.
    chroot_bytes: usize,
}

/// One watch's share, given back when dropped.
pub(super) struct Share {
    of: WatchedBytes,
    bytes: usize,
}

impl WatchedBytes {
    /// Nothing watched yet. Every path is sent with a chroot of `chroot_bytes` before it.
    pub(super) fn below(chroot_bytes: usize) -> Self {
        WatchedBytes { used: Arc::default(), chroot_bytes }
    }

    /// A share for a watch on `path`.
    ///
    /// # Errors
    /// [`Error::TooManyWatches`].
    pub(super) fn take(&self, path: &str) -> Result<Share, Error> {
        let bytes = self.chroot_bytes + path.len();
        let add = |used: usize| Some(used + bytes).filter(|sum| *sum <= MAX_WATCHED_BYTES);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, add) {
            Ok(_) => Ok(Share { of: self.clone(), bytes }),
            Err(used) => {
                Err(Error::TooManyWatches { path: path.to_owned(), size: used + bytes, limit: MAX_WATCHED_BYTES })
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Ordering::AcqRel);
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

    #[test]
    fn w8_a_chroot_counts_with_every_watched_path() {
        let watched = WatchedBytes::below(100);
        let shares: Vec<Share> = (0..).map_while(|_| watched.take("/abc").ok()).collect();
        assert_eq!(shares.len(), MAX_WATCHED_BYTES / 104);
    }
}

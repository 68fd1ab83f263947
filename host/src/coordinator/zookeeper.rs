//! ZooKeeper, through the crate zookeeper-client, whose bugs are worked around here and nowhere else:
//!
//! - Persistent watches are not set again after a reconnect: only one-shot ones are used.
//! - More than 128 KiB of watched paths make a session unusable after a reconnect: they are counted, and what goes past
//!   [`MAX_WATCHED_BYTES`](super::MAX_WATCHED_BYTES) is refused.
//! - A broken connection arrives under several names: all of them are [`Error::OutcomeUnknown`].
//! - It runs on the threads that a session is opened on, and a starved session expires: whoever opens one, opens it where
//!   nothing else computes or blocks.
//! - It has no awaitable close: [`Session::close`] waits for the state that follows.
//! - Of a name it tries the first address only, and it says nothing of why there is no session: names are resolved here.
//! - While it reconnects it may go on for ever without returning to its thread: its servers are written so that it can't.

mod connect;
mod connect_string;
mod error;
mod probe;
mod resolve;
mod session;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::connect::Opened;
use self::connect_string::ConnectString;
pub use self::resolve::Resolver;
use self::resolve::SystemResolver;
use self::session::ZooKeeperSession;
use super::{Coordinator, Error, Session};

/// An ensemble.
pub struct ZooKeeper {
    servers: ConnectString,
    session_timeout: Duration,
    resolver: Arc<dyn Resolver>,
    /// Whether the library may resolve names too. It asks the system.
    gives_names: bool,
}

impl ZooKeeper {
    /// The ensemble at `servers`, ZooKeeper's connect string: `HOST:PORT,HOST:PORT,…`, followed by a path if everything is
    /// to live below that (the path must exist). Connects nowhere yet.
    ///
    /// `session_timeout` is what is asked for; the server has the last word, see [`Session::timeout`].
    ///
    /// # Errors
    /// [`Error::Refused`] names what is wrong with the arguments.
    pub fn new(servers: &str, session_timeout: Duration) -> Result<Self, Error> {
        let servers =
            ConnectString::parse(servers).map_err(|error| Error::Refused { detail: format!("servers: {error}") })?;
        if session_timeout.is_zero() {
            return Err(Error::Refused { detail: "session timeout 0 ms: it must be positive".to_owned() });
        }
        Ok(ZooKeeper { servers, session_timeout, resolver: Arc::new(SystemResolver), gives_names: true })
    }

    /// The same with names resolved by `resolver` alone. A session then keeps the addresses that it was opened with.
    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolver>) -> Self {
        ZooKeeper { resolver, gives_names: false, ..self }
    }

    /// Returns the connect string `servers` in its normal form: each entry with its port, without whitespace.
    ///
    /// # Errors
    /// Which entry is wrong, and how to write it.
    pub fn check_servers(servers: &str) -> Result<String, String> {
        ConnectString::parse(servers).map(|servers| servers.to_string()).map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Coordinator for ZooKeeper {
    async fn connect(&self, patience: Duration) -> Result<Arc<dyn Session>, Error> {
        let Opened { client, opening } = connect::open(self, patience).await?;
        Ok(Arc::new(ZooKeeperSession::new(client, opening, self.path_overhead())))
    }

    fn describe(&self) -> String {
        format!("zookeeper {}", self.servers)
    }

    fn path_overhead(&self) -> usize {
        self.servers.chroot.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(4);
    const HANGS: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_wrong_with_the_arguments_is_named() {
        let error = ZooKeeper::new("a:1,b:0/root", T).err().unwrap().to_string();
        assert_eq!(error, "refused: servers: `b:0`: port `0` is not a number from 1 to 65535");
        assert!(ZooKeeper::new("a:1", Duration::ZERO).is_err());
    }

    #[tokio::test]
    async fn an_ensemble_that_does_not_answer_is_waited_for_no_longer_than_patience() {
        // Port 1 of loopback: nobody listens.
        let zookeeper = ZooKeeper::new("127.0.0.1:1", T).unwrap();
        let connecting = zookeeper.connect(Duration::from_millis(300));
        let error = tokio::time::timeout(HANGS, connecting).await.expect("it gives up").err().unwrap();
        let why = "no session with `127.0.0.1:1` within 300 ms: 127.0.0.1:1: connection refused";
        assert_eq!(error.to_string(), why);
    }
}

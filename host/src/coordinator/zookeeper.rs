//! ZooKeeper, through the crate zookeeper-client, whose bugs are worked around here and nowhere else:
//!
//! - Persistent watches are not set again after a reconnect: only one-shot ones are used.
//! - More than 128 KiB of watched paths make a session unusable after a reconnect: they are counted, and what goes past
//!   [`MAX_WATCHED_BYTES`](super::MAX_WATCHED_BYTES) is refused.
//! - A broken connection arrives under several names: all of them are [`Error::OutcomeUnknown`].
//! - It runs on the threads that a session is opened on, and a starved session expires: whoever opens one, opens it where
//!   nothing else computes or blocks.
//! - It has no awaitable close: [`Session::close`] waits for the state that follows.

mod error;
mod session;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{sleep, timeout};
use zookeeper_client::{Client, Error as ClientError};

use self::session::ZooKeeperSession;
use super::{Coordinator, Error, Session};
use crate::clock;

/// The pause between two attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// An ensemble.
pub struct ZooKeeper {
    servers: String,
    session_timeout: Duration,
}

impl ZooKeeper {
    /// The ensemble at `servers`, ZooKeeper's connect string: `HOST:PORT,HOST:PORT,…`, with a path behind it where
    /// everything is to live under that (the path must exist). Connects nowhere yet.
    ///
    /// `session_timeout` is what is asked for; the server has the last word, see [`Session::timeout`].
    ///
    /// # Errors
    /// [`Error::Refused`] names what is wrong with the arguments.
    pub fn new(servers: &str, session_timeout: Duration) -> Result<Self, Error> {
        check_servers(servers)?;
        if session_timeout.is_zero() {
            return Err(Error::Refused { detail: "session timeout 0 ms: it must be positive".to_owned() });
        }
        Ok(ZooKeeper { servers: servers.to_owned(), session_timeout })
    }

    /// One attempt. Given up after `patience`.
    async fn attempt(&self, patience: Duration) -> Result<Client, ClientError> {
        let connector = Client::connector().with_session_timeout(self.session_timeout);
        timeout(patience, connector.connect(&self.servers)).await.unwrap_or(Err(ClientError::Timeout))
    }
}

#[async_trait]
impl Coordinator for ZooKeeper {
    async fn connect(&self, patience: Duration) -> Result<Arc<dyn Session>, Error> {
        let clock = clock::system();
        let deadline = clock.boot() + patience;
        loop {
            let opening = clock.boot();
            let error = match self.attempt(deadline.saturating_sub(opening)).await {
                Ok(client) => return Ok(Arc::new(ZooKeeperSession::new(client, opening))),
                Err(error) => error,
            };
            if let ClientError::BadArguments(_) | ClientError::AuthFailed | ClientError::NoAuth = error {
                return Err(Error::Refused { detail: format!("servers `{}`: {error}", self.servers) });
            }
            if clock.boot() + RETRY_PAUSE >= deadline {
                let servers = self.servers.clone();
                return Err(Error::Unavailable {
                    servers,
                    patience_ms: patience.as_millis(),
                    detail: error.to_string(),
                });
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    fn describe(&self) -> String {
        format!("zookeeper {}", self.servers)
    }
}

fn check_servers(servers: &str) -> Result<(), Error> {
    let hosts = servers.split_once('/').map_or(servers, |(hosts, _)| hosts);
    for host in hosts.split(',') {
        let valid = match host.rsplit_once(':') {
            Some((name, port)) => !name.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0),
            None => !host.is_empty(),
        };
        if !valid {
            let detail = format!("servers `{servers}`: `{host}` is not HOST or HOST:PORT");
            return Err(Error::Refused { detail });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const T: Duration = Duration::from_secs(4);

    #[test]
    fn bad_servers_are_named() {
        for (servers, named) in [("", ""), ("a:1,", ""), ("a:b", "a:b"), (":2181", ":2181"), ("a,b:0/root", "b:0")] {
            let error = ZooKeeper::new(servers, T).err().unwrap().to_string();
            assert_eq!(error, format!("refused: servers `{servers}`: `{named}` is not HOST or HOST:PORT"));
        }
        for servers in ["a", "a:1", "127.0.0.1:2181,[::1]:2182", "a:1,b:2/root"] {
            assert!(ZooKeeper::new(servers, T).is_ok(), "{servers}");
        }
    }

    #[tokio::test]
    async fn an_ensemble_that_does_not_answer_is_waited_for_no_longer_than_patience() {
        // Port 1 of loopback: nobody listens.
        let zookeeper = ZooKeeper::new("127.0.0.1:1", T).unwrap();
        let began = Instant::now();
        let error = zookeeper.connect(Duration::from_millis(300)).await.err().unwrap();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let told = error.to_string();
        assert!(told.starts_with("no server of `127.0.0.1:1` answered within 300 ms: "), "{told}");
    }
}

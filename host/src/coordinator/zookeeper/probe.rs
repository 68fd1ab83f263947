//! Asks a server that gave no session what it is: a connection of our own, and ZooKeeper's four-letter word `srvr`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::text;

/// How many bytes of an answer are read.
const READ_BYTES: usize = 256;
/// How many bytes of an answer that is not ZooKeeper's are shown.
const SHOWN_BYTES: usize = 40;

/// What an address answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is a ZooKeeper server that serves, or does not say whether it does.
    Serves,
    /// It is a ZooKeeper server without a quorum.
    NotServing,
    /// Nobody listens there.
    Refused,
    /// It can't be reached from here: the system's reason.
    Unreachable(String),
    /// No connection within the time.
    Silent,
    /// A connection, and not a byte within the time.
    Mute,
    /// A connection that was closed without a byte.
    Closed,
    /// Something else answers: what it seems to be.
    Foreign(String),
}

impl Answer {
    /// Whether an attempt to open a session there might wait for long and in vain.
    pub(super) fn costs_time(&self) -> bool {
        match self {
            Answer::Silent | Answer::Mute | Answer::Foreign(_) => true,
            Answer::Serves | Answer::NotServing | Answer::Refused | Answer::Unreachable(_) | Answer::Closed => false,
        }
    }

    /// For people: what the server did, after its name.
    pub(super) fn describe(&self) -> String {
        match self {
            Answer::Serves => "answered as ZooKeeper, and opened no session".to_owned(),
            Answer::NotServing => "serves no requests: it has no quorum, or is starting".to_owned(),
            Answer::Refused => "connection refused".to_owned(),
            Answer::Unreachable(reason) => reason.clone(),
            Answer::Silent => "no answer".to_owned(),
            Answer::Mute => "accepted the connection, and never answered".to_owned(),
            Answer::Closed => "closed the connection at once: it is no ZooKeeper server, wants TLS, or has too many \
                               connections from this address (maxClientCnxns)"
                .to_owned(),
            Answer::Foreign(what) => format!("answered, but not as ZooKeeper: {what}"),
        }
    }
}

/// Asks one address. Returns after `patience` at the latest.
pub(super) async fn probe(address: SocketAddr, patience: Duration) -> Answer {
    let (mut connected, mut said) = (false, Vec::with_capacity(READ_BYTES));
    let asked = timeout(patience, async {
        let stream = TcpStream::connect(address).await?;
        connected = true;
        ask(stream, &mut said, patience / 2).await
    });
    match asked.await {
        Ok(Err(error)) if !connected && error.kind() == io::ErrorKind::ConnectionRefused => Answer::Refused,
        // A server that closes as soon as it accepts may do so before the system says that we are connected.
        Ok(Err(error)) if !connected && is_of_a_closed_connection(&error) => Answer::Closed,
        Ok(Err(error)) if !connected => Answer::Unreachable(error.to_string()),
        Err(_) if !connected => Answer::Silent,
        Err(_) if said.is_empty() => Answer::Mute,
        Ok(_) if said.is_empty() => Answer::Closed,
        Ok(_) | Err(_) => classify(&said),
    }
}

fn is_of_a_closed_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

/// Reads the first bytes that the server says. Ends at the end of the connection, whatever the reason, or when there are
/// enough.
async fn ask(mut stream: TcpStream, said: &mut Vec<u8>, patience: Duration) -> io::Result<()> {
    stream.write_all(b"srvr").await?;
    // Sent at once, the line end could cost us a ZooKeeper server's answer: it reads four bytes, and closing a connection
    // with unread bytes resets it. Protocols that speak in lines, such as HTTP, wait for it.
    match timeout(patience, stream.read_buf(said)).await {
        Ok(Ok(0)) => return Ok(()),
        Ok(read) => drop(read?),
        Err(_) => stream.write_all(b"\r\n\r\n").await?,
    }
    while said.len() < READ_BYTES && stream.read_buf(said).await? > 0 {}
    Ok(())
}

fn classify(said: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(said);
    if text.contains("not currently serving requests") {
        Answer::NotServing
    } else if text.starts_with("Zookeeper version") || text.contains("is not in the whitelist") {
        Answer::Serves
    } else if text.starts_with("HTTP/") {
        Answer::Foreign("HTTP".to_owned())
    } else if said.starts_with(&[0x15, 0x03]) {
        Answer::Foreign("TLS".to_owned())
    } else {
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Answer::Foreign(format!("`{}`", text::clean(first, SHOWN_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Ample for what answers; what doesn't answer takes all of it.
    const PATIENCE: Duration = Duration::from_millis(600);

    /// Probes a listener that sends `reply` when it has read as much as `after`, and then closes.
    async fn asked(after: &'static [u8], reply: &'static [u8]) -> Answer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serves = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = vec![0; after.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, after);
            stream.write_all(reply).await.unwrap();
        });
        let answer = probe(address, PATIENCE * 50).await;
        serves.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn w8_a_server_is_told_by_what_it_answers() {
        assert_eq!(asked(b"srvr", b"Zookeeper version: 3.8.0-\nLatency min/avg/max: 0/0.0/0\n").await, Answer::Serves);
        let unlisted = b"srvr is not executed because it is not in the whitelist.\n";
        assert_eq!(asked(b"srvr", unlisted).await, Answer::Serves);
        let no_quorum = b"This ZooKeeper instance is not currently serving requests\n";
        assert_eq!(asked(b"srvr", no_quorum).await, Answer::NotServing);
        assert_eq!(asked(b"srvr", b"").await, Answer::Closed);
        assert_eq!(asked(b"", b"").await, Answer::Closed);
        assert_eq!(asked(b"srvr", b"\x15\x03\x01\0\x02\x02\x46").await, Answer::Foreign("TLS".to_owned()));
        let banner = asked(b"srvr", b"\r\nSSH-2.0-\x1b[2J\xff\r\n").await;
        assert_eq!(banner, Answer::Foreign("`SSH-2.0-\u{fffd}[2J\u{fffd}`".to_owned()));
    }

    #[tokio::test]
    async fn w8_a_server_that_waits_for_a_line_is_told_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 8];
            stream.read_exact(&mut read).await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        });
        assert_eq!(probe(address, PATIENCE * 10).await, Answer::Foreign("HTTP".to_owned()));
    }

    #[tokio::test]
    async fn w8_nobody_and_one_who_says_nothing_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(probe(address, PATIENCE).await, Answer::Mute);
        // Port 1 of loopback: nobody listens, and no parallel test is given it.
        assert_eq!(probe("127.0.0.1:1".parse().unwrap(), PATIENCE * 50).await, Answer::Refused);
    }
}

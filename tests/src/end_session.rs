//! Ends another client's session from outside, as anybody who reaches a server can: the password of a session is made from
//! its id (ZooKeeper's `SessionTrackerImpl` and `ZooKeeperServer.generatePasswd`).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);
const TRIES: usize = 100;
const PASSWORD_BYTES: usize = 16;
const CLOSE_SESSION: i32 = -11;

/// Takes the session over and closes it, until the server knows it no more.
///
/// # Errors
/// Where the server can't be reached, or the session lives on.
pub fn end_session(server: SocketAddr, id: i64) -> io::Result<()> {
    for _ in 0..TRIES {
        match close(server, id) {
            Ok(Known::No) => return Ok(()),
            Ok(Known::Asked) => {}
            Err(error) if is_hung_up(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("session 0x{id:x} lives on after {TRIES} tries to end it")))
}

/// The server, or the client that takes its session back, was quicker: the next try tells what became of it.
fn is_hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Whether the server knows a session.
enum Known {
    /// It doesn't.
    No,
    /// It did, and was asked to close it.
    Asked,
}

fn close(server: SocketAddr, id: i64) -> io::Result<Known> {
    let mut stream = TcpStream::connect_timeout(&server, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut connect = Vec::new();
    connect.extend(0_i32.to_be_bytes()); // version of the protocol
    connect.extend(0_i64.to_be_bytes()); // the last transaction seen
    connect.extend((LIMIT.as_millis() as i32).to_be_bytes());
    connect.extend(id.to_be_bytes());
    connect.extend((PASSWORD_BYTES as i32).to_be_bytes());
    connect.extend(password(id));
    connect.push(0); // not read-only
    let answer = call(&mut stream, &connect)?;
    let timeout = answer.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    if timeout.is_none_or(|timeout: i32| timeout <= 0) {
        return Ok(Known::No);
    }
    let mut close = 1_i32.to_be_bytes().to_vec();
    close.extend(CLOSE_SESSION.to_be_bytes());
    call(&mut stream, &close)?;
    Ok(Known::Asked)
}

fn call(stream: &mut TcpStream, frame: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(&(frame.len() as u32).to_be_bytes())?;
    stream.write_all(frame)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// What the server makes of the id: the first bytes of `java.util.Random`, seeded with the id and a number that is no
/// secret.
fn password(id: i64) -> Vec<u8> {
    const NO_SECRET: u64 = 0xB341_5C00;
    const FACTOR: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = ((id as u64) ^ NO_SECRET ^ FACTOR) & MASK;
    let words = (0..PASSWORD_BYTES / 4).map(|_| {
        state = state.wrapping_mul(FACTOR).wrapping_add(0xB) & MASK;
        (state >> 16) as u32
    });
    words.flat_map(u32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use silverback::coordinator::{Coordinator, CreateMode, ZooKeeper};

    use super::*;
    use crate::zookeeper::ZooKeeperServer;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_session_that_is_ended_from_outside_leaves_no_node() {
        let server = ZooKeeperServer::start().unwrap();
        let connect = || async {
            let coordinator = ZooKeeper::new(&server.connect_string(), Duration::from_secs(30)).unwrap();
            coordinator.connect(Duration::from_secs(30)).await.unwrap()
        };
        let (victim, witness) = (connect().await, connect().await);
        victim.create("/node", b"", CreateMode::Ephemeral).await.unwrap();
        assert_eq!(server.owner("/node"), Some(victim.id()));
        end_session(server.address(), victim.id()).unwrap();
        assert_eq!(witness.stat("/node").await.unwrap(), None);
    }
}

//! A server of HTTP for guests to ask: it answers well, or as a hostile one would, as the path says.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// The paths that it knows.
pub const PATHS: [&str; 7] =
    ["/answers", "/chunks", "/floods", "/breaks-off", "/babbles", "/heads-without-end", "/silent"];

/// The server. Listens until it is dropped; a connection may stand until whoever asked is gone.
pub struct Neighbour {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: AtomicUsize,
    ended: AtomicBool,
}

impl Neighbour {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let acceptor = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if acceptor.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = acceptor.clone();
                // Who is gone needs no answer.
                thread::spawn(move || drop(answer(stream, &shared.requests)));
            }
        });
        Ok(Neighbour { address, shared })
    }

    /// Its address and port.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// What a job's grants name it by.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it had.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(mut stream: TcpStream, requests: &AtomicUsize) -> io::Result<()> {
    let mut line = String::new();
    if BufReader::new(&stream).read_line(&mut line)? == 0 {
        return Ok(());
    }
    requests.fetch_add(1, Ordering::Relaxed);
    let path = line.split(' ').nth(1).unwrap_or_default();
    let begin = "HTTP/1.1 200 OK\r\n";
    let whole = match path {
        "/silent" => {
            io::copy(&mut stream, &mut io::sink())?;
            String::new()
        }
        "/chunks" => format!("{begin}transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ntrailer: 1\r\n\r\n"),
        "/breaks-off" => format!("{begin}content-length: 9\r\n\r\nhi"),
        "/babbles" => "\u{0}\u{10ffff}HTTP/9.9 -1\r\n\r\n".to_owned(),
        "/floods" => without_end(&mut stream, &format!("{begin}\r\n"), "x".repeat(4096).as_bytes())?,
        "/heads-without-end" => without_end(&mut stream, begin, b"name: value\r\n")?,
        _ => format!("{begin}content-length: 2\r\n\r\nhi"),
    };
    stream.write_all(whole.as_bytes())
}

/// Until nobody reads it any more.
fn without_end(stream: &mut TcpStream, begin: &str, more: &[u8]) -> io::Result<String> {
    stream.write_all(begin.as_bytes())?;
    loop {
        stream.write_all(more)?;
    }
}

//! A request of HTTP as a guest sends it, call by call, and who answers it: well, or as a hostile server would, as the path asks.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What the first of a world's texts is, and what those behind it are.
const AUTHORITY: usize = 0;
const PATH: usize = 1;

/// How a server answers.
pub(super) const PATHS: [&str; 7] =
    ["/answers", "/chunks", "/floods", "/breaks-off", "/babbles", "/heads-without-end", "/silent"];

/// One call.
pub(super) struct Step {
    pub(super) interface: &'static str,
    pub(super) name: &'static str,
    /// Its first arguments. What stands in the place of a handle counts for nothing.
    pub(super) numbers: &'static [i64],
    /// Which of the world's texts it says.
    pub(super) text: Option<usize>,
    /// The guest returns [`ANSWERED`] where this call gave what it is for.
    pub(super) tells: bool,
}

/// What a guest returns that has read a part of an answer.
pub(super) const ANSWERED: u8 = b'!';

const TYPES: &str = "wasi:http/types@";
const STREAMS: &str = "wasi:io/streams@";

const fn step(interface: &'static str, name: &'static str) -> Step {
    Step { interface, name, numbers: &[], text: None, tells: false }
}

/// Of a whole one.
pub(super) static EXCHANGE: [Step; 20] = [
    step(TYPES, "[constructor]fields"),
    step(TYPES, "[constructor]outgoing-request"),
    Step { numbers: &[0, 1, 0], ..step(TYPES, "[method]outgoing-request.set-scheme") },
    Step { numbers: &[0, 1], text: Some(AUTHORITY), ..step(TYPES, "[method]outgoing-request.set-authority") },
    Step { numbers: &[0, 1], text: Some(PATH), ..step(TYPES, "[method]outgoing-request.set-path-with-query") },
    step(TYPES, "[method]outgoing-request.body"),
    step("wasi:http/outgoing-handler@", "handle"),
    step(TYPES, "[method]outgoing-body.write"),
    step(STREAMS, "[method]output-stream.blocking-write-and-flush"),
    step(STREAMS, "[resource-drop]output-stream"),
    step(TYPES, "[static]outgoing-body.finish"),
    step(TYPES, "[method]future-incoming-response.subscribe"),
    step("wasi:io/poll@", "[method]pollable.block"),
    step(TYPES, "[method]future-incoming-response.get"),
    step(TYPES, "[method]incoming-response.consume"),
    step(TYPES, "[method]incoming-body.stream"),
    Step { numbers: &[0, 4096], tells: true, ..step(STREAMS, "[method]input-stream.blocking-read") },
    Step { numbers: &[0, 4096], ..step(STREAMS, "[method]input-stream.blocking-read") },
    step(STREAMS, "[resource-drop]input-stream"),
    step(TYPES, "[static]incoming-body.finish"),
];

/// A server for as long as the process is there, and how many requests it had.
pub(super) struct Server {
    pub(super) authority: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (authority, requests) = (listener.local_addr()?.to_string(), Arc::<AtomicUsize>::default());
        let counted = requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                // Who is gone needs no answer.
                thread::spawn(move || drop(answer(stream, &counted)));
            }
        });
        Ok(Server { authority, requests })
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: TcpStream, counted: &AtomicUsize) -> io::Result<()> {
    let mut line = String::new();
    if BufReader::new(&stream).read_line(&mut line)? == 0 {
        return Ok(());
    }
    counted.fetch_add(1, Ordering::Relaxed);
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

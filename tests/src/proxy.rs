//! A TCP proxy in front of one ZooKeeper server, which breaks the network on order.
//!
//! It knows ZooKeeper's framing (four bytes of length, then the frame) and where a request's number stands, and nothing
//! of what frames mean.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// The longest frame; longer than any that ZooKeeper takes.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// What happens to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Both ways pass.
    Pass,
    /// Connections are closed, new ones at once.
    Cut,
    /// Requests pass, replies vanish.
    Mute,
    /// Everything vanishes; connections stay open, and new ones are taken and never answered.
    Hole,
    /// Everything passes, both ways, so much later; frames keep their order.
    Delay(Duration),
}

type Predicate = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The proxy. Ends, with all its connections, when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    fired: AtomicU64,
    ended: AtomicBool,
}

struct State {
    mode: Mode,
    trap: Option<Trap>,
    links: Vec<Weak<Link>>,
}

/// Cuts connections whose request matches.
struct Trap {
    left: u64,
    springs: Springs,
    matches: Predicate,
}

/// When a trap cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Springs {
    /// Before the request gets to the server: nothing is done.
    Before,
    /// After the server's reply: it is done.
    After,
}

/// One client's connection and the one made for it.
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// A frame vanished: the stream makes no sense any more once frames pass again.
    holed: AtomicBool,
    /// The number of the request whose reply ends this link.
    trapped: Mutex<Option<[u8; 4]>>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes everything to `target`.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = State { mode: Mode::Pass, trap: None, links: Vec::new() };
        let shared = Arc::new(Shared {
            target,
            state: Mutex::new(state),
            fired: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &acceptor));
        Ok(Proxy { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:PORT`.
    pub fn connect_string(&self) -> String {
        self.address.to_string()
    }

    /// Changes what happens to frames, from now on. Back from [`Mode::Mute`] or [`Mode::Hole`], connections that missed a
    /// frame are closed.
    pub fn set(&self, mode: Mode) {
        let mut state = self.shared.state();
        state.mode = mode;
        for link in state.links.iter().filter_map(Weak::upgrade) {
            let broken = mode == Mode::Pass && link.holed.load(Ordering::Acquire);
            if mode == Mode::Cut || broken {
                link.close();
            }
        }
    }

    /// For the next `times` requests whose frame (without its length) satisfies `matches`: passes the request on, waits
    /// for the server's reply, drops it and closes the connection. The operation is done and the client doesn't know.
    pub fn cut_after_request(&self, times: u64, matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        self.shared.state().trap = Some(Trap { left: times, springs: Springs::After, matches: Arc::new(matches) });
    }

    /// For the next `times` requests that satisfy `matches`: closes the connection instead of passing them on. The
    /// operation is not done, which the client can't tell from one that is.
    pub fn cut_before_request(&self, times: u64, matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        self.shared.state().trap = Some(Trap { left: times, springs: Springs::Before, matches: Arc::new(matches) });
    }

    /// How many connections [`Proxy::cut_after_request`] and [`Proxy::cut_before_request`] have cut.
    pub fn fired(&self) -> u64 {
        self.shared.fired.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.set(Mode::Cut);
        // Wakes the acceptor, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    /// When this request's connection is to be cut, where it is.
    fn springs_trap(&self, frame: &[u8]) -> Option<Springs> {
        let matches = self.state().trap.as_ref().filter(|trap| trap.left > 0).map(|trap| trap.matches.clone())?;
        if !matches(frame) {
            return None;
        }
        let mut state = self.state();
        let trap = state.trap.as_mut().filter(|trap| trap.left > 0)?;
        trap.left -= 1;
        Some(trap.springs)
    }
}

impl Link {
    fn close(&self) {
        // An error means that it is closed already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    fn trapped(&self) -> MutexGuard<'_, Option<[u8; 4]>> {
        self.trapped.lock().expect("nothing panics under this lock")
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::Acquire) {
            return;
        }
        // A client that is gone already, or a server that is down: the client sees its connection closed.
        if let Ok(client) = client {
            let _ = connect(client, shared);
        }
    }
}

fn connect(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    if shared.state().mode == Mode::Cut {
        return client.shutdown(Shutdown::Both);
    }
    let server = TcpStream::connect(shared.target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let link = Arc::new(Link { client, server, holed: AtomicBool::new(false), trapped: Mutex::new(None) });
    let mut state = shared.state();
    state.links.retain(|link| link.strong_count() > 0);
    state.links.push(Arc::downgrade(&link));
    if state.mode == Mode::Cut {
        link.close();
    }
    drop(state);
    let (requests, to_server) = channel();
    let (replies, to_client) = channel();
    on_link(&link, shared, move |link, shared| pump_requests(link, shared, &requests));
    on_link(&link, shared, move |link, shared| pump_replies(link, shared, &replies));
    on_link(&link, shared, move |link, _| hand_on(&to_server, &link.server));
    on_link(&link, shared, move |link, _| hand_on(&to_client, &link.client));
    Ok(())
}

/// Runs one part of a link on a thread of its own. The part ends with the connection, and the connection with the part.
fn on_link(
    link: &Arc<Link>,
    shared: &Arc<Shared>,
    part: impl FnOnce(&Link, &Shared) -> io::Result<()> + Send + 'static,
) {
    let (link, shared) = (Arc::clone(link), Arc::clone(shared));
    thread::spawn(move || {
        // An error is a closed connection, which ends the other parts too.
        let _ = part(&link, &shared);
        link.close();
    });
}

/// A frame on its way, and when it is to arrive.
type Due = (Instant, Vec<u8>);

fn pump_requests(link: &Link, shared: &Shared, on: &Sender<Due>) -> io::Result<()> {
    let mut from = &link.client;
    let mut first = true;
    loop {
        let frame = read_frame(&mut from)?;
        let mut due = Instant::now();
        match shared.state().mode {
            Mode::Pass | Mode::Mute => {}
            Mode::Cut => return Ok(()),
            Mode::Hole => {
                link.holed.store(true, Ordering::Release);
                continue;
            }
            Mode::Delay(delay) => due += delay,
        }
        // The first frame opens or resumes the session and has no number.
        match if first { None } else { shared.springs_trap(&frame) } {
            None => {}
            Some(Springs::Before) => {
                shared.fired.fetch_add(1, Ordering::AcqRel);
                return Ok(());
            }
            Some(Springs::After) => *link.trapped() = number(&frame),
        }
        first = false;
        if on.send((due, frame)).is_err() {
            return Ok(());
        }
    }
}

fn pump_replies(link: &Link, shared: &Shared, on: &Sender<Due>) -> io::Result<()> {
    let mut from = &link.server;
    loop {
        let frame = read_frame(&mut from)?;
        let trapped = *link.trapped();
        if trapped.is_some() && trapped == number(&frame) {
            // Counted first: who sees the connection closed sees it counted.
            shared.fired.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        let mut due = Instant::now();
        match shared.state().mode {
            Mode::Pass => {}
            Mode::Cut => return Ok(()),
            Mode::Mute | Mode::Hole => {
                link.holed.store(true, Ordering::Release);
                continue;
            }
            Mode::Delay(delay) => due += delay,
        }
        if on.send((due, frame)).is_err() {
            return Ok(());
        }
    }
}

/// Writes each frame when it is due.
fn hand_on(frames: &Receiver<Due>, mut to: &TcpStream) -> io::Result<()> {
    for (due, frame) in frames {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        write_frame(&mut to, &frame)?;
    }
    Ok(())
}

/// What a request and its reply begin with.
fn number(frame: &[u8]) -> Option<[u8; 4]> {
    frame.first_chunk().copied()
}

fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame of ZooKeeper"));
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    to.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends every frame back.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    while let Ok(frame) = read_frame(&mut &stream) {
                        let _ = write_frame(&mut &stream, &frame);
                    }
                });
            }
        });
        address
    }

    fn call(stream: &TcpStream, frame: &[u8]) -> io::Result<Vec<u8>> {
        write_frame(&mut &*stream, frame)?;
        read_frame(&mut &*stream)
    }

    #[test]
    fn frames_pass_until_it_is_cut_and_pass_again_after() {
        let proxy = Proxy::start(echo()).unwrap();
        let stream = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(call(&stream, b"hello").unwrap(), b"hello");
        proxy.set(Mode::Cut);
        assert!(call(&stream, b"hello").is_err());
        let refused = TcpStream::connect(proxy.address()).unwrap();
        assert!(call(&refused, b"hello").is_err());
        proxy.set(Mode::Pass);
        let again = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(call(&again, b"hello").unwrap(), b"hello");
    }

    #[test]
    fn a_mute_proxy_drops_replies_and_closes_such_connections_when_it_passes_again() {
        let proxy = Proxy::start(echo()).unwrap();
        let stream = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(call(&stream, b"hello").unwrap(), b"hello");
        proxy.set(Mode::Mute);
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert_eq!(call(&stream, b"lost").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        proxy.set(Mode::Pass);
        stream.set_read_timeout(None).unwrap();
        assert!(read_frame(&mut &stream).is_err());
    }

    #[test]
    fn a_delayed_frame_arrives_later_both_ways_and_frames_keep_their_order() {
        let proxy = Proxy::start(echo()).unwrap();
        let stream = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(call(&stream, b"hello").unwrap(), b"hello");
        let delay = Duration::from_secs(1);
        proxy.set(Mode::Delay(delay));
        let begin = Instant::now();
        write_frame(&mut &stream, b"slow").unwrap();
        assert_eq!(call(&stream, b"slow too").unwrap(), b"slow");
        assert_eq!(read_frame(&mut &stream).unwrap(), b"slow too");
        let took = begin.elapsed();
        assert!(took >= 2 * delay && took < 4 * delay, "frames wait together, not one after the other: {took:?}");
    }

    #[test]
    fn a_request_that_is_cut_before_never_gets_to_the_server() {
        let proxy = Proxy::start(echo()).unwrap();
        proxy.cut_before_request(1, |frame| frame.ends_with(b"delete"));
        let cut = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(call(&cut, b"connect").unwrap(), b"connect");
        assert!(call(&cut, b"0001 delete").is_err());
        assert_eq!(proxy.fired(), 1);
        let next = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(call(&next, b"connect").unwrap(), b"connect");
        assert_eq!(call(&next, b"0001 delete").unwrap(), b"0001 delete");
    }

    #[test]
    fn a_matching_request_is_done_and_its_reply_is_lost_once() {
        let proxy = Proxy::start(echo()).unwrap();
        proxy.cut_after_request(1, |frame| frame.ends_with(b"__lock__"));
        let cut = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(call(&cut, b"connect").unwrap(), b"connect");
        assert_eq!(call(&cut, b"0001 other").unwrap(), b"0001 other");
        assert!(call(&cut, b"0002 __lock__").is_err());
        assert_eq!(proxy.fired(), 1);
        let next = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(call(&next, b"connect").unwrap(), b"connect");
        assert_eq!(call(&next, b"0002 __lock__").unwrap(), b"0002 __lock__");
        assert_eq!(proxy.fired(), 1);
    }
}

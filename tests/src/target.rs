//! A target outside of ZooKeeper that keeps the rules of examples/fenced-target, and the order of all that arrived, taken or
//! refused. A request can be held on its way, as a slow network does: it is read whole, and arrives when it is let go.
//!
//! It is one resource, written by one election, and it forgets all when it ends: a test outlives it anyway.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use crate::history_checker::Effect;

/// The header that carries the token, unless a job names another.
pub const TOKEN_HEADER: &str = "silverback-token";

/// More than a request of a test has.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;
/// What effects call it.
const NAME: &str = "the http target";

/// The target. Listens until it is dropped.
pub struct Target {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    token_header: String,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    arrivals: Vec<Arrival>,
    /// The highest token that was taken.
    newest: i64,
    /// Whether the next request is held.
    hold_next: bool,
    held: usize,
    /// How often requests were let go.
    releases: u64,
    ended: bool,
}

struct Arrival {
    effect: Effect,
    taken: bool,
}

/// A request that says whose it is, and what.
struct Request {
    token: i64,
    sequence: u64,
}

/// What is answered.
struct Answer {
    status: &'static str,
    text: String,
}

impl Target {
    /// Listens on a free port of 127.0.0.1. A token is looked for in the header of this name, in lower case, and the
    /// author's sequence in the body.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start(token_header: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let token_header = token_header.to_owned();
        let shared = Arc::new(Shared { token_header, state: Mutex::default(), moved: Condvar::new() });
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &acceptor));
        Ok(Target { address, shared })
    }

    /// What a job's grants name it by.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it took, in its order.
    pub fn taken(&self) -> Vec<Effect> {
        self.effects(|arrival| arrival.taken)
    }

    /// What arrived, in the same order: what a target that doesn't compare tokens would have taken.
    pub fn arrived(&self) -> Vec<Effect> {
        self.effects(|_| true)
    }

    fn effects(&self, which: impl Fn(&Arrival) -> bool) -> Vec<Effect> {
        let state = self.shared.state();
        state.arrivals.iter().filter(|arrival| which(arrival)).map(|arrival| arrival.effect.clone()).collect()
    }

    // ---- the network before it ----

    /// The next request is held on its way.
    pub fn hold_next(&self) {
        self.shared.state().hold_next = true;
    }

    /// How many requests are held.
    pub fn held(&self) -> usize {
        self.shared.state().held
    }

    /// Lets what is held arrive, whether or not who sent it still waits.
    pub fn release(&self) {
        let mut state = self.shared.state();
        state.hold_next = false;
        state.held = 0;
        state.releases += 1;
        drop(state);
        self.shared.moved.notify_all();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.moved.notify_all();
        // Wakes the acceptor, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    /// Waits for as long as this request is held. False where the target has ended meanwhile.
    fn arrives(&self) -> bool {
        let mut state = self.state();
        if std::mem::take(&mut state.hold_next) {
            state.held += 1;
            let releases = state.releases;
            let is_held = |state: &mut State| state.releases == releases && !state.ended;
            state = self.moved.wait_while(state, is_held).expect("nothing panics under this lock");
        }
        !state.ended
    }
}

impl State {
    /// Compares and remembers in one step, under the lock: equal tokens pass, lower ones don't.
    fn arrive(&mut self, Request { token, sequence }: Request) -> Answer {
        let taken = token >= self.newest;
        let effect = Effect { target: NAME.to_owned(), order: self.arrivals.len() as i64, token, sequence };
        self.arrivals.push(Arrival { effect, taken });
        if taken {
            self.newest = token;
            Answer { status: "200 OK", text: format!("written with token {token}") }
        } else {
            let text = format!("token {token} is of an earlier term than {}", self.newest);
            Answer { status: "412 Precondition Failed", text }
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.state().ended {
            return;
        }
        // Who is gone already has nothing to say.
        if let Ok(stream) = stream {
            let shared = Arc::clone(shared);
            // An error is a connection that broke: half a request has no effect, and whole ones are kept.
            thread::spawn(move || drop(serve(&stream, &shared)));
        }
    }
}

/// One request, and its answer.
fn serve(mut stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let answer = match read(stream, &shared.token_header)? {
        Some(_) if !shared.arrives() => return Ok(()),
        Some(request) => shared.state().arrive(request),
        // Without a token there is no telling who writes.
        None => {
            let text = format!("needed: a token in `{}` and a sequence in the body", shared.token_header);
            Answer { status: "400 Bad Request", text }
        }
    };
    let Answer { status, text } = answer;
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    stream.write_all((head + &text).as_bytes())
}

/// A whole request; None where it lacks its token or its sequence.
fn read(stream: &TcpStream, token_header: &str) -> io::Result<Option<Request>> {
    let mut stream = BufReader::new(stream.take(MAX_REQUEST_BYTES));
    let (mut token, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case(token_header) {
            token = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let sequence = String::from_utf8(body).ok().and_then(|text| text.parse().ok());
    Ok(token.zip(sequence).map(|(token, sequence)| Request { token, sequence }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history_checker::{Violation, effects_agree_with_tokens};
    use crate::wait::await_that;

    const SOON: Duration = Duration::from_secs(5);

    /// Sends a request without waiting for its answer.
    fn send(target: &Target, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(target.address).unwrap();
        let length = body.len();
        write!(stream, "PUT /entry HTTP/1.1\r\ncontent-length: {length}\r\n{headers}\r\n{body}").unwrap();
        stream
    }

    fn status(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    }

    fn put(target: &Target, token: i64, sequence: u64) -> TcpStream {
        send(target, &format!("Silverback-Token: {token}\r\n"), &sequence.to_string())
    }

    #[test]
    fn equal_tokens_pass_lower_ones_are_refused_and_both_are_kept_in_their_order() {
        let target = Target::start(TOKEN_HEADER).unwrap();
        let statuses = [(7, 0), (7, 1), (9, 0), (7, 2), (9, 1)].map(|(token, n)| status(put(&target, token, n)));
        assert_eq!(statuses, ["200", "200", "200", "412", "200"]);
        let tokens = |effects: Vec<Effect>| effects.iter().map(|effect| effect.token).collect::<Vec<_>>();
        assert_eq!((tokens(target.taken()), tokens(target.arrived())), (vec![7, 7, 9, 9], vec![7, 7, 9, 7, 9]));
    }

    #[test]
    fn a_request_without_a_token_or_a_sequence_is_refused_and_not_kept() {
        let target = Target::start("fencing-token").unwrap();
        for (headers, body) in [("", "0"), ("silverback-token: 7\r\n", "0"), ("fencing-token: x\r\n", "0")] {
            assert_eq!(status(send(&target, headers, body)), "400", "{headers}");
        }
        assert_eq!(status(send(&target, "fencing-token: 7\r\n", "first")), "400");
        assert!(target.arrived().is_empty());
        assert_eq!(status(send(&target, "fencing-token: 7\r\n", "1")), "200");
    }

    #[test]
    fn a_held_request_arrives_late_though_its_sender_is_gone_and_only_the_comparison_keeps_the_order() {
        let target = Target::start(TOKEN_HEADER).unwrap();
        target.hold_next();
        let sender = put(&target, 7, 0);
        let one = |what, count: fn(&Target) -> usize| {
            await_that(what, SOON, || count(&target), |count| *count == 1);
        };
        one("the request to be held", Target::held);
        drop(sender);
        assert_eq!(status(put(&target, 9, 0)), "200");
        target.release();
        one("the late one to be refused", |target| target.arrived().len() - target.taken().len());
        assert!(effects_agree_with_tokens(&target.taken()).is_ok());
        let found = effects_agree_with_tokens(&target.arrived()).unwrap_err();
        assert!(matches!(&found[..], [Violation::TokenFell { late, .. }] if late.token == 7), "{found:?}");
    }

    #[test]
    fn it_ends_with_whoever_holds_it() {
        let target = Target::start(TOKEN_HEADER).unwrap();
        target.hold_next();
        let held = put(&target, 7, 0);
        await_that("the request to be held", SOON, || target.held(), |held| *held == 1);
        let address = target.address;
        drop(target);
        let gone = || TcpStream::connect(address).is_err();
        await_that("nobody to listen", SOON, gone, |gone| *gone);
        assert_eq!((&held).read(&mut [0]).unwrap(), 0, "what was held is dropped");
    }
}

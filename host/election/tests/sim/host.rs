//! One host: its clock, its client of the ensemble, what its tasks wait for.

use std::time::Duration;

use silverback_election::{Heartbeats, Report};

use crate::driver::Driver;
use crate::setting::Time;
use crate::term::Term;

/// A boot clock: it counts through pauses, and is wrong by a constant rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostClock {
    pub(crate) offset: Time,
    /// Parts per thousand; slow where negative.
    pub(crate) rate: i64,
}

impl HostClock {
    pub(crate) fn at(&self, now: Time) -> Duration {
        Duration::from_micros(self.offset + now * self.thousandths() / 1000)
    }

    /// When the clock will show that, not before `now`.
    pub(crate) fn when(&self, shown: Duration, now: Time) -> Time {
        let since = (shown.as_micros() as Time).saturating_sub(self.offset);
        (since * 1000).div_ceil(self.thousandths()).max(now)
    }

    fn thousandths(&self) -> u64 {
        (1000 + self.rate) as u64
    }
}

/// What a host asks of the ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Sent then, by the host's clock, as with a heartbeat.
    Ping(Duration),
    /// Sent then, by the host's clock.
    Heartbeat(Duration),
    Create(String),
    Delete(String),
    Look,
    List(String),
    Verify(String),
    Watch(String),
    /// A guest's, fenced by this contender; it records its token.
    GuestWrite(String, i64),
}

impl Ask {
    pub(crate) fn is_write(&self) -> bool {
        match self {
            Ask::Heartbeat(_) | Ask::Create(_) | Ask::Delete(_) | Ask::GuestWrite(..) => true,
            Ask::Ping(_) | Ask::Look | Ask::List(_) | Ask::Verify(_) | Ask::Watch(_) => false,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) ask: Ask,
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Pong,
    /// Done, or, for what wants a thing gone, not there.
    Done,
    Created(String),
    /// By a limit of the server's.
    Refused,
    Children(Vec<String>),
    Queue(Vec<String>, Option<(i64, i64)>),
    Stat(Option<(i64, i64)>),
    Changed,
    /// The connection broke first: it may or may not have been done.
    Unknown,
}

/// What the host's session looks like from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Connected,
    Disconnected,
    Lost,
}

/// A client of the ensemble, with one session.
pub(crate) struct Client {
    pub(crate) session: i64,
    pub(crate) link: Link,
    /// Names this connection among all; another after each break.
    pub(crate) connection: u64,
    pub(crate) server: usize,
    /// When something last came from the server.
    pub(crate) received: Time,
    /// How much of the log this session has seen: no server that is behind takes it.
    pub(crate) seen: usize,
    pub(crate) queued: Vec<Request>,
    pub(crate) in_flight: Vec<Request>,
    /// Nothing gets to the server any more, though nobody knows.
    pub(crate) deaf: bool,
    /// Nothing gets back.
    pub(crate) mute: bool,
    pub(crate) last_sent: Time,
    pub(crate) last_delivery: Time,
    /// The loss is told only when faults are over.
    pub(crate) keeps_loss_back: bool,
}

/// What happens at a host. While its process is paused, nothing does.
#[derive(Clone, Debug)]
pub(crate) enum HostEvent {
    /// The client's thread hands it to the network.
    Leave(Request),
    Deliver {
        connection: u64,
        request: u64,
        reply: Reply,
        seen: usize,
    },
    /// A reply, as whoever waits for it sees it.
    Answer(Request, Reply),
    /// The session's state, as whoever follows it sees it: only the latest.
    LinkChanged,
    ClientTick,
    /// One try at a time, after the break that gave the connection this number.
    Reconnect(u64),
    Reconnected {
        server: usize,
        drops: u32,
    },
    Refused,
    OpenSession,
    Opened {
        session: i64,
        server: usize,
        drops: u32,
        opening: Duration,
    },
    HeartbeatDue,
    /// This read has waited for the lease for as long as a session lives unheard.
    Unvouched(u64),
    LeaseEnds {
        term: u64,
    },
    LeaseOver {
        term: u64,
    },
    GraceEnds {
        term: u64,
    },
    GuestTurn {
        term: u64,
    },
    Trap {
        term: u64,
        report: Report,
    },
    Served {
        term: u64,
        report: Report,
    },
    Rested(u64),
    Repeat(Request),
    DeleteTimedOut(u64),
    Resign,
    Leaves,
    StandsAgain,
}

impl HostEvent {
    /// In which order what is ready at the same time is taken, as the driver's `select!` does.
    pub(crate) fn order(&self) -> u8 {
        match self {
            HostEvent::LeaseEnds { .. } | HostEvent::LeaseOver { .. } => 0,
            HostEvent::LinkChanged => 1,
            HostEvent::Resign | HostEvent::Leaves => 2,
            HostEvent::Served { .. } | HostEvent::Trap { .. } => 3,
            HostEvent::GraceEnds { .. } => 4,
            HostEvent::Answer(request, _) if request.ask.is_write() => 5,
            HostEvent::Answer(..) | HostEvent::Repeat(_) | HostEvent::DeleteTimedOut(_) | HostEvent::Unvouched(_) => 6,
            HostEvent::Rested(_) | HostEvent::StandsAgain => 7,
            HostEvent::Leave(_)
            | HostEvent::Deliver { .. }
            | HostEvent::ClientTick
            | HostEvent::Reconnect(_)
            | HostEvent::Reconnected { .. }
            | HostEvent::Refused
            | HostEvent::OpenSession
            | HostEvent::Opened { .. }
            | HostEvent::HeartbeatDue
            | HostEvent::GuestTurn { .. } => 8,
        }
    }
}

pub(crate) struct Host {
    /// Of a process with a session; what belongs to an earlier one is dropped.
    pub(crate) life: u32,
    pub(crate) clock: HostClock,
    pub(crate) paused: bool,
    /// Came while it was paused.
    pub(crate) deferred: Vec<HostEvent>,
    /// It reaches no server until then.
    pub(crate) holed_until: Time,
    pub(crate) client: Option<Client>,
    pub(crate) heartbeats: Option<Heartbeats>,
    /// The lease's end, on the host's clock.
    pub(crate) stop_at: Duration,
    /// Reads that wait until the lease vouches.
    pub(crate) unvouched: Vec<Request>,
    pub(crate) driver: Option<Driver>,
    pub(crate) term: Option<Term>,
    /// Nothing but delays since then.
    pub(crate) undisturbed_since: Time,
    /// It never leaves, so that somebody must lead in the end.
    pub(crate) stays: bool,
}

impl Host {
    pub(crate) fn new(clock: HostClock, stays: bool) -> Self {
        Host {
            life: 0,
            clock,
            paused: false,
            deferred: Vec::new(),
            holed_until: 0,
            client: None,
            heartbeats: None,
            stop_at: Duration::ZERO,
            unvouched: Vec::new(),
            driver: None,
            term: None,
            undisturbed_since: 0,
            stays,
        }
    }

    pub(crate) fn lease_is_over(&self, now: Time) -> bool {
        self.clock.at(now) >= self.stop_at
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.link == Link::Connected)
    }

    /// Whether instructions of the guest are executed.
    pub(crate) fn executes(&self) -> bool {
        !self.paused && self.term.as_ref().is_some_and(|term| term.executing)
    }

    /// Whether the guest may execute, by what the host knows.
    pub(crate) fn has_live_gate(&self, now: Time) -> bool {
        self.executes() && self.term.as_ref().is_some_and(Term::stands) && !self.lease_is_over(now)
    }
}

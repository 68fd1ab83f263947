//! Candidates on a coordinator in memory, with duties that say when they start and stop.

mod clock_check;
mod ends;
mod faults;
mod hand_back;
mod leader_job;
mod prefer;
mod queue;
mod refusals;
mod simulation;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use silverback_election::{LeaseRule, OnReturn, Report};
use tokio::sync::{Notify, mpsc};

use super::{
    Candidacy, Candidate, Concern, Duty, MakesWay, Membership, Preference, Served, Standing, Timeline, contenders,
};
use crate::capability::{Ending, Gate, GateState};
use crate::clock;
use crate::coordinator::{Coordinator, CreateMode, Embedded, Op, Session, ensure_path};
use crate::registry::{About, Problems};

const ELECTION: &str = "/zoo/election";
/// Long beside what a test should take, short beside what a person waits.
const HANGS: Duration = Duration::from_secs(20);
/// A session timeout whose heartbeats are a second apart: the first is awaited, and none comes within a test.
const CALM: Duration = Duration::from_secs(6);

/// Fails the test where what is awaited does not come.
async fn soon<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, awaited).await.unwrap_or_else(|_| panic!("{what} does not come"))
}

/// The ensemble, and a session that looks on and stands nowhere.
struct Place {
    embedded: Embedded,
    onlooker: Arc<dyn Session>,
    timeout: Duration,
}

impl Place {
    async fn new(timeout: Duration) -> Self {
        let embedded = Embedded::in_memory(clock::system(), timeout);
        let onlooker = embedded.connect(HANGS).await.unwrap();
        for path in [ELECTION, "/zoo/hosts"] {
            ensure_path(onlooker.as_ref(), path).await.unwrap();
        }
        Place { embedded, onlooker, timeout }
    }

    /// A member whose first heartbeat has been answered.
    async fn host(&self, name: &'static str) -> Host {
        let session = self.embedded.connect(HANGS).await.unwrap();
        let path = format!("/zoo/hosts/{name}");
        let value = Arc::new(|| b"here".to_vec());
        let rule = LeaseRule::new(self.timeout, Duration::ZERO).unwrap();
        let member = Membership::join(
            session,
            rule,
            clock::system(),
            path.clone(),
            value,
            Timeline::unkept(),
            Concern::untold(),
        )
        .await
        .unwrap();
        soon("a heartbeat", async {
            while let (stat, mut watch) = self.onlooker.stat_and_watch(&path).await.unwrap()
                && stat.is_some_and(|stat| stat.version == 0)
            {
                watch.changed().await;
            }
        })
        .await;
        Host { name, member, timeout: self.timeout }
    }

    /// The queue's identifiers.
    async fn queue(&self) -> Vec<String> {
        let queue = contenders(self.onlooker.as_ref(), ELECTION).await.unwrap();
        queue.into_iter().map(|entry| entry.identifier).collect()
    }

    /// Returns when the queue is this one.
    async fn until_queue(&self, wanted: &[&str]) {
        soon(&format!("the queue {wanted:?}"), async {
            loop {
                let (_, mut watch) = self.onlooker.list_and_watch(ELECTION).await.unwrap();
                if self.queue().await == wanted {
                    return;
                }
                watch.changed().await;
            }
        })
        .await;
    }

    /// Somebody else's contender.
    async fn foreign(&self, prefix: &str) -> (Arc<dyn Session>, String) {
        self.foreign_as(prefix, prefix).await
    }

    /// Somebody else's contender that calls itself so.
    async fn foreign_as(&self, prefix: &str, identifier: &str) -> (Arc<dyn Session>, String) {
        let session = self.embedded.connect(HANGS).await.unwrap();
        let path = format!("{ELECTION}/{prefix}");
        let path = session.create(&path, identifier.as_bytes(), CreateMode::EphemeralSequential).await.unwrap();
        (session, path)
    }
}

struct Host {
    name: &'static str,
    member: Arc<Membership>,
    timeout: Duration,
}

impl Host {
    fn session(&self) -> i64 {
        self.member.session().id()
    }

    fn candidacy(&self) -> Candidacy {
        Candidacy {
            election: ELECTION.to_owned(),
            names: silverback_election::Names::Kazoo,
            identifier: self.name.to_owned(),
            on_return: OnReturn::Requeue,
            grace: self.timeout,
            max_term: None,
            makes_way: MakesWay::ForNobody,
            problems: Problems::default(),
            about: About::Cluster,
        }
    }

    /// Makes way for these hosts, once they have stood behind it for `after`.
    fn preferring(&self, hosts: &[&str], after: Duration) -> Candidacy {
        let preference = preference(hosts, after);
        Candidacy { makes_way: MakesWay::ForPreferred(preference), ..self.candidacy() }
    }

    fn stand(&self, duty: &Arc<FakeDuty>) -> Candidate {
        Candidate::stand(self.member.clone(), self.candidacy(), duty.clone())
    }
}

fn preference(hosts: &[&str], after: Duration) -> Preference {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    Preference { hosts, after, live: "/zoo/hosts".to_owned() }
}

/// Returns when the candidate stands so.
async fn until(candidate: &Candidate, wanted: fn(&Standing) -> bool) {
    let mut standing = candidate.follow();
    soon("the standing", standing.wait_for(wanted)).await.unwrap();
}

fn waits(standing: &Standing) -> bool {
    *standing == Standing::Waiting
}

/// When a duty returns, and how.
#[derive(Clone, Copy)]
enum Manner {
    /// Soon after it is asked.
    Obeys,
    /// As [`Manner::Obeys`], and by itself when way is asked for.
    MakesWay,
    /// When its term has ended, whatever it is asked.
    Ignores,
    /// At once.
    Returns(Report),
    /// Never: it panics at once.
    Panics,
}

/// What a duty tells of itself.
enum Said {
    Started(Arc<Gate>),
    /// It executes no more; whether its contender still stood then.
    Stopped {
        contender_stood: bool,
    },
    /// A term ended before it began.
    NotBegun(Option<Ending>),
}

struct FakeDuty {
    manner: Manner,
    said: mpsc::UnboundedSender<Said>,
    onlooker: Arc<dyn Session>,
    /// A duty that was asked to stop goes on until it is let go.
    let_go: Arc<Notify>,
    last_words: Vec<Op>,
}

/// The test's end of a duty.
struct Ear {
    heard: mpsc::UnboundedReceiver<Said>,
    let_go: Arc<Notify>,
}

impl FakeDuty {
    fn new(place: &Place, manner: Manner) -> (Arc<Self>, Ear) {
        Self::saying(place, manner, Vec::new())
    }

    fn saying(place: &Place, manner: Manner, last_words: Vec<Op>) -> (Arc<Self>, Ear) {
        let (said, heard) = mpsc::unbounded_channel();
        let let_go = Arc::new(Notify::new());
        let onlooker = place.onlooker.clone();
        let duty = FakeDuty { manner, said, onlooker, let_go: let_go.clone(), last_words };
        (Arc::new(duty), Ear { heard, let_go })
    }

    async fn stopped(&self, gate: &Gate, report: Report) -> Served {
        let contender_stood = self.onlooker.stat(gate.contender()).await.unwrap().is_some();
        self.said.send(Said::Stopped { contender_stood }).unwrap();
        Served { report, last_words: self.last_words.clone(), released: None }
    }
}

#[async_trait]
impl Duty for FakeDuty {
    async fn serve(&self, gate: Arc<Gate>) -> Served {
        self.said.send(Said::Started(gate.clone())).unwrap();
        match self.manner {
            Manner::Obeys => {
                let (mut asked, mut state) = (gate.stop_asked(), gate.state());
                asked.wait_for(|asked| *asked).await.unwrap();
                let report = tokio::select! {
                    () = self.let_go.notified() => Report::Done,
                    _ = state.wait_for(|state| *state == GateState::Over) => Report::Stopped,
                };
                self.stopped(&gate, report).await
            }
            Manner::MakesWay => {
                let (mut asked, mut way) = (gate.stop_asked(), gate.way_asked());
                tokio::select! {
                    stop = asked.wait_for(|asked| *asked) => drop(stop),
                    way = way.wait_for(|asked| *asked) => drop(way),
                }
                self.stopped(&gate, Report::Done).await
            }
            Manner::Ignores => {
                gate.state().wait_for(|state| *state == GateState::Over).await.unwrap();
                self.stopped(&gate, Report::Stopped).await
            }
            Manner::Returns(report) => self.stopped(&gate, report).await,
            Manner::Panics => panic!("as the test wants it"),
        }
    }

    async fn not_begun(&self, gate: &Gate) {
        self.said.send(Said::NotBegun(gate.ending())).unwrap();
    }
}

impl Ear {
    /// The next start's gate.
    async fn started(&mut self) -> Arc<Gate> {
        match soon("a start", self.heard.recv()).await {
            Some(Said::Started(gate)) => gate,
            Some(Said::Stopped { .. } | Said::NotBegun(_)) | None => panic!("it should start"),
        }
    }

    /// The next stop; true where its contender still stood.
    async fn stopped(&mut self) -> bool {
        match soon("a stop", self.heard.recv()).await {
            Some(Said::Stopped { contender_stood }) => contender_stood,
            Some(Said::Started(_) | Said::NotBegun(_)) | None => panic!("it should stop"),
        }
    }

    /// Why the next term ended before it began.
    async fn not_begun(&mut self) -> Option<Ending> {
        match soon("a term that does not begin", self.heard.recv()).await {
            Some(Said::NotBegun(ending)) => ending,
            Some(Said::Started(_) | Said::Stopped { .. }) | None => panic!("it should not begin"),
        }
    }

    fn heard_nothing(&mut self) -> bool {
        self.heard.try_recv().is_err()
    }
}

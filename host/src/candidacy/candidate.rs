//! One host's candidacy in one election on one session: the task that drives the machine.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use silverback_election::{Action, Election, Event, How, Names, OnReturn, Report, State, curator_prefix, lock_prefix};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info};

use super::concern::Concern;
use super::courtesy::{Courtesy, MakesWay, Manners};
use super::duty::Duty;
use super::heartbeat::Membership;
use super::pause;
use super::queue::child;
use super::rear::Rear;
use super::requests::Requests;
use super::term::{Past, Term, ending};
use crate::capability::{Ending, Gate, Lease};
use crate::coordinator::{Op, SessionState};
use crate::registry::{About, Problems};
use crate::vital;

/// What is stood for, and how.
#[derive(Clone)]
pub struct Candidacy {
    /// The election's path; made where it is missing.
    pub election: String,
    /// Whose form the contender's name has.
    pub names: Names,
    /// Written into the contender: who leads.
    pub identifier: String,
    /// What follows when the duty returns.
    pub on_return: OnReturn,
    /// How long the duty has to return after it was asked, before it is stopped.
    pub grace: Duration,
    /// How long a term lasts before it is given up; None: as long as it can.
    pub max_term: Option<Duration>,
    /// Whom this host makes way for.
    pub makes_way: MakesWay,
    /// Where it is told what keeps this host from standing.
    pub problems: Problems,
    /// Which jobs that is about.
    pub about: About,
}

/// Where a candidate stands, for whoever shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On its way into the queue or to the lead, or backing off.
    Joining,
    /// In the queue behind another.
    Waiting,
    /// Leads with this token.
    Leading {
        /// The czxid of the contender.
        token: i64,
    },
    /// Gives its term up: the duty is being stopped, then the contender deleted.
    Leaving,
}

/// Why a candidate stands no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to leave.
    Left,
    /// Its duty returned, and `on_return` says stop.
    Returned,
    /// The session is lost: stand again on the next.
    SessionLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Resign,
    Withdraw,
    Leave,
}

/// A candidacy under way.
pub struct Candidate {
    commands: mpsc::UnboundedSender<Command>,
    standing: watch::Receiver<Standing>,
    ended: watch::Receiver<Option<Ended>>,
}

impl Candidate {
    /// Stands, from a task of the current tokio runtime.
    pub fn stand(member: Arc<Membership>, candidacy: Candidacy, duty: Arc<dyn Duty>) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let (standing_tx, standing) = watch::channel(Standing::Joining);
        let (ended_tx, ended) = watch::channel(None);
        let driver = Driver::new(member, candidacy, duty, received, standing_tx);
        tokio::spawn(async move {
            let _part = vital::part("a candidate");
            ended_tx.send_replace(Some(driver.drive().await));
        });
        Candidate { commands, standing, ended }
    }

    /// Gives up the term, if there is one, and stands again at the end of the queue.
    pub fn resign(&self) {
        let _ = self.commands.send(Command::Resign);
    }

    /// Stands no more, unless it leads: then it goes on.
    pub fn withdraw(&self) {
        let _ = self.commands.send(Command::Withdraw);
    }

    /// Stands no more: stops the duty, then releases.
    pub fn leave(&self) {
        let _ = self.commands.send(Command::Leave);
    }

    /// Where it stands now.
    pub fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Follows where it stands.
    pub fn follow(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Why it stands no more, if so.
    pub fn ended_now(&self) -> Option<Ended> {
        *self.ended.borrow()
    }

    /// Follows why it stands no more: None while it does. It outlives the candidate, whose end it tells.
    pub fn follow_end(&self) -> watch::Receiver<Option<Ended>> {
        self.ended.clone()
    }

    /// Waits until it stands no more.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.follow_end();
        let ended = ended.wait_for(Option::is_some).await;
        ended.ok().and_then(|ended| *ended).unwrap_or(Ended::SessionLost)
    }
}

/// The task's own things: the machine, and what it has asked for and waits for. Each of the optional futures is one event
/// to come.
struct Driver {
    machine: Election,
    requests: Requests,
    candidacy: Candidacy,
    member: Arc<Membership>,
    duty: Arc<dyn Duty>,
    commands: mpsc::UnboundedReceiver<Command>,
    session_state: watch::Receiver<SessionState>,
    standing: watch::Sender<Standing>,
    write: Option<BoxFuture<'static, Event>>,
    read: Option<BoxFuture<'static, Event>>,
    rest: Option<BoxFuture<'static, ()>>,
    lease_end: Option<BoxFuture<'static, ()>>,
    grace_end: Option<BoxFuture<'static, ()>>,
    term_end: Option<BoxFuture<'static, ()>>,
    /// Whom to make way for, once there is somebody.
    heir: Option<BoxFuture<'static, String>>,
    term: Option<Term>,
    courtesy: Courtesy,
    last_words: Vec<Op>,
    /// Kept until the last term is released.
    unreleased: Option<oneshot::Sender<()>>,
    last_term: Option<Duration>,
    told_to_leave: bool,
    session_lost: bool,
    /// The duty returned, and `on_return` says stop.
    returned: bool,
    finished: Option<Ended>,
}

impl Driver {
    fn new(
        member: Arc<Membership>,
        candidacy: Candidacy,
        duty: Arc<dyn Duty>,
        commands: mpsc::UnboundedReceiver<Command>,
        standing: watch::Sender<Standing>,
    ) -> Self {
        let session = member.session().clone();
        Driver {
            machine: Election::new(session.id(), candidacy.on_return),
            session_state: session.state(),
            requests: Requests {
                session,
                lease: member.lease().clone(),
                election: candidacy.election.as_str().into(),
                identifier: candidacy.identifier.as_str().into(),
                concern: Concern::new(candidacy.problems.clone(), candidacy.about.clone(), member.clock().clone()),
            },
            courtesy: Courtesy::new(candidacy.makes_way.clone()),
            candidacy,
            member,
            duty,
            commands,
            standing,
            write: None,
            read: None,
            rest: None,
            lease_end: None,
            grace_end: None,
            term_end: None,
            heir: None,
            term: None,
            last_words: Vec::new(),
            unreleased: None,
            last_term: None,
            told_to_leave: false,
            session_lost: false,
            returned: false,
            finished: None,
        }
    }

    async fn drive(mut self) -> Ended {
        let mut event = Some(stand(self.candidacy.names));
        loop {
            if let Some(event) = event {
                debug!(election = self.candidacy.election, ?event, "election event");
                self.note(&event);
                let ending = ending(&event);
                for action in self.machine.step(event) {
                    self.act(action, ending);
                }
                if !matches!(self.machine.state(), State::Releasing { .. }) {
                    self.unreleased = None;
                }
                self.publish();
            }
            if let Some(ended) = self.finished {
                return ended;
            }
            event = self.next_event().await;
        }
    }

    fn note(&mut self, event: &Event) {
        self.session_lost |= *event == Event::SessionLost;
        self.courtesy.note(event);
    }

    /// Waits for whatever comes first. What ends a term comes before what keeps it going.
    async fn next_event(&mut self) -> Option<Event> {
        tokio::select! {
            biased;
            () = wait(&mut self.lease_end) => Some(Event::LeaseOver),
            changed = self.session_state.changed(), if !self.session_lost => Some(match changed {
                Ok(()) => session_event(*self.session_state.borrow_and_update()),
                Err(_) => Event::SessionLost,
            }),
            command = self.commands.recv(), if !self.told_to_leave => {
                self.commanded(command.unwrap_or(Command::Leave))
            }
            past = past(&mut self.term) => Some(self.served(past)),
            () = wait(&mut self.grace_end) => {
                self.end_gate();
                None
            }
            () = wait(&mut self.term_end) => {
                self.on_gate(|gate| gate.because(Ending::MaxTerm));
                Some(Event::Resign)
            }
            heir = wait(&mut self.heir) => Some(self.make_way(heir)),
            event = wait(&mut self.write) => Some(event),
            event = wait(&mut self.read) => Some(event),
            () = wait(&mut self.rest) => Some(stand(self.candidacy.names)),
        }
    }

    fn commanded(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Resign => Some(Event::Resign),
            Command::Withdraw if matches!(self.machine.state(), State::Leading { .. }) => None,
            Command::Withdraw | Command::Leave => {
                self.told_to_leave = true;
                Some(Event::Leave)
            }
        }
    }

    fn make_way(&mut self, heir: String) -> Event {
        info!(election = self.candidacy.election, heir, "makes way for a preferred host");
        self.on_gate(|gate| gate.because(Ending::Preferred));
        self.courtesy.gives_up_for(heir);
        Event::Resign
    }

    fn served(&mut self, Past { served, passed_to }: Past) -> Event {
        self.last_term = self.term.take().map(|term| {
            self.courtesy.served(&term.gate, passed_to, self.member.clock().boot());
            term.granted_at
        });
        self.returned = matches!(self.machine.state(), State::Leading { .. })
            && self.candidacy.on_return == OnReturn::Stop
            && served.report != Report::Stopped;
        self.lease_end = None;
        self.grace_end = None;
        self.term_end = None;
        self.heir = None;
        self.last_words = served.last_words;
        self.unreleased = served.released;
        Event::GuestStopped(served.report)
    }

    // ---- actions ----

    /// `ending`: why a guest is stopped, where the action says so.
    fn act(&mut self, action: Action, ending: Option<Ending>) {
        let requests = self.requests.clone();
        match action {
            Action::Create { prefix } => self.send(requests.create(prefix)),
            Action::Delete { name } => {
                let last_words = std::mem::take(&mut self.last_words);
                self.send(requests.delete(name, last_words));
            }
            Action::Look => self.ask(requests.look()),
            Action::List { name } => self.ask(requests.list(name)),
            Action::Watch { name } => self.ask(requests.watch(name)),
            Action::Verify { name } => self.ask(requests.verify(name)),
            Action::Grant { name, token } => self.grant(&name, token),
            Action::OpenGate => self.open_gate(),
            Action::CloseGate => self.on_gate(Gate::close),
            Action::StopGuest(how) => self.stop_guest(how, ending),
            Action::Rest { failures } => self.rest(failures),
            Action::Finish => self.finish(),
        }
    }

    /// A write; its answer is always awaited.
    fn send(&mut self, write: impl Future<Output = Event> + Send + 'static) {
        self.read = None;
        self.write = Some(Box::pin(write));
    }

    /// A read; the one before is no longer wanted.
    fn ask(&mut self, read: impl Future<Output = Event> + Send + 'static) {
        self.read = Some(Box::pin(read));
    }

    fn grant(&mut self, name: &str, czxid: i64) {
        let token = self.member.timeline().token(czxid);
        let lease = self.member.lease().clone();
        let contender = child(&self.candidacy.election, name);
        let session = self.member.session().clone();
        let gate = Gate::new(session, contender, token, self.candidacy.identifier.clone(), lease.clone());
        info!(election = self.candidacy.election, token, "leads");
        if !self.is_connected() {
            gate.close();
        }
        let granted_at = self.member.clock().boot();
        let manners = self.courtesy.of_term(self.rear(name), &gate, granted_at);
        let (passing, heir) = manners.map(|Manners { passing, heir }| (passing, heir)).unzip();
        self.term = Some(Term::begin(self.duty.clone(), gate, granted_at, passing, self.member.timeline().clone()));
        self.lease_end = Some(Box::pin(lease_end(lease)));
        self.term_end = self.candidacy.max_term.map(|max_term| Box::pin(tokio::time::sleep(max_term)) as BoxFuture<_>);
        self.heir = heir;
    }

    /// Those behind our contender `me`.
    fn rear(&self, me: &str) -> Rear {
        Rear {
            session: self.member.session().clone(),
            clock: self.member.clock().clone(),
            election: self.candidacy.election.clone(),
            me: me.to_owned(),
        }
    }

    /// Not where the connection broke again since our contender was seen: the next reconnect looks anew.
    fn open_gate(&self) {
        if self.is_connected() {
            self.on_gate(Gate::open);
        }
    }

    fn is_connected(&self) -> bool {
        *self.session_state.borrow() == SessionState::Connected
    }

    fn on_gate(&self, act: impl FnOnce(&Gate)) {
        if let Some(term) = &self.term {
            act(&term.gate);
        }
    }

    fn stop_guest(&mut self, how: How, ending: Option<Ending>) {
        if let (Some(term), Some(ending)) = (&self.term, ending) {
            term.gate.because(ending);
            let ending = term.gate.ending().unwrap_or(ending);
            info!(election = self.candidacy.election, token = term.gate.token(), %ending, "a term is being ended");
        }
        match how {
            How::Ask => self.ask_stop(),
            How::Now => self.end_gate(),
        }
    }

    fn ask_stop(&mut self) {
        self.term_end = None;
        self.heir = None;
        self.on_gate(Gate::ask_stop);
        self.grace_end = Some(Box::pin(tokio::time::sleep(self.candidacy.grace)));
    }

    fn end_gate(&mut self) {
        self.on_gate(Gate::end);
        self.lease_end = None;
        self.grace_end = None;
    }

    fn rest(&mut self, failures: u32) {
        let granted = self.last_term.take();
        let since_grant = granted.map(|granted| self.member.clock().boot().saturating_sub(granted));
        let pause = pause::before_standing_again(failures, since_grant);
        self.read = None;
        // Those of a term whose contender was gone: no later release speaks for it.
        self.last_words.clear();
        self.rest = Some(Box::pin(tokio::time::sleep(pause)));
    }

    /// A duty that is done is done, also where the session was lost before its contender was seen to be gone.
    fn finish(&mut self) {
        self.finished = Some(if self.returned {
            Ended::Returned
        } else if self.session_lost {
            Ended::SessionLost
        } else {
            Ended::Left
        });
    }

    fn publish(&self) {
        let standing = match self.machine.state() {
            State::Leading { token, .. } => Standing::Leading { token: *token },
            State::Waiting { .. } => Standing::Waiting,
            State::Stopping { .. } | State::Releasing { .. } | State::Dying | State::Gone => Standing::Leaving,
            State::Idle | State::Joining { .. } | State::Looking { .. } | State::Listing { .. } | State::Resting => {
                Standing::Joining
            }
        };
        self.standing.send_if_modified(|now| std::mem::replace(now, standing) != standing);
    }
}

fn stand(names: Names) -> Event {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let prefix = match names {
        Names::Kazoo => lock_prefix(&id),
        Names::Curator => curator_prefix(&id),
    };
    Event::Stand { prefix }
}

fn session_event(state: SessionState) -> Event {
    match state {
        SessionState::Connected => Event::Connected,
        SessionState::Disconnected => Event::Disconnected,
        SessionState::Lost => Event::SessionLost,
    }
}

/// Returns when the lease has ended, however often it was moved on meanwhile.
async fn lease_end(lease: Arc<Lease>) {
    loop {
        match lease.remaining() {
            Duration::ZERO => return,
            left => tokio::time::sleep(left).await,
        }
    }
}

/// Takes the optional future's output when it comes, and leaves None.
async fn wait<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(running) => {
            let output = running.await;
            *future = None;
            output
        }
        None => pending().await,
    }
}

async fn past(term: &mut Option<Term>) -> Past {
    match term {
        Some(term) => term.past().await,
        None => pending().await,
    }
}

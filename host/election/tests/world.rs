//! Many machines against one imagined ensemble: every order of answers, faults and requests that a seed gives, with the
//! invariants checked after each event.

use std::collections::BTreeMap;

use proptest::prelude::*;
use silverback_election::{Action, Contender, Election, Event, How, OnReturn, Report, State, in_order, lock_prefix};

/// A node of the election's path.
#[derive(Clone, Debug)]
struct Node {
    owner: i64,
    czxid: i64,
}

/// The part of the ensemble that an election sees.
struct Ensemble {
    nodes: BTreeMap<String, Node>,
    counter: i32,
    zxid: i64,
}

/// A guest that the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    None,
    Runs,
    Stopping,
}

/// One host: its machine and what its driver has under way.
struct Host {
    session: i64,
    machine: Election,
    requests: Vec<Action>,
    watching: Option<String>,
    guest: Guest,
    connected: bool,
    finished: bool,
    joins: u32,
    token: i64,
}

struct World {
    ensemble: Ensemble,
    hosts: Vec<Host>,
    highest_token: i64,
}

impl World {
    fn new(hosts: usize, counter: i32) -> Self {
        let mut world = World {
            ensemble: Ensemble { nodes: BTreeMap::new(), counter, zxid: 100 },
            hosts: (0..hosts as i64).map(|session| Host::new(session + 1)).collect(),
            highest_token: 0,
        };
        (0..hosts).for_each(|host| world.stand(host));
        world
    }

    fn stand(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        it.joins += 1;
        let prefix = lock_prefix(&format!("{:016x}{:016x}", it.session, it.joins));
        self.tell(host, Event::Stand { prefix });
    }

    /// One event into a machine, its actions into the driver, then every invariant.
    fn tell(&mut self, host: usize, event: Event) {
        let actions = self.hosts[host].machine.step(event.clone());
        for action in &actions {
            self.invariant_nothing_follows_the_end(host, action);
            match action {
                Action::Create { .. } | Action::Delete { .. } => {
                    self.invariant_one_write_at_a_time(host);
                    self.hosts[host].drop_reads();
                    self.hosts[host].requests.push(action.clone());
                }
                Action::Look | Action::List { .. } | Action::Watch { .. } | Action::Verify { .. } => {
                    self.hosts[host].drop_reads();
                    self.hosts[host].requests.push(action.clone());
                }
                Action::Grant { name, token } => self.grant(host, name, *token),
                Action::StopGuest(_) => self.hosts[host].stop_guest(),
                Action::Rest { .. } => self.hosts[host].requests.push(action.clone()),
                Action::CloseGate | Action::OpenGate => self.invariant_a_gate_has_a_guest(host),
                Action::Finish => self.finish(host),
            }
            if let Action::Delete { .. } = action {
                assert_eq!(self.hosts[host].guest, Guest::None, "a contender goes only after its guest has stopped");
            }
        }
        self.invariant_one_guest_is_first_in_the_queue();
    }

    fn grant(&mut self, host: usize, name: &str, token: i64) {
        assert_eq!(self.hosts[host].guest, Guest::None, "a guest is started only when none runs");
        let node = self.ensemble.nodes.get(name);
        // The session may have been lost without our knowing yet; then there is no node, and the fence refuses writes.
        if let Some(node) = node {
            assert_eq!((node.owner, node.czxid), (self.hosts[host].session, token), "granted on its own contender");
            assert!(token > self.highest_token, "tokens rise from term to term");
            self.highest_token = token;
        }
        self.hosts[host].guest = Guest::Runs;
        self.hosts[host].token = token;
    }

    fn finish(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        assert_eq!(it.guest, Guest::None, "the end comes after the guest's");
        it.finished = true;
        it.requests.clear();
        it.watching = None;
    }

    // ---- invariants ----

    fn invariant_nothing_follows_the_end(&self, host: usize, action: &Action) {
        assert!(!self.hosts[host].finished, "{action:?} after the end");
    }

    fn invariant_one_write_at_a_time(&self, host: usize) {
        let writes = self.hosts[host].requests.iter().filter(|request| request.is_write()).count();
        assert_eq!(writes, 0, "a write while another is under way");
    }

    fn invariant_a_gate_has_a_guest(&self, host: usize) {
        assert_ne!(self.hosts[host].guest, Guest::None, "a gate without a guest");
    }

    /// Whoever's guest runs while its contender stands is first: so no two such.
    fn invariant_one_guest_is_first_in_the_queue(&self) {
        let first = in_order(self.ensemble.nodes.keys()).into_iter().next();
        let leading: Vec<usize> =
            (0..self.hosts.len()).filter(|host| self.hosts[*host].guest != Guest::None && self.stands(*host)).collect();
        assert!(leading.len() <= 1, "two lead: {leading:?}");
        if let (Some(host), Some(first)) = (leading.first(), first) {
            assert_eq!(self.ensemble.nodes[first.name()].czxid, self.hosts[*host].token, "the leader is first");
        }
    }

    fn stands(&self, host: usize) -> bool {
        let token = self.hosts[host].token;
        self.ensemble.nodes.values().any(|node| node.czxid == token)
    }

    // ---- the driver and the ensemble ----

    /// Answers one of the host's requests, as the ensemble would, or with the given fault.
    fn answer(&mut self, host: usize, pick: usize, fault: Fault) {
        if self.hosts[host].requests.is_empty() || !self.hosts[host].connected {
            return;
        }
        let at = pick % self.hosts[host].requests.len();
        let request = self.hosts[host].requests.remove(at);
        let event = match request {
            Action::Create { prefix } => {
                if fault != Fault::LostRequest {
                    let name = self.ensemble.create(&prefix, self.hosts[host].session);
                    if fault == Fault::None { Event::Created(name) } else { Event::CreateUnknown }
                } else {
                    Event::CreateUnknown
                }
            }
            Action::Look => Event::Looked(self.ensemble.nodes.keys().cloned().collect()),
            Action::List { name } => {
                let children = self.ensemble.nodes.keys().cloned().collect();
                Event::Listed { children, own: self.ensemble.own(&name) }
            }
            Action::Watch { name } => {
                if self.ensemble.nodes.contains_key(&name) {
                    self.hosts[host].watching = Some(name);
                    return;
                }
                Event::WatchFired
            }
            Action::Verify { name } => Event::Verified(self.ensemble.own(&name)),
            Action::Delete { name } => {
                if fault != Fault::LostRequest {
                    self.delete(&name);
                }
                if fault == Fault::None { Event::Deleted } else { Event::DeleteUnknown }
            }
            Action::Rest { .. } => return self.stand(host),
            Action::Grant { .. } | Action::CloseGate | Action::OpenGate | Action::StopGuest(_) | Action::Finish => {
                return;
            }
        };
        self.tell(host, event);
    }

    fn delete(&mut self, name: &str) {
        self.ensemble.nodes.remove(name);
        let fired: Vec<usize> =
            (0..self.hosts.len()).filter(|host| self.hosts[*host].watching.as_deref() == Some(name)).collect();
        for host in fired {
            self.hosts[host].watching = None;
            self.tell(host, Event::WatchFired);
        }
    }

    /// The ensemble drops the session's nodes; the lease ended before that, so the guest was told to stop first.
    fn expire(&mut self, host: usize) {
        if self.hosts[host].finished {
            return;
        }
        self.tell(host, Event::LeaseOver);
        self.guest_ends(host, Report::Stopped);
        let session = self.hosts[host].session;
        let owned: Vec<String> = self
            .ensemble
            .nodes
            .iter()
            .filter(|(_, node)| node.owner == session)
            .map(|(name, _)| name.clone())
            .collect();
        owned.iter().for_each(|name| self.delete(name));
        self.tell(host, Event::SessionLost);
    }

    /// Somebody deletes the contender that is first in the queue.
    fn evict(&mut self) {
        if let Some(first) = in_order(self.ensemble.nodes.keys()).first() {
            self.delete(first.name());
        }
    }

    fn guest_ends(&mut self, host: usize, report: Report) {
        if self.hosts[host].guest != Guest::None {
            self.hosts[host].guest = Guest::None;
            self.tell(host, Event::GuestStopped(report));
        }
    }

    fn connection(&mut self, host: usize, up: bool) {
        if self.hosts[host].connected != up && !self.hosts[host].finished {
            self.hosts[host].connected = up;
            // What fires while the connection is down is not seen.
            self.hosts[host].watching = None;
            self.tell(host, if up { Event::Connected } else { Event::Disconnected });
        }
    }

    /// No more faults: everyone is connected and answered until nothing is left to do but lead and wait.
    fn settle(&mut self) {
        for host in 0..self.hosts.len() {
            self.connection(host, true);
        }
        for _ in 0..10_000 {
            let Some(host) = (0..self.hosts.len()).find(|host| self.hosts[*host].has_work()) else { return };
            if self.hosts[host].guest == Guest::Stopping {
                self.guest_ends(host, Report::Stopped);
            }
            self.answer(host, 0, Fault::None);
        }
        panic!("the machines do not come to rest");
    }

    fn invariant_someone_leads_if_anyone_stands(&self) {
        let standing = self.hosts.iter().filter(|host| !host.finished).count();
        let leading = self.hosts.iter().filter(|host| matches!(host.machine.state(), State::Leading { .. })).count();
        assert_eq!(leading, standing.min(1), "with the faults over exactly one leads");
    }

    fn invariant_no_guest_without_a_contender(&self) {
        for host in 0..self.hosts.len() {
            let runs = self.hosts[host].guest != Guest::None;
            assert!(!runs || self.stands(host), "a guest goes on though its contender is gone");
        }
    }

    fn invariant_no_orphan(&self) {
        for (name, node) in &self.ensemble.nodes {
            let host = self.hosts.iter().find(|host| host.session == node.owner).expect("an owner");
            let mine = match host.machine.state() {
                State::Waiting { me, .. } | State::Leading { me, .. } => me.name() == name,
                _ => false,
            };
            assert!(mine, "orphan {name} of {:?}", host.machine.state());
        }
    }
}

impl Ensemble {
    fn own(&self, name: &str) -> Option<(i64, i64)> {
        self.nodes.get(name).map(|node| (node.owner, node.czxid))
    }

    fn create(&mut self, prefix: &str, owner: i64) -> String {
        let name = format!("{prefix}{:010}", self.counter);
        self.counter = self.counter.wrapping_add(1);
        self.zxid += 1;
        self.nodes.insert(name.clone(), Node { owner, czxid: self.zxid });
        name
    }
}

impl Host {
    fn new(session: i64) -> Self {
        Host {
            session,
            machine: Election::new(session, OnReturn::Requeue),
            requests: Vec::new(),
            watching: None,
            guest: Guest::None,
            connected: true,
            finished: false,
            joins: 0,
            token: 0,
        }
    }

    fn drop_reads(&mut self) {
        self.requests.retain(Write::is_write);
        self.watching = None;
    }

    fn stop_guest(&mut self) {
        if self.guest == Guest::Runs {
            self.guest = Guest::Stopping;
        }
    }

    fn has_work(&self) -> bool {
        !self.requests.is_empty() || self.guest == Guest::Stopping
    }
}

trait Write {
    fn is_write(&self) -> bool;
}

impl Write for Action {
    fn is_write(&self) -> bool {
        matches!(self, Action::Create { .. } | Action::Delete { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The request never arrived; the outcome is not known.
    LostRequest,
    /// It was done; the reply never arrived.
    LostReply,
}

#[derive(Clone, Debug)]
enum Happening {
    Answer(usize, usize, Fault),
    GuestEnds(usize, Report),
    Disconnect(usize),
    Connect(usize),
    Lease(usize),
    Resign(usize),
    Leave(usize),
    Expire(usize),
    Evict,
}

fn happening(hosts: usize) -> impl Strategy<Value = Happening> {
    let fault = prop_oneof![6 => Just(Fault::None), 1 => Just(Fault::LostRequest), 1 => Just(Fault::LostReply)];
    let report = prop_oneof![Just(Report::Done), Just(Report::Failed), Just(Report::Stopped)];
    prop_oneof![
        20 => (0..hosts, 0..3usize, fault).prop_map(|(host, pick, fault)| Happening::Answer(host, pick, fault)),
        4 => (0..hosts, report).prop_map(|(host, report)| Happening::GuestEnds(host, report)),
        2 => (0..hosts).prop_map(Happening::Disconnect),
        3 => (0..hosts).prop_map(Happening::Connect),
        1 => (0..hosts).prop_map(Happening::Lease),
        1 => (0..hosts).prop_map(Happening::Resign),
        1 => (0..hosts).prop_map(Happening::Leave),
        1 => (0..hosts).prop_map(Happening::Expire),
        1 => Just(Happening::Evict),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn invariants_hold_through_every_fault(
        counter in prop_oneof![Just(0), Just(i32::MAX - 3), any::<i32>()],
        happenings in prop::collection::vec(happening(4), 1..150),
    ) {
        let mut world = World::new(4, counter);
        for happening in happenings {
            match happening {
                Happening::Answer(host, pick, fault) => world.answer(host, pick, fault),
                Happening::GuestEnds(host, report) => world.guest_ends(host, report),
                Happening::Disconnect(host) => world.connection(host, false),
                Happening::Connect(host) => world.connection(host, true),
                Happening::Lease(host) => world.tell(host, Event::LeaseOver),
                Happening::Resign(host) => world.tell(host, Event::Resign),
                Happening::Leave(host) => world.tell(host, Event::Leave),
                Happening::Expire(host) => world.expire(host),
                Happening::Evict => world.evict(),
            }
        }
        world.settle();
        world.invariant_no_guest_without_a_contender();
        world.invariant_someone_leads_if_anyone_stands();
        world.invariant_no_orphan();
    }
}

#[test]
fn a_contender_of_another_session_is_never_led_on() {
    let mut machine = Election::new(7, OnReturn::Requeue);
    machine.step(Event::Stand { prefix: lock_prefix("a") });
    machine.step(Event::Created("a__lock__0000000001".to_owned()));
    assert_eq!(machine.step(listed(6)), [Action::Rest { failures: 0 }]);
}

#[test]
fn a_reconnect_closes_nothing_for_good_but_reads_the_contender_first() {
    let mut machine = leading();
    assert_eq!(machine.step(Event::Disconnected), [Action::CloseGate]);
    let name = "a__lock__0000000001".to_owned();
    assert_eq!(machine.step(Event::Connected), [Action::Verify { name: name.clone() }]);
    assert_eq!(machine.step(Event::Verified(Some((7, 55)))), [Action::OpenGate, Action::Watch { name }]);
    machine.step(Event::Connected);
    assert_eq!(machine.step(Event::Verified(Some((7, 56)))), [Action::StopGuest(How::Now)]);
}

#[test]
fn failures_in_a_row_are_counted_for_the_back_off_and_forgotten_after_a_success() {
    let mut machine = leading();
    for failures in 1..=3 {
        machine.step(Event::GuestStopped(Report::Failed));
        assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures }]);
        lead_again(&mut machine);
    }
    machine.step(Event::GuestStopped(Report::Done));
    assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures: 0 }]);
}

#[test]
fn on_return_stop_leaves_the_queue_after_the_function_returned() {
    let mut machine = Election::new(7, OnReturn::Stop);
    lead_again(&mut machine);
    let me = Contender::parse("a__lock__0000000001").unwrap();
    assert_eq!(machine.state(), &State::Leading { me, token: 55 });
    machine.step(Event::GuestStopped(Report::Done));
    assert_eq!(machine.step(Event::Deleted), [Action::Finish]);
    assert_eq!(machine.step(Event::Stand { prefix: lock_prefix("b") }), []);
}

#[test]
fn a_function_that_its_lease_stopped_did_not_return() {
    let mut machine = Election::new(7, OnReturn::Stop);
    lead_again(&mut machine);
    machine.step(Event::GuestStopped(Report::Stopped));
    assert_eq!(machine.step(Event::Deleted), [Action::Rest { failures: 0 }]);
}

#[test]
fn a_guest_that_is_asked_to_stop_keeps_its_gate_by_the_same_rules() {
    let mut machine = leading();
    machine.step(Event::Resign);
    assert_eq!(machine.step(Event::Disconnected), [Action::CloseGate]);
    assert_eq!(machine.step(Event::Connected), [Action::Verify { name: "a__lock__0000000001".to_owned() }]);
    let name = "a__lock__0000000001".to_owned();
    assert_eq!(machine.step(Event::Verified(Some((7, 55)))), [Action::OpenGate, Action::Watch { name }]);
    assert_eq!(machine.step(Event::Verified(None)), [Action::StopGuest(How::Now)]);
    assert_eq!(machine.step(Event::GuestStopped(Report::Stopped)), [Action::Rest { failures: 0 }]);
}

fn leading() -> Election {
    let mut machine = Election::new(7, OnReturn::Requeue);
    lead_again(&mut machine);
    machine
}

fn lead_again(machine: &mut Election) {
    machine.step(Event::Stand { prefix: lock_prefix("a") });
    machine.step(Event::Created("a__lock__0000000001".to_owned()));
    machine.step(listed(7));
}

/// The queue with nobody but us in it, in a contender that this session owns.
fn listed(owner: i64) -> Event {
    Event::Listed { children: vec!["a__lock__0000000001".to_owned()], own: Some((owner, 55)) }
}

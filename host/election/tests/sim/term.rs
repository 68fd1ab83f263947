//! A term under way: its gate, and the guest that executes under it.

use silverback_election::Report;

use crate::host::{Ask, HostEvent, Request};
use crate::invariants;
use crate::mutations::Mutation;
use crate::setting::MS;
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    Closed,
    Over,
}

pub(crate) struct Term {
    pub(crate) id: u64,
    pub(crate) contender: String,
    pub(crate) token: i64,
    pub(crate) gate: Gate,
    /// The guest executes instructions, as long as its process does.
    pub(crate) executing: bool,
    pub(crate) asked_to_stop: bool,
    /// The contender was seen since the connection was last known to be down.
    pub(crate) proven: bool,
}

impl Term {
    pub(crate) fn stands(&self) -> bool {
        self.gate != Gate::Over
    }
}

impl World {
    fn term(&mut self, host: usize, term: u64) -> Option<&mut Term> {
        self.hosts[host].term.as_mut().filter(|current| current.id == term)
    }

    pub(crate) fn grant(&mut self, host: usize, contender: String, token: i64) {
        self.figures.terms += 1;
        self.granted_at(host);
        let id = self.number();
        let connected = self.hosts[host].is_connected();
        let over = self.hosts[host].lease_is_over(self.now) && !self.setting.has(Mutation::LeaseOverIgnored);
        let gate = if connected || self.setting.has(Mutation::GateLeftOpen) { Gate::Open } else { Gate::Closed };
        self.hosts[host].term =
            Some(Term { id, contender, token, gate, executing: !over, asked_to_stop: false, proven: connected });
        invariants::tokens_rise(self, host);
        if over {
            self.served_soon(host, id, Report::Stopped);
        }
        self.lease_ends(host, id);
        self.at_host(host, 0, HostEvent::GuestTurn { term: id });
    }

    // ---- the gate ----

    /// Not where the connection broke again since our contender was seen: the next reconnect looks anew.
    pub(crate) fn open_gate(&mut self, host: usize, seen: bool) {
        let connected = self.hosts[host].is_connected();
        if let Some(term) = self.hosts[host].term.as_mut().filter(|_| connected) {
            term.proven |= seen;
            if term.gate == Gate::Closed {
                term.gate = Gate::Open;
            }
        }
    }

    pub(crate) fn close_gate(&mut self, host: usize) {
        let closes = !self.setting.has(Mutation::GateLeftOpen);
        if let Some(term) = self.hosts[host].term.as_mut().filter(|term| closes && term.gate == Gate::Open) {
            term.gate = Gate::Closed;
        }
    }

    /// The guest is trapped within the budget.
    pub(crate) fn end_gate(&mut self, host: usize) {
        let Some(term) = &mut self.hosts[host].term else { return };
        term.gate = Gate::Over;
        let (term, within) = (term.id, self.setting.stop_budget());
        let after = self.dice.between(0, within);
        self.at_host(host, after, HostEvent::Trap { term, report: Report::Stopped });
    }

    pub(crate) fn ask_stop(&mut self, host: usize) {
        let timeout = self.setting.timeout();
        let grace = self.dice.pick(&[timeout / 4, timeout, 6 * timeout]);
        let returns = self.dice.chance(600) || self.calm;
        let after = self.dice.between(0, if self.calm { timeout / 4 } else { grace });
        let Some(term) = &mut self.hosts[host].term else { return };
        term.asked_to_stop = true;
        let term = term.id;
        self.at_host(host, grace, HostEvent::GraceEnds { term });
        if returns {
            self.at_host(host, after, HostEvent::Trap { term, report: Report::Done });
        }
    }

    pub(crate) fn grace_ends(&mut self, host: usize, term: u64) {
        if self.term(host, term).is_some() {
            self.end_gate(host);
        }
    }

    // ---- the lease ----

    /// The guest's own look at the clock, which needs nobody to notice, and the driver's timer.
    pub(crate) fn lease_ends(&mut self, host: usize, term: u64) {
        let it = &self.hosts[host];
        let (over, at) = (it.lease_is_over(self.now), it.clock.when(it.stop_at, self.now));
        if self.setting.has(Mutation::LeaseOverIgnored) || !self.term(host, term).is_some_and(|term| term.stands()) {
            return;
        }
        if !over {
            return self.at_host(host, at - self.now, HostEvent::LeaseEnds { term });
        }
        self.figures.lease_ends += 1;
        let after = self.dice.between(0, self.setting.stop_budget());
        self.at_host(host, after, HostEvent::Trap { term, report: Report::Stopped });
        let late = self.dice.between(0, self.setting.margin() / 2);
        self.at_host(host, late, HostEvent::LeaseOver { term });
    }

    pub(crate) fn lease_over(&mut self, host: usize, term: u64) {
        if self.term(host, term).is_some_and(|term| term.stands()) {
            self.tell(host, silverback_election::Event::LeaseOver);
        }
    }

    // ---- the guest ----

    pub(crate) fn guest_turn(&mut self, host: usize, term: u64) {
        let timeout = self.setting.timeout();
        let over = self.hosts[host].lease_is_over(self.now) && !self.setting.has(Mutation::LeaseOverIgnored);
        let Some(current) = self.term(host, term).filter(|current| current.executing) else { return };
        let passes = current.gate == Gate::Open && !over;
        let ask = Ask::GuestWrite(current.contender.clone(), current.token);
        if passes {
            invariants::what_passes_the_gate_is_proven(self, host);
            let request = Request { id: self.number(), ask };
            self.request(host, request);
        }
        if !self.calm && self.dice.chance(10) {
            let report = self.dice.pick(&[Report::Done, Report::Done, Report::Failed]);
            return self.trap(host, term, report);
        }
        let pause = self.dice.between(timeout / 40, self.setting.guest_gap);
        self.at_host(host, pause, HostEvent::GuestTurn { term });
    }

    /// It executes nothing any more; that is confirmed when its store is gone.
    pub(crate) fn trap(&mut self, host: usize, term: u64, report: Report) {
        if let Some(current) = self.term(host, term).filter(|current| current.executing) {
            current.executing = false;
            self.served_soon(host, term, report);
        }
    }

    fn served_soon(&mut self, host: usize, term: u64, report: Report) {
        let after = self.dice.between(0, 20 * MS);
        self.at_host(host, after, HostEvent::Served { term, report });
    }

    pub(crate) fn served(&mut self, host: usize, term: u64, report: Report) {
        if self.term(host, term).is_some() {
            self.hosts[host].term = None;
            self.guest_stopped(host, report);
        }
    }

    /// The process goes on after a pause: the guest looks at the clock before it does anything else.
    pub(crate) fn guest_wakes(&mut self, host: usize) {
        let it = &self.hosts[host];
        let over = it.lease_is_over(self.now) && !self.setting.has(Mutation::LeaseOverIgnored);
        if let Some(term) = it.term.as_ref().filter(|term| over && term.executing) {
            let term = term.id;
            self.trap(host, term, Report::Stopped);
        }
    }
}

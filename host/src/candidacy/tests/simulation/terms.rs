//! What is known of all terms, and what must hold of them whatever happens: each invariant has a name.

use std::sync::Arc;
use std::time::Duration;

use crate::capability::{Ending, Gate};
use crate::coordinator::Op;

use super::ELECTION;
use super::clock::Time;

/// What steps and traps may add to a grace.
const SLACK: Duration = Duration::from_millis(400);

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) invariant: &'static str,
    pub(super) detail: String,
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) terms: u64,
    pub(super) instructions: u64,
    pub(super) writes: u64,
    pub(super) refused: u64,
    pub(super) lease_ends: u64,
    pub(super) expired: u64,
    pub(super) evicted: u64,
    pub(super) killed: u64,
    /// Terms that were given up for a preferred host, and those that were passed on to one before they began.
    pub(super) made_way: u64,
    pub(super) passed_on: u64,
}

impl Figures {
    pub(super) fn add(&mut self, other: Figures) {
        self.terms += other.terms;
        self.instructions += other.instructions;
        self.writes += other.writes;
        self.refused += other.refused;
        self.lease_ends += other.lease_ends;
        self.expired += other.expired;
        self.evicted += other.evicted;
        self.killed += other.killed;
        self.made_way += other.made_way;
        self.passed_on += other.passed_on;
    }
}

/// A term that a guest executes under.
struct Term {
    host: usize,
    gate: Arc<Gate>,
    /// Its contender was taken away by somebody, against the rules of the game: nobody can be stopped before that.
    taken: bool,
    /// Since when its process could have stopped it after it was asked to.
    asked: Option<Time>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Terms {
    live: Vec<Term>,
    taken: Vec<String>,
    highest_token: i64,
    highest_written: i64,
    pub(super) figures: Figures,
    pub(super) broken: Option<Broken>,
}

impl Terms {
    fn fail(&mut self, invariant: &'static str, detail: String) {
        self.broken.get_or_insert(Broken { invariant, detail });
    }

    /// A guest is started: while the lease vouches, and with a token greater than every one that was led with before.
    pub(super) fn started(&mut self, host: usize, gate: &Arc<Gate>) {
        self.figures.terms += 1;
        if gate.is_over() {
            let detail = format!("host {host} starts under {}, which is over", gate.token());
            self.fail("led_while_the_lease_vouches", detail);
        }
        let taken = self.taken.iter().any(|taken| taken == gate.contender());
        if !taken && gate.token() <= self.highest_token {
            let (token, highest) = (gate.token(), self.highest_token);
            self.fail("tokens_rise", format!("host {host} leads with {token} after {highest}"));
        }
        self.highest_token = self.highest_token.max(gate.token());
        self.live.push(Term { host, gate: gate.clone(), taken, asked: None });
    }

    /// A term ended without a guest.
    pub(super) fn not_begun(&mut self, gate: &Gate) {
        self.figures.passed_on += u64::from(gate.ending() == Some(Ending::Preferred));
    }

    /// A guest is about to execute. Nobody else does who may.
    pub(super) fn executes(&mut self, gate: &Arc<Gate>) {
        self.figures.instructions += 1;
        if gate.is_over() {
            self.fail("nothing_executes_after_the_term", format!("token {} executes", gate.token()));
        }
        self.at_most_one_is_live();
    }

    /// At most one guest executes under a gate that is not over.
    pub(super) fn at_most_one_is_live(&mut self) {
        let live = |term: &&Term| !term.taken && !term.gate.is_over();
        let live: Vec<(usize, i64)> =
            self.live.iter().filter(live).map(|term| (term.host, term.gate.token())).collect();
        if live.len() > 1 {
            self.fail("at_most_one_is_live", format!("(host, token): {live:?}"));
        }
    }

    /// A guest that was asked to stop is stopped after its grace, unless its process stands still.
    pub(super) fn whoever_is_asked_stops(&mut self, now: Time, grace: Duration, frozen: &[bool]) {
        let mut late = None;
        for term in &mut self.live {
            let asked = *term.gate.stop_asked().borrow() && !frozen[term.host];
            term.asked = asked.then(|| term.asked.unwrap_or(now));
            if term.asked.is_some_and(|asked| now > asked + grace + SLACK) {
                late = Some(format!("host {} executes on under {}", term.host, term.gate.token()));
            }
        }
        if let Some(late) = late {
            self.fail("whoever_is_asked_stops", late);
        }
    }

    /// A guest executes no more.
    pub(super) fn stopped(&mut self, gate: &Arc<Gate>) {
        self.figures.lease_ends += u64::from(gate.ending() == Some(Ending::LeaseOver));
        self.figures.made_way += u64::from(gate.ending() == Some(Ending::Preferred));
        self.live.retain(|term| !Arc::ptr_eq(&term.gate, gate));
    }

    /// A process is gone, and all its guests.
    pub(super) fn killed(&mut self, host: usize) {
        self.figures.killed += 1;
        self.live.retain(|term| term.host != host);
    }

    /// Somebody deletes a contender.
    pub(super) fn take(&mut self, contender: &str) {
        self.figures.evicted += 1;
        self.taken.push(contender.to_owned());
        self.live.iter_mut().filter(|term| term.gate.contender() == contender).for_each(|term| term.taken = true);
    }

    /// The ensemble has done what a host asked.
    pub(super) fn written(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Delete { path, .. } => self.stopped_before_its_contender_is_deleted(path),
                Op::Set { path, data, .. } if path == super::EFFECTS => self.no_old_write_is_accepted(data),
                Op::Check { .. } | Op::Create { .. } | Op::Set { .. } => {}
            }
        }
    }

    fn stopped_before_its_contender_is_deleted(&mut self, path: &str) {
        let executes = |term: &&Term| !term.taken && term.gate.contender() == path;
        if let Some(host) = path.starts_with(ELECTION).then(|| self.live.iter().find(executes)).flatten() {
            let detail = format!("host {} deletes {path} and executes on", host.host);
            self.fail("stopped_before_its_contender_is_deleted", detail);
        }
    }

    fn no_old_write_is_accepted(&mut self, data: &[u8]) {
        self.figures.writes += 1;
        let token: i64 = std::str::from_utf8(data).unwrap().parse().unwrap();
        if token < self.highest_written {
            let highest = self.highest_written;
            self.fail("no_old_write_is_accepted", format!("one with {token} after one with {highest}"));
        }
        self.highest_written = self.highest_written.max(token);
    }

    /// The host of a guest that executes.
    pub(super) fn someone_live(&self) -> Option<usize> {
        self.live.last().map(|term| term.host)
    }

    /// Whether somebody executes with an open gate.
    pub(super) fn someone_leads(&self) -> bool {
        self.live.iter().any(|term| !term.taken && term.gate.leads())
    }
}

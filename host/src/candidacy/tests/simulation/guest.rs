//! The duty of the simulation: a leader function that writes its token, over and over, and obeys as it likes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use silverback_election::Report;

use super::EFFECTS;
use super::dice::Dice;
use super::mutations::Mutation;
use super::terms::Terms;
use crate::candidacy::{Duty, Served};
use crate::capability::{Gate, Inside};
use crate::coordinator::Op;

/// How long a write waits at a closed gate.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest that a guest goes on after it should have stopped, in milliseconds: within the stop budget.
const SLOWEST_TRAP: u64 = 90;

/// How a guest takes being asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It returns.
    Obeys,
    /// It goes on until it is trapped.
    Ignores,
    /// It returns by itself after a while.
    Returns,
    /// So does its duty, by a panic.
    Panics,
}

/// How long a guest waits between two instructions, and is on its way from the trap to its end.
#[derive(Clone, Copy)]
struct Pace {
    pause: Duration,
    trap: Duration,
}

pub(super) struct Guests {
    pub(super) host: usize,
    pub(super) terms: Arc<Mutex<Terms>>,
    pub(super) dice: Arc<Mutex<Dice>>,
    pub(super) mutation: Option<Mutation>,
}

/// A guest under way: for as long as it executes it is known to be live.
struct Guest {
    terms: Arc<Mutex<Terms>>,
    gate: Arc<Gate>,
    _inside: Option<Inside>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.terms.lock().unwrap().stopped(&self.gate);
    }
}

impl Guests {
    fn start(&self, gate: &Arc<Gate>) -> Guest {
        self.terms.lock().unwrap().started(self.host, gate);
        let left_behind = self.mutation == Some(Mutation::GuestLeftBehind);
        let _inside = (!left_behind).then(|| gate.enter());
        Guest { terms: self.terms.clone(), gate: gate.clone(), _inside }
    }

    fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.roll(low, high))
    }

    fn roll(&self, low: u64, high: u64) -> u64 {
        self.dice.lock().unwrap().between(low, high)
    }
}

#[async_trait]
impl Duty for Guests {
    async fn serve(&self, gate: Arc<Gate>) -> Served {
        let manner = match self.roll(0, 40) {
            0 => Manner::Panics,
            1..8 => Manner::Returns,
            8..20 => Manner::Ignores,
            _ => Manner::Obeys,
        };
        let turns = self.roll(1, 60);
        let pace = Pace { pause: self.millis(20, 80), trap: self.millis(0, SLOWEST_TRAP) };
        let guest = self.start(&gate);
        if self.mutation == Some(Mutation::GuestLeftBehind) {
            let mut asked = gate.stop_asked();
            let guest = tokio::spawn(execute(guest, Manner::Ignores, turns, pace));
            let _ = asked.wait_for(|asked| *asked).await;
            drop(guest);
            return Served::with(Report::Done);
        }
        // The guest runs on, whatever becomes of the duty.
        let running = tokio::spawn(execute(guest, manner, turns, pace));
        if manner == Manner::Panics {
            tokio::time::sleep(pace.pause * turns as u32).await;
            // As a panic, without the words.
            std::panic::resume_unwind(Box::new("as the simulation wants it"));
        }
        let report = running.await.unwrap();
        Served::with(report)
    }

    async fn not_begun(&self, gate: &Gate) {
        self.terms.lock().unwrap().not_begun(gate);
    }
}

/// An instruction, a write now and then, and a wait, until it is told or trapped.
async fn execute(guest: Guest, manner: Manner, turns: u64, pace: Pace) -> Report {
    let (gate, terms) = (guest.gate.clone(), guest.terms.clone());
    let mut asked = gate.stop_asked();
    for turn in 0_u64.. {
        // The epoch's callback, and with it a trap.
        if gate.is_over() {
            return Report::Stopped;
        }
        terms.lock().unwrap().executes(&gate);
        if turn % 3 == 0 {
            write(&gate, &terms).await;
        }
        match manner {
            Manner::Returns if turn >= turns => return Report::Done,
            Manner::Obeys if *asked.borrow_and_update() => return Report::Done,
            Manner::Returns | Manner::Obeys | Manner::Ignores | Manner::Panics => {}
        }
        tokio::select! {
            biased;
            () = over(&gate) => tokio::time::sleep(pace.trap).await,
            () = tokio::time::sleep(pace.pause) => {}
        }
    }
    Report::Done
}

async fn over(gate: &Gate) {
    let mut state = gate.state();
    let _ = state.wait_for(|state| *state == crate::capability::GateState::Over).await;
}

/// As the state capability does it: past the gate, with the check of the term's contender.
async fn write(gate: &Gate, terms: &Mutex<Terms>) {
    if gate.pass(PATIENCE).await.is_err() {
        return;
    }
    let set = Op::Set { path: EFFECTS.to_owned(), data: gate.token().to_string().into_bytes(), version: None };
    let over = over(gate);
    tokio::select! {
        biased;
        written = gate.session().multi(vec![gate.check(), set]) => {
            if written.is_err_and(|error| error.to_string().contains("no node")) {
                terms.lock().unwrap().figures.refused += 1;
            }
        }
        // What a trapped guest waited for is no longer waited for; it may still be done.
        () = over => {}
    }
}

//! Hosts above the coordinator trait, in virtual time, driven by one seed: real candidates, memberships, gates and leases on a
//! network that delays, loses and cuts, with processes that stand still or are killed at any await.
//!
//! What the machine decides alone, with the ensemble's servers one by one, is simulated in `host/election/tests/sim`; here
//! it is all that waits: tasks, timers, requests whose answers never come. `SILVERBACK_SIM_SEEDS=100000` runs so many seeds,
//! `SILVERBACK_SIM_SEED=7` one alone, with a trace.

mod clock;
#[path = "../../../../election/tests/sim/dice.rs"]
mod dice;
mod faults;
mod guest;
mod link;
mod mutations;
mod network;
mod process;
mod session;
mod signal;
mod terms;
mod world;

use self::faults::{Fault, STEP};
use self::mutations::Mutation;
use self::terms::Figures;
use self::world::World;

const ELECTION: &str = "/zoo/election";
const HOSTS: &str = "/zoo/hosts";
/// What guests write to.
const EFFECTS: &str = "/zoo/effects";

/// How many seeds a plain test runs.
const SEEDS: u64 = 2_000;
/// How many seeds a fault in the host may take to be seen.
const SEEDS_TO_CATCH: u64 = 400;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}=`{value}` is no number")))
}

#[test]
fn invariants_hold_through_every_seed() {
    if let Some(seed) = from_environment("SILVERBACK_SIM_SEED") {
        println!("{:?}", World::new(seed, None, true).run().unwrap());
        return;
    }
    let mut sum = Figures::default();
    for seed in 0..from_environment("SILVERBACK_SIM_SEEDS").unwrap_or(SEEDS) {
        match World::new(seed, None, false).run() {
            Ok(figures) => sum.add(figures),
            Err(broken) => panic!(
                "seed {seed} breaks {}: {}\nto see it alone: SILVERBACK_SIM_SEED={seed} cargo test --workspace --lib \
                 simulation::invariants -- --nocapture",
                broken.invariant, broken.detail
            ),
        }
    }
    println!("{sum:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(sum.terms > 2 * SEEDS && sum.writes > 10 * SEEDS && sum.expired > SEEDS, "{sum:?}");
    assert!(sum.made_way > SEEDS / 10 && sum.passed_on > SEEDS / 100, "{sum:?}");
    assert!(sum.refused > SEEDS / 100 && sum.lease_ends > SEEDS / 10 && sum.evicted > SEEDS / 10, "{sum:?}");
}

/// A host opens a session, joins, stands, leads, resigns and stands again: all that within so many steps, each shorter than
/// any part of a request's way.
const STEPS: u32 = 300;

#[track_caller]
fn breaks_nothing_at_any_step(faults: &[Fault]) {
    for fault in faults {
        for (step, host) in (0..STEPS).flat_map(|step| [(step, 0), (step, 1)]) {
            let broken = World::with_one_fault(host, *fault, STEP * step).run().err();
            assert_eq!(broken, None, "{fault:?} at step {step} of host {host}");
        }
    }
}

/// Curator had races there (CURATOR-15, 54, 73, 518): a selector that stood no more and didn't say so.
#[test]
fn curator_54_whoever_is_cancelled_told_to_leave_or_killed_at_any_await_neither_dies_silently_nor_leaves_a_contender() {
    breaks_nothing_at_any_step(&[Fault::Drop, Fault::Leave, Fault::Resign, Fault::Kill]);
}

/// Curator's latch made two leaders of its resets (CURATOR-645, 653).
#[test]
fn curator_653_a_connection_that_breaks_and_comes_back_at_any_await_makes_no_second_leader() {
    breaks_nothing_at_any_step(&[Fault::Cut, Fault::LoseReply, Fault::Hole, Fault::LeaderChange]);
}

#[test]
fn a_process_that_stands_still_or_a_contender_that_is_taken_away_at_any_await_breaks_nothing() {
    breaks_nothing_at_any_step(&[Fault::Freeze, Fault::Evict]);
}

#[test]
fn a_seed_means_the_same_run_each_time() {
    for seed in 0..200 {
        let [once, again] = [0; 2].map(|_| World::new(seed, None, false).run());
        assert_eq!(once, again, "seed {seed}");
    }
}

#[test]
fn each_deliberate_fault_is_caught_by_its_invariant() {
    for (mutation, invariant) in Mutation::CAUGHT {
        let caught = (0..SEEDS_TO_CATCH).find_map(|seed| World::new(seed, Some(mutation), false).run().err());
        assert_eq!(caught.map(|broken| broken.invariant), Some(invariant), "{mutation:?}");
    }
}

//! Hosts, an ensemble, a network and clocks, driven by one seed in virtual time, around the real machine and the real lease
//! arithmetic, with the invariants checked after every event.
//!
//! `SILVERBACK_SIM_SEEDS=100000` runs so many seeds, `SILVERBACK_SIM_SEED=7` one alone, with a trace.

mod caught;
mod dice;
mod driver;
mod ensemble;
mod faults;
mod host;
mod invariants;
mod mutations;
mod servers;
mod session;
mod setting;
mod term;
mod world;

use world::{Figures, run};

/// How many seeds a plain test runs.
const SEEDS: u64 = 2_000;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}=`{value}` is no number")))
}

#[test]
fn invariants_hold_through_every_seed() {
    if let Some(seed) = from_environment("SILVERBACK_SIM_SEED") {
        let outcome = run(seed, None, true);
        println!("{outcome:?}");
        assert!(outcome.is_ok(), "seed {seed}");
        return;
    }
    let mut sum = Figures::default();
    for seed in 0..from_environment("SILVERBACK_SIM_SEEDS").unwrap_or(SEEDS) {
        match run(seed, None, false) {
            Ok(figures) => sum.add(figures),
            Err(broken) => panic!(
                "seed {seed} breaks {}: {}\nto see it alone: SILVERBACK_SIM_SEED={seed} cargo test --workspace --test sim \
                 invariants -- --nocapture",
                broken.invariant, broken.detail
            ),
        }
    }
    println!("{sum:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(sum.terms > 2 * SEEDS && sum.writes > 10 * SEEDS && sum.expired > SEEDS, "{sum:?}");
    assert!(sum.refused > SEEDS / 10 && sum.lease_ends > SEEDS / 10 && sum.evicted > SEEDS / 10, "{sum:?}");
}

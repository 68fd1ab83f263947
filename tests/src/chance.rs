//! Chance that can be had again: a test prints its seed, and `SILVERBACK_SEED` gives it back. Where what is real has a part in
//! a test, its seed is of the hour; a simulation has the same few each time, and `SILVERBACK_SIM_SEEDS` more of them.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const VARIABLE: &str = "SILVERBACK_SEED";
/// How many seeds a simulation is run with.
const SEEDS: &str = "SILVERBACK_SIM_SEEDS";

/// A sequence of numbers that a seed decides (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From the seed that is asked for, or one of the hour; says which.
    ///
    /// # Panics
    /// Where the seed that is asked for is no number.
    pub fn new() -> Self {
        let seed = match env::var(VARIABLE) {
            Ok(seed) => seed.parse().unwrap_or_else(|error| panic!("{VARIABLE}={seed}: {error}")),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64),
        };
        println!("seed {seed}: to have it again, set {VARIABLE}");
        Chance(seed)
    }

    /// One that has nothing to do with what follows of this one.
    pub fn another(&mut self) -> Self {
        Chance(self.below(usize::MAX) as u64)
    }

    /// From this seed.
    pub fn seeded(seed: u64) -> Self {
        Chance(seed)
    }

    /// A number from 0 to `bound - 1`.
    ///
    /// # Panics
    /// Where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// Does this with each seed of a simulation: that of `SILVERBACK_SEED` alone, else the first, or as many as
/// `SILVERBACK_SIM_SEEDS` says.
///
/// # Panics
/// Where what is asked for is no number.
pub fn each_seed(mut simulate: impl FnMut(Chance)) {
    if env::var(VARIABLE).is_ok() {
        return simulate(Chance::new());
    }
    let seeds = match env::var(SEEDS) {
        Ok(seeds) => seeds.parse().unwrap_or_else(|error| panic!("{SEEDS}={seeds}: {error}")),
        Err(_) => 1,
    };
    for seed in 0..seeds {
        println!("seed {seed}: to have it alone, set {VARIABLE}");
        simulate(Chance(seed));
    }
}

impl Default for Chance {
    fn default() -> Self {
        Chance::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_every_number_comes_up() {
        let row = |seed| (0..100).scan(Chance(seed), |chance, _| Some(chance.below(6))).collect::<Vec<_>>();
        assert_eq!(row(7), row(7));
        assert_ne!(row(7), row(8));
        assert!((0..6).all(|number| row(7).contains(&number)));
    }
}

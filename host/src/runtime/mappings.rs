//! How many mappings a process may have (`vm.max_map_count`), and what guests take of them. Who has none left is refused memory in
//! the middle of something, so a host asks before it starts.

use std::{fs, io};

use super::error::StartError;
use crate::registry::Limit;

/// The kernel's word.
const SETTING: &str = "/proc/sys/vm/max_map_count";
/// Of a scheduled run: two of a stack from the start on, and up to four of a memory (what is before the component's data, the data,
/// what is behind, and the rest of the address space); one that is metered has no slot, and a guard before its memory. Counted in
/// /proc/PID/maps.
const OF_RUN: u32 = 7;
/// Of a term: the same, and three of its component's code, which may be no other term's.
const OF_TERM: u32 = 10;
/// Of a linear memory beyond the first one of a run or a term.
const OF_MEMORY: u32 = 5;
/// The most linear memories that a process has addresses for, 4 GiB each, with room for all else: 128 TiB are there.
const ADDRESSABLE_MEMORIES: u32 = 24_000;
/// How many further memories a host has for each run and each term.
const FURTHER_MEMORIES: u32 = 2;
/// How many it has at the least: one tenant may have half of them, and needs enough for one run of the largest composition.
const LEAST_FURTHER_MEMORIES: u32 = 2 * *Limit::Memories.bounds().end() as u32;
/// What else a host maps: its program, threads, heap, code of what runs now and then. The bench's process had a hundred. The code of
/// leader jobs that it stands for and doesn't lead comes beside: it can't be known before.
const OF_HOST: u32 = 1500;

/// How many terms the kernel's bound allows beside so many scheduled runs.
///
/// # Errors
/// Where the kernel doesn't say.
pub fn terms_mapped(max_runs: u32) -> io::Result<u32> {
    Ok(terms_within(allowed()?, max_runs))
}

/// Returns how many linear memories the guests of a host may have together beyond the first one of each: a few for each run and
/// term, if the kernel's bound leaves enough mappings for them, and if there are addresses for them: the pool of runs and the terms
/// each may have them all.
pub(super) fn further_memories(max_runs: u32, max_terms: u32) -> u32 {
    let guests = max_runs.saturating_add(max_terms);
    let wished = guests.saturating_mul(FURTHER_MEMORIES).max(LEAST_FURTHER_MEMORIES);
    let mapped = allowed().map_or(u32::MAX, |allowed| allowed.saturating_sub(needed(max_runs, max_terms)) / OF_MEMORY);
    wished.min(mapped).min(addressed(guests))
}

fn addressed(guests: u32) -> u32 {
    ADDRESSABLE_MEMORIES.saturating_sub(guests) / 2
}

/// Makes sure that there are enough for so many runs and terms.
///
/// # Errors
/// [`StartError::Mappings`].
pub(super) fn check(max_runs: u32, max_terms: u32) -> Result<(), StartError> {
    // A kernel that doesn't say has another bound or none.
    let Ok(allowed) = allowed() else { return Ok(()) };
    match terms_within(allowed, max_runs) >= max_terms {
        true => Ok(()),
        false => Err(StartError::Mappings { max_runs, max_terms, allowed, needed: needed(max_runs, max_terms) }),
    }
}

fn allowed() -> io::Result<u32> {
    let said = fs::read_to_string(SETTING)?;
    said.trim().parse().map_err(|error| io::Error::other(format!("{SETTING}: {}: {error}", said.trim())))
}

fn needed(max_runs: u32, max_terms: u32) -> u32 {
    OF_HOST.saturating_add(max_runs.saturating_mul(OF_RUN)).saturating_add(max_terms.saturating_mul(OF_TERM))
}

fn terms_within(allowed: u32, max_runs: u32) -> u32 {
    allowed.saturating_sub(needed(max_runs, 0)) / OF_TERM
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's default.
    const DEFAULT: u32 = 65_530;

    #[test]
    fn a_hosts_own_numbers_need_no_change_of_the_kernels() {
        assert!(terms_within(DEFAULT, super::super::DEFAULT_MAX_RUNS) >= super::super::DEFAULT_MAX_TERMS);
        assert_eq!(terms_within(DEFAULT, 1), 6_402);
        assert_eq!(terms_within(needed(3, 5), 3), 5);
        assert_eq!(terms_within(10, 1000), 0);
    }

    #[test]
    fn w4_compositions_never_take_the_mappings_of_runs_and_terms() {
        let (runs, terms) = (super::super::DEFAULT_MAX_RUNS, super::super::DEFAULT_MAX_TERMS);
        let further = further_memories(runs, terms);
        let allowed = allowed().unwrap();
        assert!(further > 0 && needed(runs, terms) + further * OF_MEMORY <= allowed, "{further} of {allowed}");
        assert_eq!(further_memories(1, 1), LEAST_FURTHER_MEMORIES);
        assert_eq!(further_memories(1, terms_within(allowed, 1)), 0, "all are the terms' own");
        assert_eq!((addressed(runs + terms), addressed(runs + 20_000)), (11_000, 1_500));
    }

    #[test]
    fn a_host_that_would_run_out_of_them_does_not_start() {
        let allowed = allowed().unwrap();
        let error = check(1, allowed).unwrap_err().to_string();
        let needed = 1507_u32.saturating_add(allowed.saturating_mul(10));
        assert_eq!(
            error,
            format!(
                "1 runs and {allowed} leader terms at once take up to {needed} memory mappings, and the kernel allows {allowed}: \
                 `sysctl -w vm.max_map_count={needed}`"
            )
        );
    }
}

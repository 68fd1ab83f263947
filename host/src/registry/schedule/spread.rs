//! Numbers that are a job's own: the same on every host and in every version, different from job to job.

use std::cell::Cell;

use crate::registry::JobId;

/// What a job's numbers are drawn from.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    name: u64,
    used: Cell<bool>,
}

impl Spread {
    pub(super) fn of(job: &JobId) -> Self {
        let name = job.tenant.bytes().chain([b'/']).chain(job.name.bytes());
        Spread { name: fnv(0xcbf2_9ce4_8422_2325, name), used: Cell::new(false) }
    }

    /// Returns whether a number was drawn: what it is for is the job's own then.
    pub(super) fn is_used(&self) -> bool {
        self.used.get()
    }

    /// A number below `bound` (which is not 0) for this use.
    pub(super) fn below(&self, purpose: &str, bound: u64) -> u64 {
        self.used.set(true);
        let product = u128::from(self.number(purpose)) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// FNV-1a, and after it the last step of SplitMix64: of FNV's bits alone the high ones hardly differ between short names.
    fn number(&self, purpose: &str) -> u64 {
        let mut mixed = fnv(self.name, [b':'].into_iter().chain(purpose.bytes()));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn fnv(start: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(name: usize) -> u64 {
        Spread::of(&JobId { tenant: "acme".to_owned(), name: format!("job-{name}") }).below("minute", 60)
    }

    #[test]
    fn a_jobs_numbers_never_change() {
        // Pinned: with another value a job would tick at another time after an upgrade, or twice while it is under way.
        assert_eq!([0, 1, 2].map(minute), [24, 8, 25]);
    }

    #[test]
    fn ten_thousand_jobs_spread_over_the_hour() {
        let mut counts = vec![0; 60];
        (0..10_000).for_each(|name| counts[usize::try_from(minute(name)).unwrap()] += 1);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 120 && *most < 220, "{least}..{most}");
    }
}

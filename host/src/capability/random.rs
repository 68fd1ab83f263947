//! `wasi:random`: bytes of the machine's own generator, as many as the run may have.

use std::convert::Infallible;
use std::sync::Arc;

use rand::rngs::ThreadRng;
use rand::{Rng as _, TryRng};

use super::meter::Meter;

/// The most random bytes that one call gives.
pub(super) const MAX_RANDOM_BYTES: u64 = 64 * 1024;

/// The generator of whatever thread the guest is on, so that a run makes none of its own. Its bytes are counted; it can't refuse
/// any, and needn't: the meter ends the run.
pub(super) struct Counted(pub(super) Arc<Meter>);

impl Counted {
    fn give(&self, bytes: usize) -> ThreadRng {
        let _ = self.0.give_random(bytes);
        rand::rng()
    }
}

impl TryRng for Counted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.give(size_of::<u32>()).next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.give(size_of::<u64>()).next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.give(bytes.len()).fill_bytes(bytes);
        Ok(())
    }
}

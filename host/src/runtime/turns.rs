//! Whose component is made ready next.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::capability::{Fair, FairTurn, OfName, PerName};
use crate::registry::Build;

/// How many components are compiled at once. One alone could be kept busy by one component for all of its processor time.
const COMPILERS: usize = 2;
/// How many of them are one tenant's: whoever has many waits for itself, and another's comes after one of each at the latest.
const COMPILERS_OF_TENANT: usize = 1;
/// How many threads do what takes milliseconds at once: load code, check signatures.
const LOADERS: usize = 4;

/// The turns of a host.
#[derive(Debug)]
pub(super) struct Turns {
    compilers: Fair,
    builds: Arc<PerName<Mutex<()>>>,
    loaders: Arc<Semaphore>,
}

/// Held for as long as something is made.
#[derive(Debug)]
pub(super) enum Turn {
    Compile { _build: OwnedMutexGuard<()>, _name: OfName<Mutex<()>>, _compiler: FairTurn },
    Load { _loader: OwnedSemaphorePermit },
}

impl Default for Turns {
    fn default() -> Self {
        Turns {
            compilers: Fair::new(COMPILERS, COMPILERS_OF_TENANT),
            builds: Arc::default(),
            loaders: Arc::new(Semaphore::new(LOADERS)),
        }
    }
}

impl Turns {
    /// Waits until a build may be compiled that a tenant wants: first for who makes the same, so that it is there then, and
    /// takes no compiler's time from others meanwhile.
    pub(super) async fn compile(&self, tenant: &str, build: &Build) -> Turn {
        let name = self.builds.of(&format!("{build:?}"), Mutex::default);
        let build = Arc::clone(&name).lock_owned().await;
        Turn::Compile { _build: build, _name: name, _compiler: self.compilers.of(tenant).turn().await }
    }

    /// Waits until something may be done that takes milliseconds.
    pub(super) async fn load(&self) -> Turn {
        Turn::Load { _loader: self.loaders.clone().acquire_owned().await.expect("it is never closed") }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;
    use crate::registry::Digest;

    fn build(bytes: &[u8]) -> Build {
        Digest::of(bytes).into()
    }

    #[tokio::test]
    async fn a_tenant_with_many_components_keeps_nobody_from_a_compiler() {
        let turns = Turns::default();
        let first = turns.compile("many", &build(b"1")).await;
        let second = build(b"2");
        let mut second = pin!(turns.compile("many", &second));
        assert!(poll!(second.as_mut()).is_pending());
        let other = turns.compile("other", &build(b"3")).await;
        drop(turns.load().await);
        drop(first);
        drop((second.await, other));
        assert_eq!(turns.builds.len(), 0, "nothing is kept of what is made");
    }

    #[tokio::test]
    async fn whoever_wants_what_is_being_made_waits_for_it_and_takes_no_compiler() {
        let turns = Turns::default();
        let first = turns.compile("a", &build(b"1")).await;
        let same = build(b"1");
        let mut same = pin!(turns.compile("b", &same));
        assert!(poll!(same.as_mut()).is_pending());
        let metered = Build { metered: true, ..build(b"1") };
        drop(turns.compile("b", &metered).await);
        drop(first);
        drop(same.await);
    }
}

//! What keeps a host from standing in an election, told to the tenants whose jobs it is about.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::registry::{About, Problems, Raised};

/// One election's problem, if there is one. Clones share it; it is over when all are dropped.
#[derive(Clone)]
pub struct Concern {
    problems: Problems,
    about: About,
    clock: Arc<dyn Clock>,
    raised: Arc<Mutex<Option<Raised>>>,
}

impl Concern {
    /// No problem yet, with the jobs that `about` names.
    pub fn new(problems: Problems, about: About, clock: Arc<dyn Clock>) -> Self {
        Concern { problems, about, clock, raised: Arc::default() }
    }

    /// One that nobody is told of, for tests.
    #[cfg(test)]
    pub(super) fn untold() -> Self {
        Concern::new(Problems::default(), About::Cluster, crate::clock::system())
    }

    /// Raises `text`, and returns whether it is another problem than the one that there was.
    pub(super) fn raise(&self, text: &str) -> bool {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        self.problems.set(&mut raised, self.about.clone(), self.clock.wall(), text)
    }

    /// There is no problem any more.
    pub(super) fn clear(&self) {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

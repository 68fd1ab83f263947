//! Work whose length a definition decides, such as reading a job and computing its ticks. It is bounded, but not short beside an
//! answer, so it is done on threads of its own: those that answer and schedule go on meanwhile.

use std::fmt::Display;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Api, ApiError};

/// How much of it is done at once: fewer than there are threads for work that blocks, which others need too.
const AT_ONCE: usize = 2;

/// Room for such work. Whoever finds none waits, first come, first served.
#[derive(Clone)]
pub(super) struct ComputeSlots(Arc<Semaphore>);

impl Default for ComputeSlots {
    fn default() -> Self {
        ComputeSlots(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Api {
    /// Does some work on a thread for it, once there is room.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if it panics.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let failed = |error: &dyn Display| ApiError::Internal(error.to_string());
        let turn = self.compute_slots.0.clone().acquire_owned().await.map_err(|error| failed(&error))?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| failed(&error))
    }
}

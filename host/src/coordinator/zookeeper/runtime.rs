//! The thread on which sessions live, so that nothing else in the process can starve them.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// A runtime that may be dropped anywhere. Lives as long as the last session that uses it.
pub(super) struct SessionRuntime {
    runtime: Option<Runtime>,
}

impl SessionRuntime {
    pub(super) fn start() -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("zookeeper-session").enable_all().build()?;
        Ok(SessionRuntime { runtime: Some(runtime) })
    }

    /// Runs a task there.
    pub(super) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => runtime.spawn(task),
            None => unreachable!("the runtime is taken by drop alone"),
        }
    }
}

impl Drop for SessionRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The plain drop would wait for the thread, which panics inside async code.
            runtime.shutdown_background();
        }
    }
}

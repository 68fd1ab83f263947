//! What runs a component, as far as the scheduler knows. The host's own does it with the runtime; a simulation with less.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::registry::Build;
use crate::runtime::{ComponentError, Components, Prepared, RunEnd, RunRequest};

/// Starts one run of one component at once; the future waits for its end, and the run goes on where it is dropped.
pub type Start = Arc<dyn Fn(RunRequest) -> BoxFuture<'static, RunEnd> + Send + Sync>;

/// Runs components.
pub trait Runner: Send + Sync + 'static {
    /// The component, where it can be started at once.
    fn at_hand(&self, build: &Build) -> Option<Start>;

    /// Makes the component ready, which may take seconds.
    ///
    /// # Errors
    /// Where it can't be had, or can't be run here.
    fn prepare(&self, build: &Build) -> BoxFuture<'static, Result<Start, ComponentError>>;
}

impl Runner for Components {
    fn at_hand(&self, build: &Build) -> Option<Start> {
        self.runtime().prepared(build).map(|component| start(self, component))
    }

    fn prepare(&self, build: &Build) -> BoxFuture<'static, Result<Start, ComponentError>> {
        let (components, build) = (self.clone(), build.clone());
        Box::pin(async move { components.prepared(&build).await.map(|component| start(&components, component)) })
    }
}

fn start(components: &Components, component: Arc<Prepared>) -> Start {
    let runtime = components.runtime().clone();
    Arc::new(move |request| {
        let run = runtime.start(&component, request);
        Box::pin(run.ended())
    })
}

//! What runs a component, as far as the scheduler knows. The host's own does it with the runtime; a simulation with less.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::registry::{Build, Signers};
use crate::runtime::{ComponentError, Components, Prepared, RunEnd, RunRequest};

/// Starts one run of one component at once; the future waits for its end, and the run goes on where it is dropped.
pub type Start = Arc<dyn Fn(RunRequest) -> BoxFuture<'static, RunEnd> + Send + Sync>;

/// Runs components.
pub trait Runner: Send + Sync + 'static {
    /// The component, where it can be started at once, and one of `signers` signed it or there are none.
    fn at_hand(&self, build: &Build, signers: &Signers) -> Option<Start>;

    /// Makes the component ready for a tenant, which may take seconds.
    ///
    /// # Errors
    /// Where it can't be had, or can't be run here.
    fn prepare(
        &self,
        tenant: &str,
        build: &Build,
        signers: &Signers,
    ) -> BoxFuture<'static, Result<Start, ComponentError>>;
}

impl Runner for Components {
    fn at_hand(&self, build: &Build, signers: &Signers) -> Option<Start> {
        Components::at_hand(self, build, signers).map(|component| start(self, component))
    }

    fn prepare(
        &self,
        tenant: &str,
        build: &Build,
        signers: &Signers,
    ) -> BoxFuture<'static, Result<Start, ComponentError>> {
        let (components, tenant, build, signers) = (self.clone(), tenant.to_owned(), build.clone(), signers.clone());
        Box::pin(async move {
            components.prepared(&tenant, &build, &signers).await.map(|component| start(&components, component))
        })
    }
}

fn start(components: &Components, component: Arc<Prepared>) -> Start {
    let runtime = components.runtime().clone();
    Arc::new(move |request| {
        let run = runtime.start(&component, request);
        Box::pin(run.ended())
    })
}

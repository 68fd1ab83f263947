//! Where a host gets a component ready to run: from its memory, its folder, or another host.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use thiserror::Error;
use tracing::info;

use super::{AdmissionError, Prepared, Runtime};
use crate::artifact::{ArtifactError, Artifacts};
use crate::registry::{Build, Digest};

/// Asks the other hosts for a component's bytes; None where nobody has them.
pub type AskPeers = Arc<dyn Fn(Digest) -> BoxFuture<'static, Option<Bytes>> + Send + Sync>;

/// Why a component can't be had ready to run.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// Neither this host nor a live one has it.
    #[error("component `{0}` is neither in this host's store nor on a live host")]
    Missing(Digest),
    /// The folder failed.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// It is there, and can't run here.
    #[error("component `{digest}` can't run on this host: {source}")]
    Unfit {
        /// Which.
        digest: Digest,
        /// Why.
        source: AdmissionError,
    },
}

/// All components that this host can get.
#[derive(Clone)]
pub struct Components {
    runtime: Arc<Runtime>,
    artifacts: Artifacts,
    ask_peers: AskPeers,
}

impl Components {
    /// From the runtime's memory first, then from `artifacts`, then from the other hosts.
    pub fn new(runtime: Arc<Runtime>, artifacts: Artifacts, ask_peers: AskPeers) -> Self {
        Components { runtime, artifacts, ask_peers }
    }

    /// The runtime that they are prepared for.
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// The component, compiled and linked. The first call for a build compiles it.
    ///
    /// # Errors
    /// [`ComponentError`].
    pub async fn prepared(&self, build: &Build) -> Result<Arc<Prepared>, ComponentError> {
        if let Some(ready) = self.runtime.prepared(build) {
            return Ok(ready);
        }
        let digest = &build.digest;
        let bytes = match self.artifacts.get(digest).await? {
            Some(bytes) => bytes,
            None => self.fetch(digest).await?,
        };
        let (runtime, wanted) = (self.runtime.clone(), build.clone());
        let compiled = tokio::task::spawn_blocking(move || runtime.prepare(&wanted, &bytes)).await;
        let compiled = compiled.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        compiled.map_err(|source| ComponentError::Unfit { digest: digest.clone(), source })
    }

    /// Makes sure that the component's bytes are in this host's own folder, so that it can be run when nobody is left to ask.
    ///
    /// # Errors
    /// [`ComponentError::Missing`], [`ComponentError::Artifact`].
    pub async fn keep(&self, digest: &Digest) -> Result<(), ComponentError> {
        if self.artifacts.has(digest).await? { Ok(()) } else { self.fetch(digest).await.map(drop) }
    }

    /// From another host, kept in our own folder from then on. Bytes of another digest count as none.
    async fn fetch(&self, digest: &Digest) -> Result<Bytes, ComponentError> {
        let fetched = (self.ask_peers)(digest.clone()).await.filter(|bytes| Digest::of(bytes) == *digest);
        let bytes = fetched.ok_or_else(|| ComponentError::Missing(digest.clone()))?;
        info!(%digest, bytes = bytes.len(), "fetched a component from another host");
        self.artifacts.put(bytes.clone()).await?;
        Ok(bytes)
    }
}

//! Where a host gets a component ready to run: from its memory, its folder, or another host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use thiserror::Error;
use tracing::info;

use super::{AdmissionError, Prepared, Runtime};
use crate::artifact::{ArtifactError, Artifacts};
use crate::registry::{Build, Digest, Signers};

/// Asks the other hosts for a component's bytes; None where nobody has them.
pub type AskPeers = Arc<dyn Fn(Digest) -> BoxFuture<'static, Option<Bytes>> + Send + Sync>;

/// How many verdicts on signatures are remembered. One takes some 200 bytes.
const MAX_VERDICTS: usize = 4096;

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

impl ComponentError {
    /// It may be had another time.
    pub fn may_pass(&self) -> bool {
        match self {
            ComponentError::Missing(_) | ComponentError::Artifact(ArtifactError::Store { .. }) => true,
            ComponentError::Artifact(ArtifactError::Damaged { .. }) => false,
            ComponentError::Unfit { source, .. } => source.may_pass(),
        }
    }
}

/// All components that this host can get.
#[derive(Clone)]
pub struct Components {
    runtime: Arc<Runtime>,
    artifacts: Artifacts,
    ask_peers: AskPeers,
    verdicts: Arc<Verdicts>,
}

impl Components {
    /// From the runtime's memory first, then from `artifacts`, then from the other hosts.
    pub fn new(runtime: Arc<Runtime>, artifacts: Artifacts, ask_peers: AskPeers) -> Self {
        Components { runtime, artifacts, ask_peers, verdicts: Arc::default() }
    }

    /// The runtime that they are prepared for.
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// The component, compiled and linked, where one of `signers` signed it or there are none. The first call for a build
    /// compiles it, when it is its tenant's turn.
    ///
    /// # Errors
    /// [`ComponentError`].
    pub async fn prepared(
        &self,
        tenant: &str,
        build: &Build,
        signers: &Signers,
    ) -> Result<Arc<Prepared>, ComponentError> {
        let digest = &build.digest;
        self.check_signature(digest, signers).await?;
        if let Some(ready) = self.runtime.prepared(build) {
            return Ok(ready);
        }
        let unfit = |source| ComponentError::Unfit { digest: digest.clone(), source };
        // Its bytes may be many, and are of no use where its code is kept.
        let wanted = build.clone();
        if let Some(kept) = self.runtime.quickly(move |runtime| runtime.kept(&wanted)).await.map_err(unfit)? {
            return Ok(kept);
        }
        let (wanted, bytes) = (build.clone(), self.bytes(digest).await?);
        self.runtime.apart(tenant, build, move |runtime| runtime.prepare(&wanted, &bytes)).await.map_err(unfit)
    }

    /// The same, where there is nothing to do for it.
    pub fn at_hand(&self, build: &Build, signers: &Signers) -> Option<Arc<Prepared>> {
        let is_accepted = signers.is_none() || matches!(self.verdicts.of(&build.digest, signers), Some(Ok(())));
        if is_accepted { self.runtime.prepared(build) } else { None }
    }

    /// Whether one of `signers` signed a component, or there are none. What was found once is remembered: bytes of a digest
    /// change no more.
    ///
    /// # Errors
    /// [`ComponentError`].
    pub async fn check_signature(&self, digest: &Digest, signers: &Signers) -> Result<(), ComponentError> {
        if signers.is_none() {
            return Ok(());
        }
        let unfit = |source| ComponentError::Unfit { digest: digest.clone(), source };
        if signers.is_nobody() {
            return self.runtime.check_signature(&[], signers).map_err(unfit);
        }
        if let Some(verdict) = self.verdicts.of(digest, signers) {
            return verdict.map_err(unfit);
        }
        let (bytes, accepted) = (self.bytes(digest).await?, signers.clone());
        let verdict = self.runtime.quickly(move |runtime| runtime.check_signature(&bytes, &accepted)).await;
        if let Ok(()) | Err(AdmissionError::Unsigned { .. }) = &verdict {
            self.verdicts.remember(digest, signers, verdict.clone());
        }
        verdict.map_err(unfit)
    }

    async fn bytes(&self, digest: &Digest) -> Result<Bytes, ComponentError> {
        match self.artifacts.get(digest).await? {
            Some(bytes) => Ok(bytes),
            None => self.fetch(digest).await,
        }
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

/// What was found of components' signatures.
#[derive(Default)]
struct Verdicts(Mutex<HashMap<(Digest, Signers), Verdict>>);

type Verdict = Result<(), AdmissionError>;

impl Verdicts {
    fn of(&self, digest: &Digest, signers: &Signers) -> Option<Verdict> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(&(digest.clone(), signers.clone())).cloned()
    }

    /// Where there are too many, they are found again.
    fn remember(&self, digest: &Digest, signers: &Signers, verdict: Verdict) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MAX_VERDICTS {
            found.clear();
        }
        found.insert((digest.clone(), signers.clone()), verdict);
    }
}

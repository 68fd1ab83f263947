//! Components become this machine's code, in this process or apart from it.
//!
//! A component comes from a stranger, and compiling it may take any time and memory. So a host has it done by a child process
//! of bounded means, which also takes the first look at the bytes. The child is this program itself; all it has is the bytes
//! on its standard input and a file for its standard output.

mod child;
mod inside;
mod kept;
mod last_words;
mod load;
mod signed;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tracing::warn;
use wasmtime::Engine;
use wasmtime::component::Component;

pub use self::inside::{CompileLimits, compile_for_parent, verify_for_parent};
use self::kept::{CodeFolder, LoadError};
use super::admission;
use super::error::{AdmissionError, StartError};
use crate::clock::Clock;
use crate::registry::{Build, Digest, Signers};

/// How many children check signatures at once.
const CHECKS: usize = 2;

/// Where components are compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// In this process, without bounds: for who trusts the bytes, or has nothing to lose but this process.
    #[default]
    Here,
    /// In a child process, and what it compiled is kept in a folder of the host's own.
    Apart(Arc<Apart>),
}

/// What compiles in children.
#[derive(Debug)]
pub struct Apart {
    folder: CodeFolder,
    limits: CompileLimits,
    checks: Semaphore,
    /// Where children are waited for.
    handle: Handle,
    /// The folder, where it goes with this.
    _passing: Option<TempDir>,
}

impl Compiler {
    /// In children of these limits, whose code is kept below `folder`, which is made where it is missing. The children are
    /// waited for on `handle`.
    ///
    /// # Errors
    /// [`StartError::CodeFolder`] where the folder can't be had, or others may look into it or write there.
    pub fn apart(
        folder: &Path,
        limits: CompileLimits,
        clock: Arc<dyn Clock>,
        handle: Handle,
    ) -> Result<Self, StartError> {
        Self::within(folder, limits, clock, handle, None)
    }

    /// In children of a host's limits, and nothing of it is kept.
    ///
    /// # Errors
    /// [`StartError::CodeFolder`] where there is no room for it.
    pub fn apart_for_once(clock: Arc<dyn Clock>, handle: Handle) -> Result<Self, StartError> {
        let passing = tempfile::tempdir()
            .map_err(|error| StartError::CodeFolder { path: std::env::temp_dir(), detail: error.to_string() })?;
        let path = passing.path().join("compiled");
        Self::within(&path, CompileLimits::default(), clock, handle, Some(passing))
    }

    fn within(
        folder: &Path,
        limits: CompileLimits,
        clock: Arc<dyn Clock>,
        handle: Handle,
        passing: Option<TempDir>,
    ) -> Result<Self, StartError> {
        let folder = CodeFolder::open(folder, clock)
            .map_err(|error| StartError::CodeFolder { path: folder.to_owned(), detail: error.to_string() })?;
        Ok(Compiler::Apart(Arc::new(Apart {
            folder,
            limits,
            checks: Semaphore::new(CHECKS),
            handle,
            _passing: passing,
        })))
    }

    /// The component, where its code is kept.
    pub(super) fn kept(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        match self {
            Compiler::Here => None,
            Compiler::Apart(apart) => apart.kept(engine, digest),
        }
    }

    /// The component, compiled for `engine`. Takes processor time unless it is kept: call it on a blocking thread.
    pub(super) fn component(
        &self,
        engine: &Engine,
        build: &Build,
        bytes: &[u8],
        limit: usize,
    ) -> Result<Component, AdmissionError> {
        match self {
            Compiler::Here => {
                admission::examine(bytes, limit)?;
                Component::from_binary(engine, bytes).map_err(|error| admission::invalid(&error))
            }
            Compiler::Apart(apart) => apart.component(engine, build, bytes, limit),
        }
    }

    /// Whether one of `signers` signed these bytes: before anything else is made of them. Takes processor time.
    pub(super) fn check_signature(&self, bytes: &[u8], signers: &Signers, limit: usize) -> Result<(), AdmissionError> {
        admission::check_size(bytes, limit)?;
        match self {
            _ if signers.is_none() => Ok(()),
            _ if signers.is_nobody() => Err(signed::unsigned("its tenant's settings can't be read", signers)),
            Compiler::Here => signed::check(bytes, signers),
            Compiler::Apart(apart) => apart.handle.block_on(async {
                let _room = apart.checks.acquire().await.expect("it is never closed");
                child::verify(apart.folder.path(), bytes, signers, apart.limits).await
            }),
        }
    }
}

impl Apart {
    fn kept(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let kept = self.folder.load(engine, digest);
        kept.unwrap_or_else(|error| {
            warn!(%digest, %error, "kept code can't be used and is compiled anew");
            None
        })
    }

    fn component(
        &self,
        engine: &Engine,
        build: &Build,
        bytes: &[u8],
        limit: usize,
    ) -> Result<Component, AdmissionError> {
        // Before anything is looked at, or given to a child.
        admission::check_size(bytes, limit)?;
        let digest = &build.digest;
        if let Some(component) = self.kept(engine, digest) {
            return Ok(component);
        }
        let code = self.handle.block_on(child::compile(self.folder.path(), bytes, build.metered, self.limits))?;
        let failed = |detail| AdmissionError::Compiler { detail };
        self.folder.keep(engine, digest, code).map_err(|error| failed(error.to_string()))?;
        match self.folder.load(engine, digest) {
            Ok(component) => component.ok_or_else(|| failed("its code was gone before it was loaded".to_owned())),
            // Not expected: the child has refused what this engine has no room for.
            Err(LoadError::Engine(error)) => Err(admission::invalid(&error)),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

//! Runs components: engine, admission, instances, limits, deadlines. It doesn't know why a run is started, nor what
//! follows from how it ends.

mod admission;
mod compiler;
mod components;
mod cpu_time;
mod engine;
mod error;
mod ground;
mod instance;
mod lanes;
mod limiter;
mod mappings;
mod prepared;
mod run;
mod signature;
mod start;
mod stops;
#[cfg(test)]
pub(crate) mod tests;
mod ticker;
mod trap;
mod turns;
mod verdict;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use wasmtime::component::Component;

pub use self::compiler::{CompileLimits, Compiler, compile_for_parent, verify_for_parent};
pub use self::components::{AskPeers, ComponentError, Components};
pub use self::engine::{MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS, MAX_WASM_STACK_BYTES};
pub use self::error::{AdmissionError, Misfit, StartError};
use self::ground::{Ground, Grounds};
pub use self::instance::MAX_RESULT_BYTES;
pub use self::lanes::{GuestThreads, Lanes};
pub use self::mappings::terms_mapped;
pub use self::prepared::{MAX_PREPARED, Prepared};
pub use self::run::{End, Run, RunEnd, RunRequest};
use self::start::Bench;
use self::turns::{Turn, Turns};
use crate::capability::Budget;
pub use crate::capability::{Contenders, Interrupt, StateMode, StateWrite};
use crate::clock::Clock;
use crate::registry::{Build, Digest, Signers};

/// How many scheduled runs a host has at once.
pub const DEFAULT_MAX_RUNS: u32 = 1000;
/// How many terms of leader jobs a host serves at once; those of one tenant's are half of it.
pub const DEFAULT_MAX_TERMS: u32 = 1000;
/// The largest component, in bytes.
pub const MAX_COMPONENT_BYTES: usize = 32 << 20;

/// A tenant's guests have no more than one part in so many of what all guests of a host may have.
const TENANTS: u64 = 2;

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct RuntimeSettings {
    /// The most scheduled runs at once. About 4 GiB of address space (not of memory) are reserved for each, and for each linear
    /// memory that compositions may have beside.
    pub max_runs: u32,
    /// The most terms of leader jobs at once, in places of their own: they last, and the runs must not wait for them. Of one
    /// tenant's half of it. Each takes as much address space as a run when it begins, and up to ten of the kernel's mappings.
    pub max_terms: u32,
    /// The most memory that the guests hold, all of them together, in bytes; those of one tenant half of it.
    pub guest_memory: u64,
    /// The largest component that is admitted, in bytes.
    pub max_component_bytes: usize,
    /// Where components are compiled.
    pub compiler: Compiler,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        let compiler = Compiler::default();
        RuntimeSettings {
            max_runs: DEFAULT_MAX_RUNS,
            max_terms: DEFAULT_MAX_TERMS,
            guest_memory: u64::MAX,
            max_component_bytes: MAX_COMPONENT_BYTES,
            compiler,
        }
    }
}

/// What a component that was admitted is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Its name.
    pub digest: Digest,
    /// What it imports, in its own order.
    pub imports: Vec<String>,
    /// What it exports, in its own order.
    pub exports: Vec<String>,
    /// Compiled, in bytes.
    pub compiled_bytes: usize,
    /// The number of its linear memories, over all modules.
    pub memories: u32,
    /// The size with which the largest of them begins, in bytes: a run has to be allowed at least that. None where it can't be
    /// told.
    pub initial_memory_bytes: Option<u64>,
}

/// The engines, what was compiled for them, and room for runs.
pub struct Runtime {
    settings: RuntimeSettings,
    grounds: Grounds,
    prepared: Mutex<prepared::Cache>,
    turns: Turns,
    bench: Arc<Bench>,
    guests: Lanes,
    clock: Arc<dyn Clock>,
}

impl Runtime {
    /// Reserves the room for scheduled runs and starts the ticker. `guests` is where guests compute (see
    /// [`GuestThreads`]); nothing that must not wait for a guest belongs there.
    ///
    /// # Errors
    /// [`StartError`] where this machine can't give what the settings ask for.
    pub fn new(
        settings: RuntimeSettings,
        guests: impl Into<Lanes>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Runtime>, StartError> {
        mappings::check(settings.max_runs, settings.max_terms)?;
        let further = mappings::further_memories(settings.max_runs, settings.max_terms);
        let grounds = Grounds::new(settings.max_runs, further)?;
        let (terms, further) = (u64::from(settings.max_terms), u64::from(further));
        let bench = Bench {
            connections: Arc::default(),
            memory: Budget::new(settings.guest_memory, settings.guest_memory / TENANTS),
            slots: Semaphore::new(settings.max_runs as usize),
            terms: Budget::new(terms, terms.div_ceil(TENANTS)),
            further_memories: Budget::new(further, further / TENANTS),
            traffic: Arc::default(),
            clock: clock.clone(),
        };
        let (prepared, turns, guests) = (Mutex::default(), Turns::default(), guests.into());
        Ok(Arc::new(Runtime { settings, grounds, prepared, turns, bench: Arc::new(bench), guests, clock }))
    }

    /// Compiles a build for a tenant, on a blocking thread. Only a few do so at once, and one of each tenant; who wants what
    /// is being compiled already waits for it.
    ///
    /// # Errors
    /// Those of the work, and [`AdmissionError::Compiler`] where it panics.
    pub async fn apart<T: Send + 'static>(
        self: &Arc<Self>,
        tenant: &str,
        build: &Build,
        work: impl FnOnce(&Runtime) -> Result<T, AdmissionError> + Send + 'static,
    ) -> Result<T, AdmissionError> {
        let turn = self.turns.compile(tenant, build).await;
        self.on_thread(turn, work).await
    }

    /// Does what takes milliseconds, on a blocking thread: it doesn't wait for who compiles.
    ///
    /// # Errors
    /// Those of [`Runtime::apart`].
    pub async fn quickly<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Runtime) -> Result<T, AdmissionError> + Send + 'static,
    ) -> Result<T, AdmissionError> {
        let turn = self.turns.load().await;
        self.on_thread(turn, work).await
    }

    /// Whoever wants it may go; the thread goes on, and its turn lasts until it ends.
    async fn on_thread<T: Send + 'static>(
        self: &Arc<Self>,
        turn: Turn,
        work: impl FnOnce(&Runtime) -> Result<T, AdmissionError> + Send + 'static,
    ) -> Result<T, AdmissionError> {
        let runtime = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&runtime)
        });
        done.await.unwrap_or_else(|panic| Err(AdmissionError::Compiler { detail: panic.to_string() }))
    }

    /// Checks a tenant's bytes against the world, compiles them and keeps the result. Takes processor time, for seconds
    /// where the component is large: see [`Runtime::apart`].
    ///
    /// # Errors
    /// [`AdmissionError`], in words for whoever built the component.
    pub fn admit(&self, bytes: &[u8]) -> Result<Admission, AdmissionError> {
        let prepared = self.prepare_as(Digest::of(bytes).into(), bytes)?;
        Ok(Admission {
            digest: prepared.digest().clone(),
            imports: prepared.imports(),
            exports: prepared.exports(),
            compiled_bytes: prepared.compiled_bytes(),
            memories: prepared.memories(),
            initial_memory_bytes: prepared.initial_memory_bytes(),
        })
    }

    /// A component that was admitted, here or on another host, ready to run. Takes processor time unless it is kept
    /// already: see [`Runtime::apart`].
    ///
    /// # Errors
    /// [`AdmissionError::WrongDigest`] where the bytes are not what they are called; the others of [`Runtime::admit`].
    pub fn prepare(&self, build: &Build, bytes: &[u8]) -> Result<Arc<Prepared>, AdmissionError> {
        if let Some(prepared) = self.prepared(build) {
            return Ok(prepared);
        }
        let found = Digest::of(bytes);
        if found != build.digest {
            return Err(AdmissionError::WrongDigest { wanted: build.digest.clone(), found });
        }
        self.prepare_as(build.clone(), bytes)
    }

    /// Whether one of `signers` signed a component, where there are any: nothing else is made of its bytes. Waits for a child:
    /// see [`Runtime::quickly`].
    ///
    /// # Errors
    /// [`AdmissionError::Unsigned`], [`AdmissionError::TooLarge`], or [`AdmissionError::Compiler`] where it can't be told.
    pub fn check_signature(&self, bytes: &[u8], signers: &Signers) -> Result<(), AdmissionError> {
        self.settings.compiler.check_signature(bytes, signers, self.settings.max_component_bytes)
    }

    /// A component that is kept compiled.
    pub fn prepared(&self, build: &Build) -> Option<Arc<Prepared>> {
        self.cache().get(build)
    }

    /// A component whose code this host keeps, ready to run without its bytes; None where it doesn't. Takes some milliseconds: see
    /// [`Runtime::quickly`].
    ///
    /// # Errors
    /// [`AdmissionError`], where the code is there and doesn't fit.
    pub fn kept(&self, build: &Build) -> Result<Option<Arc<Prepared>>, AdmissionError> {
        self.prepare_from(build, |ground| Ok(self.settings.compiler.kept(&ground.engine, &build.digest)))
    }

    fn prepare_as(&self, build: Build, bytes: &[u8]) -> Result<Arc<Prepared>, AdmissionError> {
        let RuntimeSettings { compiler, max_component_bytes, .. } = &self.settings;
        let compile =
            |ground: &Ground| compiler.component(&ground.engine, &build, bytes, *max_component_bytes).map(Some);
        Ok(self.prepare_from(&build, compile)?.expect("it is compiled"))
    }

    fn prepare_from(
        &self,
        build: &Build,
        component: impl FnOnce(&Ground) -> Result<Option<Component>, AdmissionError>,
    ) -> Result<Option<Arc<Prepared>>, AdmissionError> {
        if let Some(prepared) = self.prepared(build) {
            return Ok(Some(prepared));
        }
        let ground = self.grounds.of(build)?;
        let Some(component) = component(ground)? else { return Ok(None) };
        admission::check_parts(&component)?;
        let prepared = Prepared::new(build.clone(), admission::link(&ground.linker, &component)?);
        self.cache().insert(prepared.clone());
        Ok(Some(prepared))
    }

    fn cache(&self) -> MutexGuard<'_, prepared::Cache> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

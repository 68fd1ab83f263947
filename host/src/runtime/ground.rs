//! The engines that guests run on, and what their components are linked to.

use std::sync::OnceLock;

use wasmtime::Engine;
use wasmtime::component::Linker;

use super::error::{AdmissionError, StartError};
use super::instance::Guest;
use super::{engine, ticker};
use crate::capability;
use crate::registry::Build;

/// An engine, and what components are linked to.
pub(super) struct Ground {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Guest>,
}

/// One for each kind of build.
pub(super) struct Grounds {
    /// Laid out beforehand: scheduled runs come and go by the thousand.
    pooled: Ground,
    /// The others are made for the first job that needs them. This one is for terms.
    lasting: OnceLock<Ground>,
    metered: OnceLock<Ground>,
}

impl Ground {
    fn new(engine: Engine) -> Result<Self, StartError> {
        let mut linker = Linker::new(&engine);
        capability::add_to_linker(&mut linker, Guest::host)
            .map_err(|error| StartError::Link { detail: engine::chain(&error) })?;
        ticker::start(&engine)?;
        Ok(Ground { engine, linker })
    }
}

impl Grounds {
    /// Reserves room for so many scheduled runs at once, and for so many linear memories beyond the first one of each.
    pub(super) fn new(max_runs: u32, further_memories: u32) -> Result<Self, StartError> {
        let pooled = Ground::new(engine::pooled(max_runs, further_memories)?)?;
        Ok(Grounds { pooled, lasting: OnceLock::new(), metered: OnceLock::new() })
    }

    /// The one for a build.
    pub(super) fn of(&self, build: &Build) -> Result<&Ground, AdmissionError> {
        let place = match (build.metered, build.lasting) {
            (true, _) => &self.metered,
            (false, true) => &self.lasting,
            (false, false) => return Ok(&self.pooled),
        };
        if let Some(ground) = place.get() {
            return Ok(ground);
        }
        let failed = |detail: String| AdmissionError::Compiler { detail };
        let engine = engine::on_demand(build.metered).map_err(|error| failed(engine::chain(&error)))?;
        let ground = Ground::new(engine).map_err(|error| failed(error.to_string()))?;
        // Where another was quicker, its own is taken.
        Ok(place.get_or_init(|| ground))
    }
}

//! Components that are compiled and linked, by digest: what a run starts from.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::Engine;

use super::instance::Guest;
use crate::capability::LeaderPre;
use crate::registry::{Build, Digest};

/// How many components are kept compiled. One takes about three times the size of its bytes.
pub const MAX_PREPARED: usize = 256;

/// Of a linear memory.
const PAGE_BYTES: u64 = 64 * 1024;

/// A component that only needs a store to run.
pub struct Prepared {
    build: Build,
    pre: LeaderPre<Guest>,
    memories: u32,
}

impl Prepared {
    pub(super) fn new(build: Build, pre: LeaderPre<Guest>) -> Arc<Self> {
        let required = pre.instance_pre().component().resources_required();
        let memories = required.map_or(0, |required| required.num_memories);
        Arc::new(Prepared { build, pre, memories })
    }

    /// The name of the bytes it was made of.
    pub fn digest(&self) -> &Digest {
        &self.build.digest
    }

    /// It counts what it executes.
    pub(super) fn is_metered(&self) -> bool {
        self.build.metered
    }

    /// It is for terms, which last.
    pub(super) fn is_lasting(&self) -> bool {
        self.build.lasting
    }

    /// What it was compiled for.
    pub(super) fn engine(&self) -> &Engine {
        self.pre.instance_pre().component().engine()
    }

    pub(super) fn pre(&self) -> &LeaderPre<Guest> {
        &self.pre
    }

    /// Its code and what belongs to it.
    pub(super) fn compiled_bytes(&self) -> usize {
        let image = self.pre.instance_pre().component().image_range();
        image.end.addr() - image.start.addr()
    }

    /// The number of its linear memories, over all modules.
    pub(super) fn memories(&self) -> u32 {
        self.memories
    }

    /// The size with which the largest of its linear memories begins, in bytes.
    pub(super) fn initial_memory_bytes(&self) -> Option<u64> {
        let required = self.pre.instance_pre().component().resources_required()?;
        Some(required.max_initial_memory_size.unwrap_or_default() * PAGE_BYTES)
    }

    /// What it imports, by name.
    pub(super) fn imports(&self) -> Vec<String> {
        self.pre
            .instance_pre()
            .component()
            .component_type()
            .imports(self.engine())
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// What it exports, by name.
    pub(super) fn exports(&self) -> Vec<String> {
        self.pre
            .instance_pre()
            .component()
            .component_type()
            .exports(self.engine())
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

/// The components used last.
#[derive(Default)]
pub(super) struct Cache {
    kept: HashMap<Build, (Arc<Prepared>, u64)>,
    uses: u64,
}

impl Cache {
    pub(super) fn get(&mut self, build: &Build) -> Option<Arc<Prepared>> {
        self.uses += 1;
        let (prepared, used) = self.kept.get_mut(build)?;
        *used = self.uses;
        Some(prepared.clone())
    }

    /// Keeps one, at the cost of the one that was not used for longest. Runs under way keep theirs.
    pub(super) fn insert(&mut self, prepared: Arc<Prepared>) {
        self.uses += 1;
        self.kept.insert(prepared.build.clone(), (prepared, self.uses));
        if self.kept.len() > MAX_PREPARED {
            let oldest = self.kept.iter().min_by_key(|(_, (_, used))| *used).map(|(build, _)| build.clone());
            oldest.and_then(|build| self.kept.remove(&build));
        }
    }
}

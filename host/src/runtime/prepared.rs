//! Components that are compiled and linked, by digest: what a run starts from.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::Engine;

use super::instance::Guest;
use crate::capability::LeaderPre;
use crate::registry::Digest;

/// How many components are kept compiled. One takes about four times the size of its bytes.
pub const MAX_PREPARED: usize = 256;

/// A component that only needs a store to run.
pub struct Prepared {
    digest: Digest,
    pre: LeaderPre<Guest>,
}

impl Prepared {
    pub(super) fn new(digest: Digest, pre: LeaderPre<Guest>) -> Arc<Self> {
        Arc::new(Prepared { digest, pre })
    }

    /// The name of the bytes it was made of.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(super) fn pre(&self) -> &LeaderPre<Guest> {
        &self.pre
    }

    /// What it imports, by name.
    pub(super) fn imports(&self, engine: &Engine) -> Vec<String> {
        self.pre.instance_pre().component().component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
    }

    /// What it exports, by name.
    pub(super) fn exports(&self, engine: &Engine) -> Vec<String> {
        self.pre.instance_pre().component().component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
    }
}

/// The components used last.
#[derive(Default)]
pub(super) struct Cache {
    kept: HashMap<Digest, (Arc<Prepared>, u64)>,
    uses: u64,
}

impl Cache {
    pub(super) fn get(&mut self, digest: &Digest) -> Option<Arc<Prepared>> {
        self.uses += 1;
        let (prepared, used) = self.kept.get_mut(digest)?;
        *used = self.uses;
        Some(prepared.clone())
    }

    /// Keeps one, at the cost of the one that was not used for longest. Runs under way keep theirs.
    pub(super) fn insert(&mut self, prepared: Arc<Prepared>) {
        self.uses += 1;
        self.kept.insert(prepared.digest.clone(), (prepared, self.uses));
        if self.kept.len() > MAX_PREPARED {
            let oldest = self.kept.iter().min_by_key(|(_, (_, used))| *used).map(|(digest, _)| digest.clone());
            oldest.and_then(|digest| self.kept.remove(&digest));
        }
    }
}

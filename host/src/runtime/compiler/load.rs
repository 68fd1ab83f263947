//! The one place where machine code is loaded that was not made in this process, and with that the one that is `unsafe`.

#![expect(unsafe_code, reason = "wasmtime can't tell code that it made from any other; whoever calls this can")]

use std::path::Path;

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// Code that a child of this host wrote, and that nobody changed since.
pub(super) struct Proven<'a>(&'a Path);

impl<'a> Proven<'a> {
    /// Says so of this file. True only of a file in a folder that nobody but this host's user may open, whose keyed digest is
    /// the one that this host noted when its own child had written it.
    pub(super) fn by_its_seal(path: &'a Path) -> Self {
        Proven(path)
    }
}

/// Maps the code into memory.
///
/// # Errors
/// Where it was made for another engine: another version, other settings, another processor.
pub(super) fn load(engine: &Engine, code: &Proven<'_>) -> Result<Component> {
    // SAFETY: the bytes are what `Engine::precompile_component` gave in a process of this program: a child of this host wrote
    // them, and `Proven` is made only where their keyed digest (BLAKE3, with a key of 256 bits that only this host has) is the
    // one that was noted then, so that neither a tenant nor a torn write put anything else there. What a component's author
    // sends never comes here: it is refused where it looks like code (`AdmissionError::Precompiled`), and only ever an input
    // of the compiler. The file isn't changed while it is mapped: files in this folder are written under other names, renamed
    // and unlinked, never written again, and the folder's mode lets nobody else in. Whoever is this host's user or root could
    // change it, and could as well change this process.
    unsafe { Component::deserialize_file(engine, code.0) }
}

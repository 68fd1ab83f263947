//! What a component must pass before it is kept: cheap looks first, then its world, then the compiler (elsewhere), then the
//! linker.
//!
//! It doesn't know where components come from or are stored.

use std::panic;

use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::engine::chain;
use super::error::{AdmissionError, Misfit};
use super::instance::Guest;
use super::world;
use crate::capability::LeaderPre;
use crate::registry::Limit;

/// How WebAssembly of any kind begins.
const MAGIC: &[u8] = b"\0asm";
/// The field behind it, of a core module and of a component.
const CORE_VERSION: u32 = 1;
const COMPONENT_VERSION: u32 = 0x0001_000d;

/// Not more bytes than that.
pub(super) fn check_size(bytes: &[u8], limit: usize) -> Result<(), AdmissionError> {
    if bytes.len() > limit { Err(AdmissionError::TooLarge { size: bytes.len(), limit }) } else { Ok(()) }
}

/// What can be said before it is compiled.
pub(super) fn examine(bytes: &[u8], limit: usize) -> Result<(), AdmissionError> {
    check_size(bytes, limit)?;
    look(bytes)?;
    // A component that can't be decoded is broken, which the compiler says better; or odd, then linking decides. Some valid
    // ones have wit-parser 0.254 panic: what a type that is exported may be is more than it expects.
    if let Ok(Ok(decoded)) = panic::catch_unwind(|| wit_component::decode(bytes)) {
        let misfits = world::misfits(&decoded);
        if !misfits.is_empty() {
            return Err(AdmissionError::World(misfits));
        }
    }
    Ok(())
}

/// A compiled component that fits, ready to be instantiated.
pub(super) fn link(linker: &Linker<Guest>, component: &Component) -> Result<LeaderPre<Guest>, AdmissionError> {
    let linked = linker.instantiate_pre(component).map_err(|error| unlinked(&error))?;
    LeaderPre::new(linked).map_err(|error| unexported(&error))
}

/// What the first bytes say.
fn look(bytes: &[u8]) -> Result<(), AdmissionError> {
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(AdmissionError::Precompiled);
    }
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(AdmissionError::NotWasm { found: beginning(bytes) });
    };
    let Some(version) = rest.first_chunk::<4>() else {
        return Err(AdmissionError::NotWasm { found: format!("it ends after {} bytes", bytes.len()) });
    };
    match u32::from_le_bytes(*version) {
        CORE_VERSION => Err(AdmissionError::CoreModule),
        COMPONENT_VERSION => Ok(()),
        version => Err(AdmissionError::UnknownVersion { version }),
    }
}

fn beginning(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "it is empty".to_owned();
    }
    format!("it begins with `{}`", bytes[..bytes.len().min(8)].escape_ascii())
}

/// What the pool of instances says of a component that is made of too much, or of one of its modules: a part of its words, and
/// the limit.
const PARTS: [(&str, Limit); 5] = [
    ("core module instances, which exceeds", Limit::Instances),
    ("Wasm linear memories, which exceeds", Limit::Memories),
    ("tables, which exceeds", Limit::Tables),
    ("defined memories count of", Limit::Memories),
    ("defined tables count of", Limit::Tables),
];

/// Checks that a component isn't made of more than any run may have. Engines that lay out no room beforehand don't look at it.
pub(super) fn check_parts(component: &Component) -> Result<(), AdmissionError> {
    // None only for one that imports modules, which no host offers.
    let Some(required) = component.resources_required() else { return Ok(()) };
    for (limit, has) in [(Limit::Memories, required.num_memories), (Limit::Tables, required.num_tables)] {
        let (has, most) = (u64::from(has), *limit.bounds().end());
        if has > most {
            return Err(AdmissionError::TooManyParts { limit, has, most });
        }
    }
    Ok(())
}

/// The compiler's words: what is broken, or switched off here.
pub(super) fn invalid(error: &wasmtime::Error) -> AdmissionError {
    too_many_parts(error).unwrap_or_else(|| AdmissionError::Invalid { detail: chain(error) })
}

/// The pool's words, put plainly: that a component "transitively contains 17 tables, which exceeds the configured maximum of 16".
fn too_many_parts(error: &wasmtime::Error) -> Option<AdmissionError> {
    let words = error.root_cause().to_string();
    let (_, limit) = PARTS.into_iter().find(|(part, _)| words.contains(part))?;
    let has = words.split(' ').find_map(|word| word.parse().ok())?;
    Some(AdmissionError::TooManyParts { limit, has, most: *limit.bounds().end() })
}

/// The linker's words, put plainly. They come as "component imports instance `I`, but …", perhaps "instance export `F` has
/// the wrong type", and last "function implementation is missing" or how the types differ.
fn unlinked(error: &wasmtime::Error) -> AdmissionError {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let named = |prefix| causes.iter().filter(move |cause| cause.starts_with(prefix)).find_map(|cause| quoted(cause));
    let misfit = match (named("component imports"), causes.last()) {
        (Some(interface), Some(reason)) => {
            let name = named("instance export").map_or(interface.to_owned(), |name| format!("{interface}#{name}"));
            if reason.ends_with("implementation is missing") {
                Misfit::UnknownImport { name, wanted: None, near: None }
            } else {
                Misfit::Link {
                    detail: format!("it imports `{name}` with another type than this host offers: {reason}"),
                }
            }
        }
        _ => Misfit::Link { detail: causes.join(": ") },
    };
    AdmissionError::World(vec![misfit])
}

/// The words of the generated bindings, put plainly: "no exported instance named `I`", "no export `F` found".
fn unexported(error: &wasmtime::Error) -> AdmissionError {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let missing = causes.iter().find(|cause| cause.starts_with("no export"));
    let misfit = match missing.and_then(|cause| quoted(cause)) {
        Some(name) => Misfit::MissingExport { name: name.to_owned(), wanted: None, near: None },
        None => Misfit::Link { detail: format!("its exports don't fit: {}", causes.join(": ")) },
    };
    AdmissionError::World(vec![misfit])
}

/// What stands between the first two backticks.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

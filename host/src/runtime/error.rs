//! Why a runtime did not start, and why a component is not taken.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::registry::{Digest, Limit, Signers};

/// Why the runtime did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The pool was not to be had.
    #[error(
        "room for {max_runs} runs at once can't be reserved (about 4 GiB of address space for each of their linear memories, `ulimit -v` must allow it): {detail}"
    )]
    Pool {
        /// How many runs it was to hold.
        max_runs: u32,
        /// What wasmtime said.
        detail: String,
    },
    /// The kernel allows fewer mappings than so many guests take.
    #[error(
        "{max_runs} runs and {max_terms} leader terms at once take up to {needed} memory mappings, and the kernel allows {allowed}: `sysctl -w vm.max_map_count={needed}`"
    )]
    Mappings {
        /// How many runs were to be had.
        max_runs: u32,
        /// How many terms.
        max_terms: u32,
        /// The kernel's bound for a process.
        allowed: u32,
        /// What they and the host take.
        needed: u32,
    },
    /// A first small guest did not run.
    #[error("this machine can't run a first small guest: {detail}")]
    Probe {
        /// What wasmtime said.
        detail: String,
    },
    /// No thread for the ticker.
    #[error("the ticker's thread can't be started: {detail}")]
    Ticker {
        /// What the system said.
        detail: String,
    },
    /// No place for compiled code.
    #[error("the folder of compiled code `{}` can't be used: {detail}", .path.display())]
    CodeFolder {
        /// Which.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The host's own imports don't link: a fault of this program.
    #[error("the host's own imports can't be linked: {detail}")]
    Link {
        /// What wasmtime said.
        detail: String,
    },
}

/// Why a component is not taken. The words are for whoever built it.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdmissionError {
    /// Not WebAssembly of any kind.
    #[error("this is no WebAssembly: {found}, a component begins with `\\0asm`")]
    NotWasm {
        /// What it is instead: its size, or how it begins.
        found: String,
    },
    /// A core module.
    #[error(
        "this is a core module, not a component: build it for `wasm32-wasip2`, or make a component of it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Neither version of the binary format.
    #[error("this is WebAssembly of version 0x{version:08x}, which is neither a component nor a core module")]
    UnknownVersion {
        /// The field behind the magic number.
        version: u32,
    },
    /// A compiled artefact.
    #[error(
        "this is a precompiled component (.cwasm): it could hold any machine code, so only the .wasm itself is taken"
    )]
    Precompiled,
    /// Too many bytes.
    #[error("the component has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// In bytes.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// The bytes are broken, or use what this host switches off (memory64, threads, …).
    #[error("the component is not valid here: {detail}")]
    Invalid {
        /// Where and why.
        detail: String,
    },
    /// It is made of more parts than any run may have.
    #[error("the component has {has} {limit} in all of its parts, and a run may have {most} at the most")]
    TooManyParts {
        /// Of what: memories, tables or instances.
        limit: Limit,
        /// How many it has.
        has: u64,
        /// How many there may be.
        most: u64,
    },
    /// Nobody signed it whose signature its tenant accepts.
    #[error("the component has to be signed by one of {signers}: {detail}")]
    Unsigned {
        /// Who may sign.
        signers: Signers,
        /// What was found.
        detail: String,
    },
    /// Compiling it takes too long.
    #[error("compiling the component takes more than {seconds} s of processor time")]
    TooSlow {
        /// The limit.
        seconds: u64,
    },
    /// Compiling it takes too much memory.
    #[error("compiling the component takes more than {} MiB of memory", .limit >> 20)]
    TooHungry {
        /// In bytes.
        limit: u64,
    },
    /// What it compiles to is too large.
    #[error("compiled, the component takes more than {} MiB", .limit >> 20)]
    TooMuchCode {
        /// In bytes.
        limit: u64,
    },
    /// The machine was too busy.
    #[error("this host had too little processor time for the component: it was not done with it after {seconds} s")]
    Starved {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The compiler failed, by no fault that it could name.
    #[error("the compiler failed: {detail}")]
    Compiler {
        /// How.
        detail: String,
    },
    /// It is a component, but of another world.
    #[error("the component doesn't fit the world `silverback:leader/leader`: {}", list(.0))]
    World(
        /// At least one.
        Vec<Misfit>,
    ),
    /// Stored bytes that are not what they are called.
    #[error("the component's bytes have the digest {found}, not {wanted}")]
    WrongDigest {
        /// What was asked for.
        wanted: Digest,
        /// What the bytes have.
        found: Digest,
    },
}

impl AdmissionError {
    /// It may be no fault of the component: another time the same bytes may be taken.
    pub fn may_pass(&self) -> bool {
        matches!(self, AdmissionError::Starved { .. } | AdmissionError::Compiler { .. })
    }
}

/// One import or export that doesn't fit.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum Misfit {
    /// The leader function is missing.
    #[error("it lacks the export `{name}`{}{}", of_type(.wanted), but("has", .near))]
    MissingExport {
        /// The interface, or `interface#function`.
        name: String,
        /// The function's type in WIT, where it is one.
        wanted: Option<String>,
        /// The same interface in another version.
        near: Option<String>,
    },
    /// An export of ours with another type.
    #[error("its export `{name}` is `{found}`, and must be `{wanted}`")]
    ExportType {
        /// `interface#function`.
        name: String,
        /// In WIT.
        found: String,
        /// In WIT.
        wanted: String,
    },
    /// An import that no host has.
    #[error("it imports `{name}`{}, which this host doesn't offer{}", of_type(.wanted), but("offers", .near))]
    UnknownImport {
        /// The interface, or `interface#function`.
        name: String,
        /// The function's type in WIT, where it is one.
        wanted: Option<String>,
        /// The same interface in another version.
        near: Option<String>,
    },
    /// An import of ours with another type.
    #[error("it imports `{name}` as `{wanted}`, and this host offers `{offered}`")]
    ImportType {
        /// `interface#function`.
        name: String,
        /// What the component wants, in WIT.
        wanted: String,
        /// What the host has, in WIT.
        offered: String,
    },
    /// What only linking found, in wasmtime's words put plainly.
    #[error("{detail}")]
    Link {
        /// What, and why.
        detail: String,
    },
}

fn of_type(ty: &Option<String>) -> String {
    ty.as_ref().map_or_else(String::new, |ty| format!(" of type `{ty}`"))
}

fn but(verb: &str, near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!(" (it {verb} `{near}`)"))
}

fn list(misfits: &[Misfit]) -> String {
    misfits.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

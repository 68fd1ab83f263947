//! Silverback: leader election whose leader function is a sandboxed WebAssembly component.
//!
//! Arrows between the modules go down only: `cli` and `main` -> `daemon` -> `api` -> `candidacy`, `scheduler` -> `runtime` ->
//! `capability`, `registry`, `artifact`, `history` -> `coordinator` -> `clock`, `config`, `files`, `panics`,
//! `telemetry`, `text`, `vital`. ARCHITECTURE.md is the map.

pub mod api;
pub mod artifact;
pub mod candidacy;
pub mod capability;
pub mod cli;
pub mod clock;
pub mod config;
pub mod coordinator;
pub mod daemon;
pub mod files;
pub mod history;
pub mod panics;
pub mod registry;
pub mod runtime;
pub mod scheduler;
pub mod telemetry;
pub mod text;
pub mod vital;

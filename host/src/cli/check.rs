//! `check`: whether a component fits the world, what it would need and what it costs, without a host.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::runtime::Builder;

use super::output::say;
use super::read_file;
use crate::clock;
use crate::runtime::{Admission, Compiler, GuestThreads, Runtime, RuntimeSettings};
use crate::text::plain;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let bytes = read_file(&self.file)?;
        let clock = clock::system();
        let began = clock.boot();
        let admission = admit(&bytes).with_context(|| format!("`{}`", self.file.display()))?;
        let took = clock.boot().saturating_sub(began);
        let mut text = format!("{} fits\n{}\n", plain(&self.file.display().to_string()), admission.digest);
        for import in &admission.imports {
            text.push_str(&format!("import {}\n", plain(import)));
        }
        for export in &admission.exports {
            text.push_str(&format!("export {}\n", plain(export)));
        }
        text.push_str(&needs(&admission.imports));
        let (size, compiled, seconds) = (kib(bytes.len()), kib(admission.compiled_bytes), took.as_secs_f64());
        text.push_str(&format!("cost: {size} KiB, compiled in {seconds:.1} s to {compiled} KiB"));
        if let Some(memory) = admission.initial_memory_bytes {
            let memory = memory.div_ceil(1024);
            match admission.memories {
                0 | 1 => text.push_str(&format!("; a run begins with {memory} KiB of memory")),
                memories => {
                    text.push_str(&format!("; a run begins with {memories} memories of up to {memory} KiB each"))
                }
            }
        }
        Ok(say(&text)?)
    }
}

/// What is there for a component only where it is granted, and what isn't there for any.
fn needs(imports: &[String]) -> String {
    let has = |package: &str| imports.iter().any(|import| import.starts_with(package));
    let mut text = String::new();
    if has("wasi:http/outgoing-handler@") {
        text.push_str(
            "needs, under [http] in job.toml: allow = [\"https://api.example.com\"], with each target of its HTTP requests; others \
             are denied\n",
        );
    }
    if has("wasi:keyvalue/") {
        text.push_str("has: the job's own state, as large as [limits] state allows\n");
    }
    if has("wasi:config/store@") {
        text.push_str("has: what stands under [config] and [secrets] in job.toml\n");
    }
    for (package, what) in [("wasi:filesystem/", "files"), ("wasi:sockets/", "connections")] {
        if has(package) {
            text.push_str(&format!("links {package}*, and finds no {what} there: there are none in a host\n"));
        }
    }
    text
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

/// The same admission that a host does before it stores a component, with as little trust in it.
fn admit(bytes: &[u8]) -> anyhow::Result<Admission> {
    let (guests, waits) = (GuestThreads::start()?, Builder::new_multi_thread().worker_threads(1).enable_all().build()?);
    let clock = clock::system();
    let compiler = Compiler::apart_for_once(clock.clone(), waits.handle().clone())?;
    let settings = RuntimeSettings { max_runs: 1, max_terms: 1, compiler, ..RuntimeSettings::default() };
    Ok(Runtime::new(settings, guests.lanes(), clock)?.admit(bytes)?)
}

//! The example `rollup` in each language, built elsewhere as its README says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::cli::Cli;
use crate::place;
use crate::tools::{crate_program, python_with};

/// The pins of examples/rollup-python and of the README of examples/rollup-c.
const COMPONENTIZE_PY: &str = include_str!("../../examples/rollup-python/requirements.txt");
const WIT_BINDGEN: &str = "0.63.0";

/// The example's folder, elsewhere, built.
pub struct Example {
    folder: TempDir,
}

impl Example {
    /// `language` is what follows `rollup` in its name: empty for Rust, `-js`, `-python`, `-c`.
    ///
    /// # Panics
    /// Where it can't be built: says what it needs.
    pub fn build(language: &str) -> Self {
        let built = Example { folder: tempfile::tempdir().expect("a folder can be had") };
        let example = place::root().join("examples").join(format!("rollup{language}"));
        for file in fs::read_dir(&example).expect("it is there").map(|file| file.expect("it can be read").path()) {
            if let Some(name) = file.file_name().and_then(|name| name.to_str()).filter(|_| file.is_file()) {
                fs::copy(&file, built.file(name)).expect("it can be copied");
            }
        }
        Cli::new("http://127.0.0.1:1").ok(&["wit", "--out", &built.file("wit").display().to_string()]);
        match language {
            "-js" => {
                built.at("npm", &["ci", "--silent", "--no-audit", "--no-fund"]);
                built.at("npm", &["run", "--silent", "build"]);
            }
            "-python" => {
                let bin = python_with(COMPONENTIZE_PY.trim(), "import componentize_py");
                let args = ["--wit-path", "wit", "--world", "leader", "componentize", "rollup", "-o", "rollup.wasm"];
                built.at(bin.join("componentize-py"), &args);
            }
            "-c" => {
                let bindgen = crate_program("wit-bindgen-cli", WIT_BINDGEN, "c", "wit-bindgen");
                built.at("make", &["CC=clang-19", &format!("WIT_BINDGEN={}", bindgen.display())]);
            }
            _ => {
                fs::copy(place::example("rollup"), built.file("rollup.wasm")).expect("it can be copied");
                built.edit("../target/wasm32-wasip2/release/", "");
            }
        }
        built
    }

    /// Another text in its job.toml, wherever it stands.
    ///
    /// # Panics
    /// Where it doesn't stand there.
    pub fn edit(&self, text: &str, other: &str) {
        let job = fs::read_to_string(self.file("job.toml")).expect("it is there");
        assert!(job.contains(text), "{job}");
        fs::write(self.file("job.toml"), job.replace(text, other)).expect("it can be written");
    }

    /// One of its files; what is built is `rollup.wasm`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn at(&self, program: impl AsRef<Path>, args: &[&str]) {
        let program = program.as_ref();
        let output = Command::new(program).current_dir(self.folder.path()).args(args).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(output.status.success(), "{} {args:?}: {output:#?}", program.display());
    }
}

//! Finds the WIT of WASI 0.2 in the crate that implements it, so that `silverback wit` can write it beside our own: it is not
//! kept here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Its folder has all packages of WASI 0.2 that are linked, http among them.
const CRATE: &str = "wasmtime-wasi-http";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let folder = manifest(CRATE).with_file_name("wit").join("deps");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a folder can be read to its end").path()).collect();
    files.sort();
    let entry = |file: &PathBuf| {
        let name = file.file_name().expect("a folder's entries have names").display().to_string();
        format!("({name:?}, include_str!({:?})),\n", file.display().to_string())
    };
    let list: String = files.iter().map(entry).collect();
    let out = Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("wasi_wit.rs");
    fs::write(out, format!("[\n{list}]")).expect("the output folder can be written to");
}

/// Where the `Cargo.toml` of a dependency is, in the version that is built with.
fn manifest(name: &str) -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform"]);
    let output = cargo.arg(env::var_os("TARGET").expect("cargo sets it")).output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata gives JSON");
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == name).unwrap_or_else(|| panic!("no dependency `{name}`"));
    PathBuf::from(package["manifest_path"].as_str().expect("a package has a manifest"))
}

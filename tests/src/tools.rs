//! Tools of other languages, installed once for all test processes of the machine, in the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place;

/// The folder of the programs of a virtual environment that has a Python package; `check` is Python that fails without it.
///
/// # Panics
/// Where Python is missing, or the package can't be installed: says what to install.
pub fn python_with(package: &str, check: &str) -> PathBuf {
    let name = package.split("==").next().unwrap_or(package);
    let dir = place::target_dir().join(name);
    let (_alone, venv) = (alone(&dir), dir.join("venv"));
    let python = venv.join("bin/python");
    if !Command::new(&python).args(["-c", check]).output().is_ok_and(|output| output.status.success()) {
        let why = "these tests need Python 3 with its module venv: apt-get install python3 python3-venv";
        install("python3", &["-m", "venv", "--clear", &text(&venv)], why);
        let why =
            format!("these tests need the package {package} from PyPI, or from the folder that PIP_FIND_LINKS names");
        install(&text(&python), &["-m", "pip", "install", "--quiet", package], &why);
    }
    venv.join("bin")
}

/// A program of a crate, built with these features.
///
/// # Panics
/// Where it can't be built.
pub fn crate_program(name: &str, version: &str, features: &str, program: &str) -> PathBuf {
    let dir = place::target_dir().join(format!("{name}-{version}"));
    let (_alone, file) = (alone(&dir), dir.join("bin").join(program));
    if !file.exists() {
        let exact = format!("{name}@{version}");
        let args = ["install", "--quiet", &exact, "--locked", "--no-default-features", "--features", features];
        install("cargo", &[&args[..], &["--root", &text(&dir)]].concat(), "these tests need a crate of that name");
    }
    file
}

/// Runs a program to its end, in whatever it takes.
///
/// # Panics
/// Where it fails: with what it said, and `why` it is wanted.
pub fn install(program: &str, args: &[&str], why: &str) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; {why}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?} failed: {}\n{why}", said.trim());
}

/// A folder for one process at a time, until the result is dropped.
fn alone(dir: &Path) -> File {
    fs::create_dir_all(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let lock = File::create(dir.join("lock")).expect("the target folder can be written");
    lock.lock().expect("files of the target folder can be locked");
    lock
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

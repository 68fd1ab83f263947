//! Where the pieces that a test starts lie: binary, guests, scripts. Knows paths, and starts nothing.

use std::path::{Path, PathBuf};

/// The root of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of the workspace").to_owned()
}

/// The folder of the profile that the running test was built in: `target/debug` unless cargo was told otherwise.
pub fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own executable");
    // target/PROFILE/deps/NAME-HASH
    test.ancestors().nth(2).expect("cargo puts a test two folders below its profile's").to_owned()
}

/// The folder that cargo builds the workspace into.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile's folder lies in the target folder").to_owned()
}

/// The `silverback` binary, built in the same profile as the running test.
///
/// # Panics
/// Where it is missing: `cargo test -p silverback-tests` alone doesn't build it.
pub fn silverback() -> PathBuf {
    present(profile_dir().join("silverback"), "cargo build --workspace --bins")
}

/// A component of `tests/guests`, by its crate's name.
///
/// # Panics
/// Where it is missing.
pub fn guest(name: &str) -> PathBuf {
    present(
        root().join("tests/guests/target/wasm32-wasip2/release").join(format!("{}.wasm", name.replace('-', "_"))),
        "make guests",
    )
}

/// A component of `examples/`, by its crate's name.
///
/// # Panics
/// Where it is missing.
pub fn example(name: &str) -> PathBuf {
    present(root().join("examples/target/wasm32-wasip2/release").join(format!("{name}.wasm")), "make examples")
}

/// A file of the tests' own, by its path under `tests/`.
///
/// # Panics
/// Where it is missing.
pub fn fixture(path: &str) -> PathBuf {
    present(root().join("tests").join(path), "git checkout tests")
}

fn present(path: PathBuf, remedy: &str) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `{remedy}`", path.display());
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_lies_in_the_target_folder() {
        assert!(profile_dir().join("deps").is_dir());
        assert!(target_dir().join("CACHEDIR.TAG").is_file());
    }

    #[test]
    #[should_panic(expected = "run `make guests`")]
    fn a_missing_guest_says_how_to_build_it() {
        guest("no-such-guest");
    }
}

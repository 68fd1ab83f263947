//! The house rules that a compiler doesn't check: which module may know which, and where clocks, ZooKeeper, wasmtime and
//! the terminal may be touched. ARCHITECTURE.md says why.

mod rules;
mod source;

use rules::Finding;
use source::{SourceFile, rust_files};

fn host() -> Vec<SourceFile> {
    let files = rust_files(&silverback_tests::place::root().join("host/src"));
    assert!(files.len() > 10, "only {} files of the host were found", files.len());
    files
}

#[track_caller]
fn assert_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} house rules are broken:\n{}", findings.len(), lines.join("\n"));
}

#[test]
fn arrows_between_modules_go_down_and_never_in_a_circle() {
    assert_none(&rules::arrows(&host()));
}

#[test]
fn zookeeper_is_spoken_only_in_the_coordinator() {
    assert_none(&rules::only_under(&host(), &["zookeeper_client::"], &["coordinator"]));
}

#[test]
fn wasmtime_is_touched_only_by_runtime_and_capabilities() {
    let names = ["wasmtime::", "wasmtime_wasi::", "wasmtime_wasi_http::"];
    assert_none(&rules::only_under(&host(), &names, &["runtime", "capability"]));
}

#[test]
fn clocks_are_read_only_in_the_clock_module() {
    let reads = ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "clock_gettime"];
    assert_none(&rules::only_under(&host(), &reads, &["clock"]));
}

#[test]
fn unsafe_code_of_ours_stands_in_one_place() {
    // Beside it only what wit-bindgen generates for guests.
    let may = ["host/src/runtime/compiler/load.rs", "guest/src/bindings.rs"];
    let all = rust_files(&silverback_tests::place::root());
    let (some, elsewhere): (Vec<SourceFile>, Vec<SourceFile>) =
        all.into_iter().partition(|file| may.iter().any(|path| file.path.ends_with(path)));
    assert_eq!(some.len(), may.len());
    assert_none(&rules::only_under(&elsewhere, &["unsafe {", "unsafe fn", "unsafe impl", "unsafe_code,"], &[]));
}

#[test]
fn only_the_command_line_prints() {
    assert_none(&rules::only_under(&host(), &["println!", "eprintln!", "print!", "eprint!", "dbg!"], &["cli"]));
}

#[test]
fn no_rust_file_is_longer_than_500_lines() {
    assert_none(&rules::not_longer_than(&rust_files(&silverback_tests::place::root()), 500));
}

#[test]
fn the_election_depends_on_nothing() {
    let manifest = silverback_tests::place::root().join("host/election/Cargo.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert_none(&rules::no_dependencies("host/election/Cargo.toml", &text));
}

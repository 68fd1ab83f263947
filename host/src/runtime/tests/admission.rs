//! What is refused, and in which words.

use wit_parser::Resolve;

use super::super::{Admission, AdmissionError, Runtime, RuntimeSettings};
use super::{OK, guest, module, wrap};
use crate::capability::residue::gives_back;
use crate::clock;
use crate::registry::Digest;

fn runtime() -> std::sync::Arc<Runtime> {
    let settings = RuntimeSettings { max_runs: 1, max_component_bytes: 64 * 1024, ..RuntimeSettings::default() };
    Runtime::new(settings, tokio::runtime::Handle::current(), clock::system()).unwrap()
}

fn admit(bytes: &[u8]) -> Result<Admission, AdmissionError> {
    runtime().admit(bytes)
}

fn refusal(bytes: &[u8]) -> String {
    admit(bytes).unwrap_err().to_string()
}

/// A component for the world `leader` of a WIT text of the test's own.
pub(super) fn foreign(wit: &str, imports: &str, export: &str, body: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("leader")).unwrap();
    wrap(&resolve, world, &module(imports, export, body))
}

/// wit/leader.wit with changes, and without its imports.
pub(super) fn changed(changes: &[(&str, &str)]) -> String {
    let mut wit = include_str!("../../../../wit/leader.wit").to_owned();
    wit = wit.lines().filter(|line| !line.contains("import wasi:")).collect::<Vec<_>>().join("\n");
    for (from, to) in changes {
        assert!(wit.contains(from), "wit/leader.wit has no `{from}`");
        wit = wit.replace(from, to);
    }
    wit
}

/// The export that every component has.
pub(super) const RUN: &str = "silverback:leader/job@0.1.0#run";

#[tokio::test]
async fn a_component_of_the_world_is_taken_and_described() {
    let bytes = guest(OK);
    let admission = admit(&bytes).unwrap();
    assert_eq!(admission.digest, Digest::of(&bytes));
    assert_eq!(admission.exports, ["silverback:leader/job@0.1.0"]);
}

#[tokio::test]
async fn bytes_that_are_no_component_are_told_apart() {
    insta::assert_snapshot!(refusal(b""), @"this is no WebAssembly: it is empty, a component begins with `\\0asm`");
    insta::assert_snapshot!(refusal(b"#!/bin/sh\n"), @r"this is no WebAssembly: it begins with `#!/bin/s`, a component begins with `\0asm`");
    insta::assert_snapshot!(refusal(b"\0asm\x0d"), @r"this is no WebAssembly: it ends after 5 bytes, a component begins with `\0asm`");
    insta::assert_snapshot!(refusal(b"\0asm\x01\0\0\0"), @"this is a core module, not a component: build it for `wasm32-wasip2`, or make a component of it with `wasm-tools component new`");
    insta::assert_snapshot!(refusal(b"\0asm\x0c\0\x01\0"), @"this is WebAssembly of version 0x0001000c, which is neither a component nor a core module");
    insta::assert_snapshot!(refusal(b"\0asm\x0d\0\x01\0garbage"), @"the component is not valid here: failed to parse WebAssembly module: unexpected end-of-file (at offset 0xa)");
    insta::assert_snapshot!(refusal(&[0; 64 * 1024 + 1]), @"the component has 65537 bytes, more than the limit of 65536");
}

#[tokio::test]
async fn machine_code_is_refused_even_our_own() {
    let engine = wasmtime::Engine::default();
    let compiled = engine.precompile_component(&guest(OK)).unwrap();
    let whole = &compiled[..compiled.len().min(64 * 1024)];
    assert_eq!(admit(whole), Err(AdmissionError::Precompiled));
}

#[tokio::test]
async fn an_empty_component_lacks_the_leader_function() {
    insta::assert_snapshot!(refusal(b"\0asm\x0d\0\x01\0"), @"the component doesn't fit the world `silverback:leader/leader`: it lacks the export `silverback:leader/job@0.1.0`");
}

#[tokio::test]
async fn a_component_of_another_version_is_told_which_it_has() {
    let wit = changed(&[("package silverback:leader@0.1.0", "package silverback:leader@0.2.0")]);
    insta::assert_snapshot!(refusal(&foreign(&wit, "", "silverback:leader/job@0.2.0#run", OK)), @"the component doesn't fit the world `silverback:leader/leader`: it lacks the export `silverback:leader/job@0.1.0` (it has `silverback:leader/job@0.2.0`)");
}

#[tokio::test]
async fn a_later_patch_version_is_the_same_world() {
    let wit = changed(&[("package silverback:leader@0.1.0", "package silverback:leader@0.1.7")]);
    admit(&foreign(&wit, "", "silverback:leader/job@0.1.7#run", OK)).unwrap();
}

#[tokio::test]
async fn a_leader_function_of_another_type_is_told_both_types() {
    let wit = changed(&[("result<list<u8>, run-error>", "result<s32, run-error>")]);
    insta::assert_snapshot!(refusal(&foreign(&wit, "", RUN, OK)), @"the component doesn't fit the world `silverback:leader/leader`: its export `silverback:leader/job@0.1.0#run` is `func(grant: grant) -> result<s32, run-error>`, and must be `func(grant: grant) -> result<list<u8>, run-error>`");
    let wit = changed(&[("attempt: u32,", "attempt: s32,")]);
    insta::assert_snapshot!(refusal(&foreign(&wit, "", RUN, OK)), @"the component doesn't fit the world `silverback:leader/leader`: its export `silverback:leader/job@0.1.0#run` is `func(grant: grant) -> result<list<u8>, run-error> where grant is record { tenant: string, job: string, run: string, attempt: s32, tick: option<u64>, token: u64, identifier: string }`, and must be `func(grant: grant) -> result<list<u8>, run-error> where grant is record { tenant: string, job: string, run: string, attempt: u32, tick: option<u64>, token: u64, identifier: string }`");
}

#[tokio::test]
async fn an_import_of_another_type_is_told_both_types() {
    let wit = changed(&[("is-leader: func() -> bool", "is-leader: func() -> u8")]);
    let import = r#"(import "silverback:leader/leadership@0.1.0" "is-leader" (func (result i32)))"#;
    insta::assert_snapshot!(refusal(&foreign(&wit, import, RUN, OK)), @"the component doesn't fit the world `silverback:leader/leader`: it imports `silverback:leader/leadership@0.1.0#is-leader` as `func() -> u8`, and this host offers `func() -> bool`");
}

#[tokio::test]
async fn what_no_host_offers_is_named() {
    let wit = changed(&[("is-leader: func() -> bool", "is-king: func(of: option<string>) -> bool")]);
    let import = r#"(import "silverback:leader/leadership@0.1.0" "is-king" (func (param i32 i32 i32) (result i32)))"#;
    insta::assert_snapshot!(refusal(&foreign(&wit, import, RUN, OK)), @"the component doesn't fit the world `silverback:leader/leader`: it imports `silverback:leader/leadership@0.1.0#is-king` of type `func(of: option<string>) -> bool`, which this host doesn't offer");

    let wit = changed(&[("import leadership;", "import leadership; import moon; import beam: func() -> u8;")])
        + "interface moon { phase: func() -> u8; }";
    let imports = r#"(import "silverback:leader/moon@0.1.0" "phase" (func (result i32)))
        (import "$root" "beam" (func (result i32)))"#;
    insta::assert_snapshot!(refusal(&foreign(&wit, imports, RUN, OK)), @"the component doesn't fit the world `silverback:leader/leader`: it imports `silverback:leader/moon@0.1.0`, which this host doesn't offer; it imports `beam` of type `func() -> u8`, which this host doesn't offer");
}

#[tokio::test]
async fn what_wasi_lacks_or_has_otherwise_is_told_in_plain_words() {
    let with = |function: &str, core_type: &str| {
        let name = &function[..function.find(':').unwrap()];
        let wit = changed(&[("import leadership;", "import wasi:clocks/monotonic-clock@0.2.3;")])
            + &format!("\npackage wasi:clocks@0.2.3 {{ interface monotonic-clock {{ {function}; }} }}");
        let import = format!(r#"(import "wasi:clocks/monotonic-clock@0.2.3" "{name}" (func {core_type}))"#);
        foreign(&wit, &import, RUN, OK)
    };
    admit(&with("now: func() -> u64", "(result i64)")).unwrap();
    insta::assert_snapshot!(refusal(&with("now: func() -> u8", "(result i32)")), @"the component doesn't fit the world `silverback:leader/leader`: it imports `wasi:clocks/monotonic-clock@0.2.3#now` with another type than this host offers: expected `u64` found `u8`");
    insta::assert_snapshot!(refusal(&with("rewind: func()", "")), @"the component doesn't fit the world `silverback:leader/leader`: it imports `wasi:clocks/monotonic-clock@0.2.3#rewind`, which this host doesn't offer");
    let http = changed(&[("import leadership;", "import wasi:http/incoming-handler@0.2.3;")])
        + "\npackage wasi:http@0.2.3 { interface incoming-handler { handle: func(); } }";
    let import = r#"(import "wasi:http/incoming-handler@0.2.3" "handle" (func))"#;
    insta::assert_snapshot!(refusal(&foreign(&http, import, RUN, OK)), @"the component doesn't fit the world `silverback:leader/leader`: it imports `wasi:http/incoming-handler@0.2.3#handle`, which this host doesn't offer");
}

/// A further core module at the end of a component that is well: section 1, its length, its bytes.
fn with(text: &str) -> Vec<u8> {
    let module = wat::parse_str(text).unwrap();
    let length = u8::try_from(module.len()).unwrap();
    assert!(length < 0x80, "the length takes one byte");
    [guest(OK), vec![1, length], module].concat()
}

/// It is refused before anything is made of it.
#[test]
fn ghsa_p8xm_42r7_89xg_a_table_of_64_bits_panics_the_host() {
    gives_back(async || {
        let grows = "(module (table i64 1 funcref) (func (drop (table.grow (ref.null func) (i64.const -1)))))";
        // The second is longer than a 32-bit table's could be written.
        for (text, why) in [
            (grows, "memory64 must be enabled"),
            ("(module (table i64 0xffffffffffff funcref))", "integer representation too long"),
            ("(module (memory i64 1))", "memory64 must be enabled"),
        ] {
            assert!(refusal(&with(text)).contains(why), "{}", refusal(&with(text)));
        }
    });
}

#[tokio::test]
async fn what_is_switched_off_is_refused() {
    insta::assert_snapshot!(refusal(&with("(module (memory i64 1))")), @"the component is not valid here: failed to parse WebAssembly module: memory64 must be enabled for 64-bit memories (at offset 0x537)");
    insta::assert_snapshot!(refusal(&with("(module (memory 1 1 shared))")), @"the component is not valid here: failed to parse WebAssembly module: threads must be enabled for shared memories (at offset 0x537)");
    insta::assert_snapshot!(refusal(&with("(module (func $f (return_call $f)))")), @"the component is not valid here: failed to compile: wasm[1]::function[0]::f: WebAssembly translation error: Invalid input WebAssembly code at offset 1347: tail calls support is not enabled");
    insta::assert_snapshot!(refusal(&with("(module (table 30000 funcref))")), @"the component is not valid here: module table does not fit in pooling allocator requirements: table index 0 has a minimum element size of 30000 which exceeds the limit of 20000");
}

#[tokio::test]
async fn stored_bytes_must_be_what_they_are_called() {
    let (bytes, other) = (guest(OK), Digest::of(b"other"));
    let runtime = runtime();
    assert!(matches!(runtime.prepare(&other.into(), &bytes), Err(AdmissionError::WrongDigest { .. })));
    assert!(runtime.prepared(&Digest::of(&bytes).into()).is_none());
    assert!(runtime.prepare(&Digest::of(&bytes).into(), &bytes).is_ok());
}

/// It is a valid component, which has wit-parser 0.254 panic: found by chance (`tests/src/fuzz`).
#[tokio::test]
async fn an_export_that_the_decoder_panics_at_is_refused_in_words() {
    let bytes = wat::parse_str(
        r#"(component (type $f (func)) (instance $i (export "t" (type $f))) (export "a:b/c" (instance $i)))"#,
    );
    let bytes = bytes.unwrap();
    let decoded = std::panic::catch_unwind(|| wit_component::decode(&bytes).is_ok());
    assert!(decoded.is_err(), "the decoder is mended: {decoded:?}");
    insta::assert_snapshot!(refusal(&bytes), @"the component is not valid here: failed to parse WebAssembly module: unsupported type export");
}

//! Components that are made of others: they run like any other on every engine, and all their parts together stay within the
//! limits of one run.

use std::fs;

use wasm_compose::composer::ComponentComposer;
use wasm_compose::config::Config;

use super::super::{AdmissionError, End, RuntimeSettings};
use super::admission::{RUN, changed, foreign};
use super::ends::{Bench, HANGS};
use super::limits::{both_ends, ends};
use super::{OK, module, world, wrap};
use crate::registry::{Limit, Limits};

/// Memory and realloc of a core module.
const LIBC: &str = r#"
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $free)
        (global.set $free (i32.add (global.get $free) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8)))))"#;

/// Composes a component of two, the second of which imports what the first exports, as `wasm-tools compose` does.
fn composed(plug: &[u8], socket: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [plug, socket] = [("plug.wasm", plug), ("socket.wasm", socket)].map(|(name, bytes)| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    });
    let config = Config { dir: folder.path().to_owned(), definitions: vec![plug], ..Config::default() };
    ComponentComposer::new(&socket, &config).compose().expect("the plug fits")
}

/// A guest that has "oh no" shouted by whatever is plugged into it, and returns the first byte of that, after `body`.
fn socket(body: &str) -> Vec<u8> {
    let wit = changed(&[("import leadership;", "import test:words/shout@0.1.0;")])
        + "\npackage test:words@0.1.0 { interface shout { shout: func(word: string) -> string; } }";
    let import = r#"(import "test:words/shout@0.1.0" "shout" (func $shout (param i32 i32 i32)))"#;
    let body = format!(
        "{body} (call $shout (i32.const 2048) (i32.const 5) (i32.const 3072))
        (i32.store8 (i32.const 1024) (i32.load8_u (i32.load (i32.const 3072)))) {OK}"
    );
    foreign(&wit, import, RUN, &body)
}

/// A component that shouts: it does `body`, and returns the word with its first letter in upper case.
fn shouting(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m {LIBC}
                (table $t 1 funcref)
                (func (export "shout") (param $at i32) (param $size i32) (result i32)
                    {body}
                    (i32.store8 (local.get $at) (i32.sub (i32.load8_u (local.get $at)) (i32.const 32)))
                    (i32.store (i32.const 16) (local.get $at)) (i32.store (i32.const 20) (local.get $size))
                    (i32.const 16)))
            (core instance $i (instantiate $m))
            (func $shout (param "word" string) (result string)
                (canon lift (core func $i "shout") (memory $i "memory") (realloc (func $i "realloc"))))
            (instance $words (export "shout" (func $shout)))
            (export "test:words/shout@0.1.0" (instance $words)))"#
    );
    wat::parse_str(text).expect("the test's text parses")
}

/// A component that has another one shout, and hands on what that said. Its own texts are in `encoding`.
fn passing_on(encoding: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "test:words/shout@0.1.0"
                (instance $below (export "shout" (func (param "word" string) (result string)))))
            (core module $libc {LIBC})
            (core instance $libc (instantiate $libc))
            (core func $below (canon lower (func $below "shout")
                string-encoding={encoding} (memory $libc "memory") (realloc (func $libc "realloc"))))
            (core module $m
                (import "libc" "memory" (memory 1))
                (import "below" "shout" (func $below (param i32 i32 i32)))
                (func (export "shout") (param i32 i32) (result i32)
                    (call $below (local.get 0) (local.get 1) (i32.const 16))
                    (i32.const 16)))
            (core instance $i (instantiate $m
                (with "libc" (instance $libc))
                (with "below" (instance (export "shout" (func $below))))))
            (func $shout (param "word" string) (result string)
                (canon lift (core func $i "shout")
                    string-encoding={encoding} (memory $libc "memory") (realloc (func $libc "realloc"))))
            (instance $words (export "shout" (func $shout)))
            (export "test:words/shout@0.1.0" (instance $words)))"#
    );
    wat::parse_str(text).expect("the test's text parses")
}

/// A composition of compositions: so many components between the one that shouts and the guest, which has it do so.
fn nested(between: usize) -> Vec<u8> {
    let mut plug = shouting("");
    for _ in 0..between {
        plug = composed(&plug, &passing_on("utf8"));
    }
    composed(&plug, &socket(""))
}

/// A guest whose one module has `memories` of a page each behind its first one.
fn of_memories(memories: &str, body: &str) -> Vec<u8> {
    let (resolve, leader) = world::ours();
    let module = module("", RUN, body);
    wrap(resolve, *leader, &module.replace("(global $free", &format!("{memories} (global $free")))
}

fn refusal(component: &[u8]) -> AdmissionError {
    Bench::new(1, HANGS).runtime.admit(component).unwrap_err()
}

/// As a scheduled run, as a term, and as a run that counts what it executes: each on an engine of its own.
async fn on_each_engine(component: &[u8]) -> [End; 3] {
    let mut bench = Bench::new(4, HANGS);
    bench.limits = Limits::SCHEDULED;
    let run = bench.run(component).await;
    bench.limits = Limits::SCHEDULED.with(Limit::Fuel, 1 << 40);
    let metered = bench.run(component).await;
    (bench.limits, bench.tick_ms) = (Limits::LEADER, None);
    [run, metered, bench.run(component).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_a_component_composed_of_two_runs_on_each_engine() {
    let component = composed(&shouting(""), &socket(""));
    assert_eq!(on_each_engine(&component).await, [(); 3].map(|()| End::Returned(b"O".to_vec())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_a_plug_for_an_interface_of_wasi_takes_the_hosts_place() {
    let plug = wat::parse_str(
        r#"(component
            (core module $m (memory (export "m") 1) (func (export "seed") (result i32)
                (i64.store (i32.const 8) (i64.const 7)) (i64.store (i32.const 16) (i64.const 9)) (i32.const 8)))
            (core instance $i (instantiate $m))
            (func $seed (result (tuple u64 u64)) (canon lift (core func $i "seed") (memory $i "m")))
            (instance $random (export "insecure-seed" (func $seed)))
            (export "wasi:random/insecure-seed@0.2.3" (instance $random)))"#,
    );
    let wit = changed(&[("import leadership;", "import wasi:random/insecure-seed@0.2.3;")])
        + "\npackage wasi:random@0.2.3 { interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; } }";
    let import = r#"(import "wasi:random/insecure-seed@0.2.3" "insecure-seed" (func $seed (param i32)))"#;
    let body = format!(
        "(call $seed (i32.const 3072))
        (i32.store8 (i32.const 1024) (i32.add (i32.load8_u (i32.const 3072)) (i32.load8_u (i32.const 3080)))) {OK}"
    );
    let component = composed(&plug.unwrap(), &foreign(&wit, import, RUN, &body));
    assert_eq!(on_each_engine(&component).await, [(); 3].map(|()| End::Returned(vec![16])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_parts_may_have_texts_of_different_encodings() {
    for encodings in [["utf8", "utf16"], ["utf16", "latin1+utf16"], ["latin1+utf16", "utf16"]] {
        let plug = encodings.iter().fold(shouting(""), |plug, encoding| composed(&plug, &passing_on(encoding)));
        let component = composed(&plug, &socket(""));
        assert_eq!(on_each_engine(&component).await, [(); 3].map(|()| End::Returned(b"O".to_vec())), "{encodings:?}");
    }
}

/// Sixteen components, the most that have a memory each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_compositions_of_compositions_run_until_one_has_too_many_parts() {
    let deep = nested(14);
    assert_eq!(on_each_engine(&deep).await, [(); 3].map(|()| End::Returned(b"O".to_vec())));
    let refused = refusal(&nested(15));
    assert_eq!(refused, AdmissionError::TooManyParts { limit: Limit::Memories, has: 17, most: 16 });
    let words = "the component has 17 memories in all of its parts, and a run may have 16 at the most";
    assert_eq!(refused.to_string(), words);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_a_job_may_allow_fewer_parts() {
    let component = composed(&shouting(""), &socket(""));
    assert_eq!(ends(&component, Limit::Memories, 1).await, "memories: more than the limit of 1");
    assert_eq!(ends(&component, Limit::Instances, 2).await, "instances: more than the limit of 2");
    assert_eq!(ends(&component, Limit::Tables, 1).await, "tables: more than the limit of 1");
    let [run, term] = both_ends(&component, Limit::Memories, 2).await;
    assert!(run.starts_with("Returned") && term.starts_with("Returned"), "{run}, {term}");
}

/// Each of them alone would be within the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_the_memories_and_tables_of_all_parts_count_together() {
    let nine = "(drop (memory.grow (i32.const 9)))";
    let both = composed(&shouting(nine), &socket(nine));
    // Twenty pages, and a table of one element in each.
    assert_eq!(ends(&both, Limit::MemoryBytes, 1 << 20).await, "memory 1310736 bytes is over the limit of 1MiB");
    let end = ends(&both, Limit::MemoryBytes, 21 << 16).await;
    assert!(end.starts_with("Returned"), "{end}");

    let grows = "(drop (table.grow $t (ref.null func) (i32.const 90)))";
    let tables = composed(&shouting(grows), &composed_with_table(grows));
    let told = ends(&tables, Limit::TableElements, 150).await;
    assert!(told.starts_with("table_elements ") && told.ends_with(" is over the limit of 150"), "{told}");
}

/// The socket, with a table of its own.
fn composed_with_table(grows: &str) -> Vec<u8> {
    let wit = changed(&[("import leadership;", "import test:words/shout@0.1.0;")])
        + "\npackage test:words@0.1.0 { interface shout { shout: func(word: string) -> string; } }";
    let import = r#"(import "test:words/shout@0.1.0" "shout" (func $shout (param i32 i32 i32))) (table $t 1 funcref)"#;
    let body = format!("{grows} (call $shout (i32.const 2048) (i32.const 5) (i32.const 3072)) {OK}");
    foreign(&wit, import, RUN, &body)
}

/// Whichever of its memories a module grows, and however many it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_many_memories_of_one_module_count_together() {
    let memories: String = (1..16).map(|index| format!("(memory $m{index} 0)")).collect();
    let grow: String = (1..16).map(|index| format!("(drop (memory.grow $m{index} (i32.const 1)))")).collect();
    let grows = of_memories(&memories, &format!("(loop $again {grow} (br $again)) (unreachable)"));
    assert_eq!(ends(&grows, Limit::MemoryBytes, 1 << 20).await, "memory 1088KiB is over the limit of 1MiB");
    let below = of_memories(&memories, &format!("{grow} {OK}"));
    let end = ends(&below, Limit::MemoryBytes, 1 << 20).await;
    assert!(end.starts_with("Returned"), "sixteen pages: {end}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_copies_from_memory_to_memory_end_with_the_time() {
    let copies = "(loop $again
        (memory.copy $from $to (i32.const 0) (i32.const 0) (i32.const 262144))
        (memory.copy $to $from (i32.const 0) (i32.const 0) (i32.const 262144)) (br $again)) (unreachable)";
    let component = of_memories("(memory $from 4) (memory $to 4)", copies);
    for told in both_ends(&component, Limit::CpuMs, 50).await {
        assert!(told.starts_with("cpu ") && told.ends_with(" is over the limit of 50ms"), "{told}");
    }
    let told = ends(&component, Limit::Fuel, 1_000_000).await;
    assert_eq!(told, "fuel: more than the limit of 1000000");
    let beyond = of_memories(
        "(memory $to 1)",
        "(memory.copy $to 0 (i32.const 0) (i32.const 65536) (i32.const 1)) (unreachable)",
    );
    assert_eq!(ends(&beyond, Limit::MemoryBytes, 1 << 20).await, "it trapped: out of bounds memory access");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_each_memory_begins_with_its_own_data_in_every_run() {
    let memories: String = (1..16)
        .map(|index| format!(r#"(memory $m{index} 1) (data (memory $m{index}) (i32.const 0) "\{index:02x}")"#))
        .collect();
    let sum: String = (1..16)
        .map(|index| {
            let byte = format!("(i32.load8_u $m{index} (i32.const 0))");
            let sum = format!("(i32.add (i32.load8_u (i32.const 1024)) {byte})");
            format!("(i32.store8 (i32.const 1024) {sum}) (i32.store8 $m{index} (i32.const 0) (i32.const 99))")
        })
        .collect();
    let component = of_memories(&memories, &format!("{sum} {OK}"));
    for _ in 0..3 {
        assert_eq!(on_each_engine(&component).await, [(); 3].map(|()| End::Returned(vec![120])));
    }
    let outside = of_memories(r#"(memory $m 1) (data (memory $m) (i32.const 65536) "x")"#, OK);
    assert_eq!(ends(&outside, Limit::MemoryBytes, 1 << 20).await, "it trapped: out of bounds memory access");
}

#[tokio::test]
async fn w4_what_is_made_of_too_much_is_refused_in_words() {
    let memories = |count: usize| of_memories(&"(memory 0)".repeat(count), OK);
    assert_eq!(refusal(&memories(16)), AdmissionError::TooManyParts { limit: Limit::Memories, has: 17, most: 16 });
    let parts = |part: &str, count: usize| {
        let text = format!("(component (core module $m {part}) {})", "(core instance (instantiate $m))".repeat(count));
        refusal(&[super::guest(OK), nested_component(&text)].concat())
    };
    assert_eq!(parts("(memory 0)", 40), AdmissionError::TooManyParts { limit: Limit::Memories, has: 41, most: 16 });
    assert_eq!(
        parts("(table 0 funcref)", 40),
        AdmissionError::TooManyParts { limit: Limit::Tables, has: 40, most: 32 }
    );
    assert_eq!(parts("", 200), AdmissionError::TooManyParts { limit: Limit::Instances, has: 201, most: 128 });
    // Far more than the parser takes.
    let thousands = parts(&"(memory 0)".repeat(3_000), 1).to_string();
    assert!(thousands.contains("memories count exceeds limit of 100"), "{thousands}");
    let large = parts("(memory 2049)", 1).to_string();
    assert!(large.contains("memory has a minimum byte size of 134283264 which exceeds the limit"), "{large}");
}

/// Eight levels, each of which instantiates the one below twice: a small component of very many instances.
#[tokio::test]
async fn w4_instances_that_double_with_each_level_are_counted() {
    let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..=8 {
        let below = level - 1;
        text = format!(
            "(component $c{level} {text} (instance (instantiate $c{below})) (instance (instantiate $c{below})))"
        );
    }
    let refused = refusal(&[super::guest(OK), nested_component(&text)].concat());
    assert_eq!(refused, AdmissionError::TooManyParts { limit: Limit::Instances, has: 257, most: 128 });
}

/// A component as part of another, and an instance of it: sections 4 and 5.
fn nested_component(text: &str) -> Vec<u8> {
    let inner = wat::parse_str(text).expect("the test's text parses");
    let mut section = vec![4];
    let mut length = inner.len();
    while length >= 0x80 {
        section.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    section.extend(inner);
    // One instance, of the component with index 0, without arguments. (What `wit-component` makes has a component already.)
    section.extend([5, 4, 1, 0, 1, 0]);
    section
}

/// A host has so many memories beyond the first one of each run, and one tenant half of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_no_tenant_takes_all_memories_of_a_host() {
    let memories: String = (1..16).map(|index| format!("(memory $m{index} 0)")).collect();
    let body = format!("(drop (call $sleep (i64.const 3600000))) {OK}");
    let import = r#"(import "silverback:leader/leadership@0.1.0" "sleep" (func $sleep (param i64) (result i32)))"#;
    let (resolve, leader) = world::ours();
    let module = module(import, RUN, &body).replace("(global $free", &format!("{memories} (global $free"));
    let waits = wrap(resolve, *leader, &module);
    let settings = RuntimeSettings { max_runs: 4, max_terms: 4, ..RuntimeSettings::default() };
    let mut bench = Bench::with(settings, HANGS);
    let first = bench.start(&waits);
    let End::Failed { retryable: true, message } = bench.run(&waits).await else { panic!("the second has no room") };
    let told = "linear memories beyond the first one of each run of tenant `acme`'s guests on this host 30 is over the limit of 16";
    assert!(message.starts_with(told), "{message}");
    bench.tenant = "zoo".to_owned();
    let other = bench.start(&waits);
    bench.interrupt.kill();
    assert_eq!((first.ended().await.end, other.ended().await.end), (End::Killed, End::Killed));
    bench.interrupt = Default::default();
    bench.tenant = "acme".to_owned();
    let again = bench.start(&waits);
    bench.interrupt.kill();
    assert_eq!(again.ended().await.end, End::Killed, "what was taken is given back");
}

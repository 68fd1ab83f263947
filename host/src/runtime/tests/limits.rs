//! Every limit, passed by a guest that wants more: its run ends, and says which limit it was and how much it is.

use futures::future::select_all;

use super::super::{End, RuntimeSettings};
use super::admission::{RUN, changed, foreign};
use super::ends::Bench;
use super::{OK, guest, guest_of_pages, importing_guest, waiting_guest};
use crate::capability::residue::gives_back;
use crate::registry::{Limit, Limits};

const OPEN: &str = r#"(import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))"#;
const LOG: &str = r#"(import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#;
const RANDOM: &str = r#"(import "wasi:random/random@0.2.3" "get-random-u64" (func $random (result i64)))"#;

/// Does this over and over.
fn forever(what: &str) -> String {
    format!("(loop $again {what} (br $again)) (unreachable)")
}

fn random() -> Vec<u8> {
    let wit = changed(&[("import leadership;", "import wasi:random/random@0.2.3;")])
        + "\npackage wasi:random@0.2.3 { interface random { get-random-u64: func() -> u64; } }";
    foreign(&wit, RANDOM, RUN, &forever("(drop (call $random))"))
}

/// How such a guest ends that may have so much: as a scheduled run, and as a leader's term, which is on an engine of its own.
pub(super) async fn both_ends(component: &[u8], limit: Limit, most: u64) -> [String; 2] {
    let mut bench = Bench::new(4, super::ends::HANGS);
    let mut end = async |limits: Limits, tick_ms| {
        (bench.limits, bench.tick_ms) = (limits.with(limit, most), tick_ms);
        match bench.run(component).await {
            End::Trapped { message } => message,
            other => format!("{other:?}"),
        }
    };
    [end(Limits::SCHEDULED, Some(42)).await, end(Limits::LEADER, None).await]
}

/// The same, where both end alike.
pub(super) async fn ends(component: &[u8], limit: Limit, most: u64) -> String {
    let [run, term] = both_ends(component, limit, most).await;
    assert_eq!(run, term, "as a run and as a term");
    run
}

#[test]
fn what_goes_over_a_limit_ends_and_names_it_with_its_value() {
    gives_back(async || {
        let open = importing_guest(OPEN, &forever("(call $open (i32.const 0) (i32.const 0) (i32.const 3072))"));
        assert_eq!(ends(&open, Limit::Handles, 50).await, "handles: more than the limit of 50");
        assert_eq!(ends(&open, Limit::Resources, 50).await, "resources: more than the limit of 50");

        let say = |bytes: u32| {
            format!("(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {bytes}))")
        };
        let flood = importing_guest(LOG, &forever(&say(1000)));
        assert_eq!(ends(&flood, Limit::TransferBytes, 10_240).await, "transfer 11000 bytes is over the limit of 10KiB");
        let shout = importing_guest(LOG, &forever(&say(5000)));
        assert_eq!(ends(&shout, Limit::CallBytes, 4096).await, "call: more than the limit of 4KiB");

        assert_eq!(ends(&random(), Limit::RandomBytes, 1024).await, "random 1032 bytes is over the limit of 1KiB");

        let table =
            importing_guest("(table $t 1 funcref)", &forever("(drop (table.grow $t (ref.null func) (i32.const 10)))"));
        assert_eq!(ends(&table, Limit::TableElements, 45).await, "table_elements 51 is over the limit of 45");
        assert_eq!(ends(&table, Limit::TableElements, 80_000).await, "table_elements 20001 is over the limit of 20000");
        // One of its own, and one of what stands between it and its imports.
        let two = importing_guest(&format!("{LOG} (table $t 1 funcref)"), &format!("{} {OK}", say(1)));
        assert_eq!(ends(&two, Limit::Tables, 1).await, "tables: more than the limit of 1");
        assert_eq!(ends(&flood, Limit::Instances, 1).await, "instances: more than the limit of 1");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_component_begins_with_is_held_to_the_limit_too() {
    let large = guest_of_pages(17, OK);
    assert_eq!(ends(&large, Limit::MemoryBytes, 1 << 20).await, "memory 1088KiB is over the limit of 1MiB");
    let end = ends(&large, Limit::MemoryBytes, 17 << 16).await;
    assert!(end.starts_with("Returned"), "{end}");
}

/// One line of ten is what it may say: 800 bytes that are no text, for each of which there stand three.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_says_beyond_its_limit_is_dropped_and_counted() {
    let mut bench = Bench::new(4, super::ends::HANGS);
    let says = "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 800))".repeat(10);
    let talks = importing_guest(LOG, &format!("{says} {OK}"));
    for (limit, dropped) in [(4 << 10, 9), (1 << 20, 0)] {
        bench.limits = Limits::SCHEDULED.with(Limit::LogBytes, limit);
        let ended = bench.start(&talks).ended().await;
        assert!(matches!(ended.end, End::Returned(_)), "{:?}", ended.end);
        assert_eq!(ended.usage.log_lines_dropped, dropped, "of {limit} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guests_of_a_tenant_hold_half_of_the_hosts_memory_at_most() {
    // They begin with a page each.
    let settings = RuntimeSettings { max_runs: 4, guest_memory: 5 << 16, ..RuntimeSettings::default() };
    let bench = Bench::with(settings, super::ends::HANGS);
    let waits = bench.start(&waiting_guest("(drop (call $sleep (i64.const 3600000))) (unreachable)"));
    let grows =
        guest(&format!("(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) {OK}"));
    let End::Trapped { message } = bench.run(&grows).await else { panic!("it ends by what it holds") };
    let (told, most) = message.split_once(" is over the limit of ").unwrap();
    assert!(told.starts_with("memory of tenant `acme`'s guests on this host "), "{message}");
    assert_eq!(most, "160KiB (silverback up --guest-memory)");
    bench.interrupt.kill();
    assert_eq!(waits.ended().await.end, End::Killed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_last_take_no_runs_place_and_a_tenants_half_of_theirs() {
    let settings = RuntimeSettings { max_runs: 1, max_terms: 4, ..RuntimeSettings::default() };
    let mut bench = Bench::with(settings, super::ends::HANGS);
    bench.tick_ms = None;
    let waits = waiting_guest("(drop (call $sleep (i64.const 3600000))) (unreachable)");
    let leaders = [(); 3].map(|()| Box::pin(bench.start(&waits).ended()));
    let (refused, _, leaders) = select_all(leaders).await;
    let message =
        "leader terms of tenant `acme`'s guests on this host 3 is over the limit of 2 (silverback up --leader-terms)";
    assert_eq!(refused.end, End::Failed { retryable: true, message: message.to_owned() });
    bench.tick_ms = Some(42);
    assert!(matches!(bench.run(&guest(OK)).await, End::Returned(_)), "a run has its own");
    bench.interrupt.kill();
    for leader in leaders {
        assert_eq!(leader.await.end, End::Killed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn computing_is_bounded_beside_the_time_that_passes() {
    for spin in both_ends(&guest(&forever("")), Limit::CpuMs, 50).await {
        let computed = spin.strip_prefix("cpu ").and_then(|rest| rest.strip_suffix("ms is over the limit of 50ms"));
        let computed: u64 = computed.unwrap_or_else(|| panic!("{spin}")).parse().unwrap();
        assert!(computed > 50, "{spin}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_used_is_told() {
    let bench = Bench::new(4, super::ends::HANGS);
    let says = "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 10))".repeat(3);
    let run = bench.start(&importing_guest(LOG, &format!("{says} (drop (memory.grow (i32.const 3))) {OK}")));
    let ended = run.ended().await;
    assert!(matches!(ended.end, End::Returned(_)), "{:?}", ended.end);
    let usage = ended.usage;
    assert_eq!((usage.host_calls, usage.peak_memory_bytes >> 16, usage.fuel), (3, 4, None));
    assert!(usage.cpu_us > 0 && usage.wall_us > 0, "{usage:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuel_is_the_same_each_time_and_ends_a_run_that_wants_more() {
    let spin = guest(&forever(""));
    assert_eq!(ends(&spin, Limit::Fuel, 100_000).await, "fuel: more than the limit of 100000");
    let mut used = Vec::new();
    for _ in 0..3 {
        let mut bench = Bench::new(4, super::ends::HANGS);
        bench.limits = Limits::SCHEDULED.with(Limit::Fuel, 100_000);
        let ended = bench.start(&guest(OK)).ended().await;
        assert!(matches!(ended.end, End::Returned(_)), "{:?}", ended.end);
        used.push(ended.usage.fuel.unwrap());
    }
    assert!((1..1000).contains(&used[0]) && used == [used[0]; 3], "{used:?}");
}

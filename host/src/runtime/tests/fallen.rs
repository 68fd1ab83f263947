//! What other hosts fell to, one test each, named after the report.

use std::time::Duration;

use wit_component::StringEncoding;

use super::super::{End, Interrupt};
use super::admission::{RUN, changed, foreign};
use super::ends::{Bench, HANGS};
use super::{OK, guest, importing_guest, module, waiting_guest, world, wrap_as};
use crate::capability::residue::gives_back;
use crate::registry::Limit;

const LOG: &str = r#"(import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#;

/// What the host says of a guest that it had to stop.
fn trapped(end: End) -> String {
    match end {
        End::Trapped { message } => message,
        other => panic!("{other:?}"),
    }
}

/// That it lives, and serves the next as ever.
async fn lives(bench: &Bench) {
    assert_eq!(bench.run(&guest(OK)).await, End::Returned(vec![0]));
}

fn random(length: u64) -> Vec<u8> {
    let wit = changed(&[("import leadership;", "import wasi:random/random@0.2.3;")])
        + "\npackage wasi:random@0.2.3 { interface random { get-random-bytes: func(len: u64) -> list<u8>; } }";
    let import = r#"(import "wasi:random/random@0.2.3" "get-random-bytes" (func $random (param i64 i32)))"#;
    foreign(&wit, import, RUN, &format!("(call $random (i64.const {length}) (i32.const 3072)) (unreachable)"))
}

/// What a guest makes the host allocate is bounded: a list of any length, handles without end, random bytes by the gigabyte.
#[test]
fn cve_2026_27204_a_guest_exhausts_the_hosts_memory_through_wasi() {
    gives_back(async || {
        let mut bench = Bench::new(4, HANGS);
        bench.limits.memory_bytes = 64 << 20;
        let list = format!(
            "(drop (memory.grow (i32.const 800))) {} (unreachable)",
            "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 50000000))"
        );
        assert_eq!(trapped(bench.run(&importing_guest(LOG, &list)).await), "call: more than the limit of 2MiB");
        let open = r#"(import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))"#;
        let handles =
            "(loop $again (call $open (i32.const 0) (i32.const 0) (i32.const 3072)) (br $again)) (unreachable)";
        let said = trapped(bench.run(&importing_guest(open, handles)).await);
        assert_eq!(said, "resources: more than the limit of 200");
        for length in [65_537, 1 << 40, u64::MAX] {
            let said = trapped(bench.run(&random(length)).await);
            assert_eq!(said, "one call asked for more random bytes than the limit of 64KiB", "{length}");
        }
        lives(&bench).await;
    });
}

/// Fields of a request: more than any library has room for.
#[test]
fn ghsa_243v_98vx_264h_the_host_panics_at_more_than_32768_headers() {
    gives_back(async || {
        let wit = changed(&[("import leadership;", "import wasi:http/types@0.2.3;")])
            + "\npackage wasi:http@0.2.3 { interface types {
            variant header-error { invalid-syntax, forbidden, immutable }
            resource fields {
                constructor();
                append: func(name: string, value: list<u8>) -> result<_, header-error>;
            } } }";
        let imports = r#"
        (import "wasi:http/types@0.2.3" "[constructor]fields" (func $fields (result i32)))
        (import "wasi:http/types@0.2.3" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
        (data (i32.const 512) "x")"#;
        let body = "(local $fields i32) (local.set $fields (call $fields))
        (loop $again
            (call $append (local.get $fields) (i32.const 512) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 3072))
            (br_if $again (i32.eqz (i32.load8_u (i32.const 3072)))))
        (unreachable)";
        let bench = Bench::new(4, HANGS);
        let said = trapped(bench.run(&foreign(&wit, imports, RUN, body)).await);
        assert_eq!(said, "the headers of one request or response take more than the limit of 32KiB");
        lives(&bench).await;
    });
}

/// Runs that are killed wherever they are: before their instance, in their code, in a call of the host.
#[test]
fn ghsa_xjhv_v822_pf94_the_host_panics_when_a_calls_future_is_dropped() {
    gives_back(async || {
        let bodies = [
            "(loop $again (br $again)) (unreachable)".to_owned(),
            "(loop $again (drop (call $sleep (i64.const 1))) (br $again)) (unreachable)".to_owned(),
            format!("(drop (call $sleep (i64.const 0))) (drop (call $should-stop)) {OK}"),
        ];
        let guests = bodies.map(|body| waiting_guest(&body));
        let mut bench = Bench::new(8, Duration::from_secs(3600));
        for round in 0..10_000_u64 {
            bench.interrupt = Interrupt::default();
            let run = bench.start(&guests[round as usize % guests.len()]);
            // From at once to well inside, without a pattern.
            let pause = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            bench.interrupt.kill();
            let end = tokio::time::timeout(HANGS, run.ended()).await.expect("the run ends").end;
            assert!(matches!(end, End::Killed | End::Returned(_)), "{end:?}");
        }
        bench.interrupt = Interrupt::default();
        lives(&bench).await;
    });
}

/// One slot, one tenant after the other: what the first wrote anywhere in its memory and its table, the second doesn't find.
#[test]
fn ghsa_6wgr_89rj_399p_a_pooled_instance_shows_what_another_tenant_wrote() {
    gives_back(async || {
        let mut bench = Bench::new(1, HANGS);
        bench.limits.memory_bytes = 32 << 20;
        let pages = 400;
        let writes = format!(
            "(drop (memory.grow (i32.const {pages})))
         (memory.fill (i32.const 65536) (i32.const 0xa5) (i32.const {})) {OK}",
            pages * 65536
        );
        // Gives 1 where any word behind the first page is not 0.
        let looks = format!(
            "(local $at i32) (drop (memory.grow (i32.const {pages}))) (local.set $at (i32.const 65536))
         (loop $again
            (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (i32.store8 (i32.const 1024) (i32.const 1))))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $again (i32.lt_u (local.get $at) (i32.const {}))))
         {OK}",
            (pages + 1) * 65536
        );
        let table = "(table $t 1000 funcref) (elem declare func $dive)";
        let each = |body: &str| {
            format!(
                "(local $at i32)
                 (loop $again
                    {body}
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.get $at) (i32.const 1000))))
                 {OK}"
            )
        };
        let fills = each("(table.set $t (local.get $at) (ref.func $dive))");
        let finds = each(
            "(if (i32.eqz (ref.is_null (table.get $t (local.get $at)))) (then (i32.store8 (i32.const 1024) (i32.const 1))))",
        );
        let guests = [guest(&writes), guest(&looks), importing_guest(table, &fills), importing_guest(table, &finds)];
        for _ in 0..3 {
            for (tenant, component) in ["acme", "zoo", "acme", "zoo"].into_iter().zip(&guests) {
                bench.tenant = tenant.to_owned();
                assert_eq!(bench.run(component).await, End::Returned(vec![0]), "{tenant}");
            }
        }
    });
}

/// Strings that a guest says are UTF-16, or now this and now that: out of place, out of bounds, and no text.
#[test]
fn ghsa_394w_hwhg_8vgm_a_hostile_utf_16_guest_writes_out_of_bounds() {
    gives_back(async || {
        let bench = Bench::new(4, HANGS);
        let (resolve, world) = world::ours();
        let tag = 0x8000_0000_u32;
        for encoding in [StringEncoding::UTF16, StringEncoding::CompactUTF16] {
            for (at, length) in [
                (1, 3),
                (65_534, 2),
                (65_535, 1),
                (0, 0x7fff_ffff),
                (0, u32::MAX),
                (u32::MAX, 1),
                (0, tag | 0x4000_0000),
                (65_534, tag | 3),
                (1, tag | 1),
            ] {
                let say = format!(
                    "(i32.store16 (i32.const 2) (i32.const 0xd800))
                 (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const {}) (i32.const {})) {OK}",
                    at as i32, length as i32
                );
                let component = wrap_as(resolve, *world, &module(LOG, RUN, &say), encoding);
                match bench.run(&component).await {
                    // One byte at 65535 is a text of Latin-1.
                    End::Returned(_) => assert!(encoding == StringEncoding::CompactUTF16, "{at} {length}"),
                    end => assert!(trapped(end).starts_with("it trapped: ") || length > 0x10_0000, "{at} {length}"),
                }
            }
        }
        lives(&bench).await;
    });
}

/// One instruction that takes long, over and over: the deadline comes in between.
#[test]
fn ghsa_2hw9_mc66_jc2q_a_bulk_operation_is_not_preempted() {
    gives_back(async || {
        let mut bench = Bench::new(4, HANGS);
        bench.limits.memory_bytes = 64 << 20;
        bench.limits.time_ms = Some(50);
        let fill = "(drop (memory.grow (i32.const 1000)))
        (loop $again
            (memory.fill (i32.const 65536) (i32.const 1) (i32.const 65000000))
            (memory.copy (i32.const 65536) (i32.const 65540) (i32.const 64000000))
            (br $again))
        (unreachable)";
        let component = guest(fill);
        let run = bench.start(&component);
        // Without a look between two instructions it would never end.
        let ended = tokio::time::timeout(HANGS, run.ended()).await.unwrap();
        assert_eq!(ended.end, End::TimedOut { limit_ms: 50 });
    });
}

/// Also known as a deadline left at nought (astrid #635): the one that computes is ended, the one that waits goes on.
#[test]
fn astrid_633_the_ticker_was_never_started() {
    gives_back(async || {
        let mut bench = Bench::new(4, HANGS);
        let ample = bench.limits.time_ms;
        bench.limits.time_ms = Some(300);
        let spinner = bench.start(&guest("(loop $again (br $again)) (unreachable)"));
        bench.limits.time_ms = ample;
        let sleeper = bench.start(&waiting_guest(&format!("(drop (call $sleep (i64.const 100))) {OK}")));
        assert_eq!(sleeper.ended().await.end, End::Returned(vec![0]));
        assert_eq!(spinner.ended().await.end, End::TimedOut { limit_ms: 300 });
    });
}

/// Spinners on all threads of the guests: a limit that only they themselves could look at still holds.
#[test]
fn wasmcloud_5451_a_spinning_guest_wedges_the_timer() {
    gives_back(async || {
        let mut bench = Bench::new(16, HANGS);
        bench.limits.set(Limit::CpuMs, 5_000);
        bench.limits.time_ms = Some(200);
        let spin = guest("(loop $again (br $again)) (unreachable)");
        let spinners: Vec<_> = (0..16).map(|_| bench.start(&spin)).collect();
        for spinner in spinners {
            let end = tokio::time::timeout(HANGS, spinner.ended()).await.expect("it ends").end;
            assert_eq!(end, End::TimedOut { limit_ms: 200 });
        }
    });
}

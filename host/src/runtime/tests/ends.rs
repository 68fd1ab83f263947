//! Every way a run ends, and what it may use until then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::{End, Interrupt, Run, RunRequest, Runtime, RuntimeSettings, StartError, StateMode};
use super::{FAILED, OK, guest, importing_guest, waiting_guest};
use crate::capability::fakes::{TOKEN, alone, collect, term};
use crate::capability::residue::gives_back;
use crate::capability::{Contenders, Gate, Lease};
use crate::registry::{Build, Ceilings, HttpGrants, JobId, Limit, Limits};
use crate::{clock, coordinator};

/// Long beside what a test should take, short beside what a person waits.
pub(super) const HANGS: Duration = Duration::from_secs(20);
/// A limit of time that a guest which ends by itself doesn't reach.
const AMPLE: Duration = Duration::from_secs(60);

/// One runtime, one term, one way to start runs in it.
pub(super) struct Bench {
    pub(super) runtime: Arc<Runtime>,
    pub(super) gate: Arc<Gate>,
    pub(super) interrupt: Interrupt,
    pub(super) limits: Limits,
    pub(super) http: HttpGrants,
    /// None for a term of a leader job.
    pub(super) tick_ms: Option<u64>,
    pub(super) tenant: String,
    pub(super) max_requests: Option<u32>,
    pub(super) contenders: Contenders,
}

impl Bench {
    pub(super) fn new(max_runs: u32, lease: Duration) -> Self {
        Self::with(RuntimeSettings { max_runs, ..RuntimeSettings::default() }, lease)
    }

    pub(super) fn with(settings: RuntimeSettings, lease: Duration) -> Self {
        let runtime = Runtime::new(settings, tokio::runtime::Handle::current(), clock::system()).unwrap();
        let (gate, _) = term(clock::system(), lease);
        let limits = Limits { memory_bytes: 1 << 20, time_ms: Some(AMPLE.as_millis() as u64), ..Limits::SCHEDULED };
        Bench {
            runtime,
            gate,
            interrupt: Interrupt::default(),
            limits,
            http: HttpGrants::default(),
            tick_ms: Some(42),
            tenant: "acme".to_owned(),
            max_requests: None,
            contenders: alone(),
        }
    }

    pub(super) fn start(&self, component: &[u8]) -> Run {
        let digest = self.runtime.admit(component).unwrap().digest;
        let build = Build { digest, metered: self.limits.get(Limit::Fuel).is_some(), lasting: self.tick_ms.is_none() };
        let prepared = self.runtime.prepare(&build, component).unwrap();
        let request = RunRequest {
            job: JobId { tenant: self.tenant.clone(), name: "job".to_owned() },
            run: "acme/job/1".to_owned(),
            attempt: 1,
            tick_ms: self.tick_ms,
            gate: self.gate.clone(),
            state_path: "/state/acme/job".to_owned(),
            state_mode: if self.tick_ms.is_some() { StateMode::Buffered } else { StateMode::Immediate },
            config: Default::default(),
            secrets: None,
            http: self.http.clone(),
            private: vec!["127.0.0.0/8".parse().unwrap()].into(),
            max_requests: self.max_requests,
            contenders: self.contenders.clone(),
            limits: self.limits.of_run(self.tick_ms.is_some(), &Ceilings::NONE),
            log: collect().0,
            interrupt: self.interrupt.clone(),
        };
        self.runtime.start(&prepared, request)
    }

    pub(super) async fn run(&self, component: &[u8]) -> End {
        tokio::time::timeout(HANGS, self.start(component).ended()).await.expect("the run ends").end
    }
}

fn bench() -> Bench {
    Bench::new(4, AMPLE)
}

/// A guest that never comes back by itself, twice: in its own code, and in a call of the host.
fn endless() -> [Vec<u8>; 2] {
    [
        guest("(loop $again (br $again)) (unreachable)"),
        waiting_guest("(drop (call $sleep (i64.const 3600000))) (loop $again (br $again)) (unreachable)"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_and_an_error_come_back_as_they_are() {
    let bench = bench();
    let byte = format!("(i32.store8 (i32.const 1024) (i32.const 65)) {OK}");
    assert_eq!(bench.run(&guest(&byte)).await, End::Returned(b"A".to_vec()));
    let failed = End::Failed { retryable: true, message: "oh no".to_owned() };
    assert_eq!(bench.run(&guest(FAILED)).await, failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_told_its_tick_and_token() {
    let sum = format!("(i64.store8 (i32.const 1024) (i64.add (local.get $tick) (local.get $token))) {OK}");
    assert_eq!(bench().run(&guest(&sum)).await, End::Returned(vec![42 + TOKEN as u8]));
}

/// What counts in its memory never counts past one.
#[test]
fn an_instance_is_used_again_for_another_run() {
    gives_back(async || {
        let bench = bench();
        let counter =
            format!("(i32.store8 (i32.const 1024) (i32.add (i32.load8_u (i32.const 1024)) (i32.const 1))) {OK}");
        for _ in 0..8 {
            assert_eq!(bench.run(&guest(&counter)).await, End::Returned(vec![1]));
        }
    });
}

/// The fault is the host's. Nothing tells the machine's unwinder of the guest's frames in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_panics_under_its_guest_ends_that_run_and_goes_on() {
    fn panics() -> BoxFuture<'static, Result<Vec<(String, bool)>, coordinator::Error>> {
        panic!("as this test asks")
    }
    let import = r#"(import "silverback:leader/leadership@0.1.0" "contenders" (func $ask (param i32)))"#;
    let asks = importing_guest(import, "(call $ask (i32.const 3072)) (unreachable)");
    let mut bench = Bench { contenders: Arc::new(panics), ..bench() };
    for tick_ms in [Some(42), None] {
        bench.tick_ms = tick_ms;
        let message = "the host's thread for this run ended early: it panicked: as this test asks".to_owned();
        let ended = End::Trapped { message };
        assert_eq!(bench.run(&asks).await, ended, "{tick_ms:?}");
        assert!(matches!(bench.run(&guest(OK)).await, End::Returned(_)), "{tick_ms:?}");
    }
}

#[test]
fn a_trap_is_told_in_plain_words() {
    gives_back(async || {
        let bench = bench();
        let trapped = |message: &str| End::Trapped { message: message.to_owned() };
        assert_eq!(
            bench.run(&guest("(unreachable)")).await,
            trapped("it panicked, or reached code marked as unreachable")
        );
        assert_eq!(
            bench.run(&guest("(call $dive) (unreachable)")).await,
            trapped("its calls went deeper than the stack limit of 524288 bytes")
        );
        assert_eq!(
            bench.run(&guest("(i32.load (i32.const -8))")).await,
            trapped("it trapped: out of bounds memory access")
        );
        let long = r#"(i32.store (i32.const 24) (i32.const 65000)) (drop (memory.grow (i32.const 2)))
        (i32.store (i32.const 24) (i32.const 65537)) (i32.const 16)"#;
        assert_eq!(bench.run(&guest(long)).await, trapped("result 65537 bytes is over the limit of 65536 bytes"));
    });
}

#[test]
fn memory_over_the_limit_ends_the_run_and_names_the_limit() {
    gives_back(async || {
        let grow = guest("(loop $again (drop (memory.grow (i32.const 1))) (br $again)) (unreachable)");
        let bench = bench();
        let end = tokio::time::timeout(HANGS, bench.start(&grow).ended()).await.unwrap();
        let message = "memory 1088KiB is over the limit of 1MiB".to_owned();
        assert_eq!(end.end, End::Trapped { message });
        assert_eq!(end.usage.peak_memory_bytes, 1 << 20);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_limit_stops_a_guest_wherever_it_is() {
    let mut bench = bench();
    bench.limits.time_ms = Some(50);
    for component in endless() {
        let started = Instant::now();
        let run = bench.start(&component);
        let ended = tokio::time::timeout(HANGS, run.ended()).await.unwrap();
        assert_eq!(ended.end, End::TimedOut { limit_ms: 50 });
        assert!(started.elapsed() >= Duration::from_millis(45), "{:?}", started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_stops_a_guest_wherever_it_is() {
    for component in endless() {
        let bench = bench();
        let run = bench.start(&component);
        tokio::task::yield_now().await;
        bench.interrupt.kill();
        assert_eq!(tokio::time::timeout(HANGS, run.ended()).await.unwrap().end, End::Killed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_term_stops_a_guest_wherever_it_is() {
    for component in endless() {
        let bench = bench();
        let run = bench.start(&component);
        bench.gate.end();
        assert_eq!(tokio::time::timeout(HANGS, run.ended()).await.unwrap().end, End::LostLeadership);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_lease_stops_a_guest_though_nobody_says_a_word() {
    for component in endless() {
        let mut bench = bench();
        let digest = bench.runtime.admit(&component).unwrap().digest;
        assert!(bench.runtime.prepared(&digest.clone().into()).is_some());
        let clock = clock::system();
        let lease = Lease::new(clock.clone());
        // Ample for the guest to be started in.
        lease.extend(clock.boot() + Duration::from_secs(1));
        let (session, token) = (bench.gate.session().clone(), bench.gate.token());
        bench.gate = Gate::new(session, "/c".to_owned(), token, "a".to_owned(), lease.clone());
        let run = bench.start(&component);
        // A heartbeat moves the end on, so the first one must not count.
        let stop_at = clock.boot() + Duration::from_millis(1200);
        lease.extend(stop_at);
        assert_eq!(tokio::time::timeout(HANGS, run.ended()).await.unwrap().end, End::LostLeadership);
        assert!(clock.boot() >= stop_at, "it was stopped before the lease's end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_gives_up_after_its_term_did_not_fail_by_itself() {
    let bench = bench();
    let run = bench.start(&waiting_guest(&format!("(drop (call $sleep (i64.const 3600000))) {FAILED}")));
    bench.gate.end();
    assert_eq!(run.ended().await.end, End::LostLeadership);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_a_guest_to_stop_ends_its_wait_and_lets_it_return() {
    let told =
        format!("(i32.store8 (i32.const 1024) (i32.add (call $sleep (i64.const 3600000)) (call $should-stop))) {OK}");
    let bench = bench();
    let run = bench.start(&waiting_guest(&told));
    bench.gate.ask_stop();
    // `wake.stop` is 1, and `should-stop` is true.
    assert_eq!(tokio::time::timeout(HANGS, run.ended()).await.unwrap().end, End::Returned(vec![2]));
}

/// More address space than this process takes, in bytes: enough for a few threads that start meanwhile, with their stacks and
/// heaps, and not enough for the memory of a guest.
const LITTLE_MORE: u64 = 512 << 20;

/// On a machine that has no more of it.
#[test]
fn b2_a_term_that_gets_no_memory_fails_so_that_another_may_try() {
    gives_back(async || {
        let mut bench = bench();
        bench.tick_ms = None;
        let component = guest(OK);
        assert_eq!(bench.run(&component).await, End::Returned(vec![0]));
        let unbounded = getrlimit(Resource::As);
        let some = Rlimit { current: Some(address_space_bytes() + LITTLE_MORE), ..unbounded };
        setrlimit(Resource::As, some).unwrap();
        let end = bench.run(&component).await;
        setrlimit(Resource::As, unbounded).unwrap();
        let End::Failed { retryable: true, message } = end else { panic!("{end:?}") };
        assert!(message.starts_with("this host has no memory for it: "), "{message}");
        assert_eq!(bench.run(&component).await, End::Returned(vec![0]));
    });
}

fn address_space_bytes() -> u64 {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

#[test]
fn a_host_that_may_have_too_few_mappings_does_not_start() {
    let settings = RuntimeSettings { max_terms: u32::MAX, ..RuntimeSettings::default() };
    let threads = tokio::runtime::Runtime::new().unwrap();
    let error = Runtime::new(settings, threads.handle().clone(), clock::system()).map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::Mappings { max_terms: u32::MAX, .. }), "{error}");
}

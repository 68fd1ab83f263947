//! Components of chance, against admission and against what a host answers to. Nothing of it may panic, hang, or stay.
//!
//! Each input comes of one number, which is told before it is used: `SILVERBACK_SEED` has it again. A failure's number stays in
//! [`FOUND`], so that it is tried for ever.

mod caller;
mod exchange;
mod offer;
mod shapes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use silverback::clock;
use silverback::registry::{Build, Ceilings, HttpGrants, Limits};
use silverback::runtime::{End, GuestThreads, MAX_PREPARED, Runtime, RuntimeSettings};
use tokio::time::timeout;

use crate::chance::Chance;
use crate::lone_term::LoneTerm;
use crate::neighbour::Neighbour;
use crate::process::resident_bytes;
use crate::soak;
use caller::World;
use exchange::ANSWERED;

/// Seeds that once failed.
const FOUND: [u64; 0] = [];
/// How long each of the two is tried.
const TEST: Duration = Duration::from_secs(8);
const SOAK: Duration = Duration::from_secs(30 * 60);
/// Before memory is looked at, so that what is kept for good is there.
const WARM_UP: usize = 300;
/// No run may take longer than its limit of time and this.
const HANGS: Duration = Duration::from_secs(20);
/// What a run has.
const RUN_MS: u64 = 200;
/// How much more memory may be resident in the end, where nothing else runs in this process.
const SLACK: f64 = 1.10;

#[test]
fn admission_answers_whatever_it_is_given() {
    let guests = GuestThreads::start().unwrap();
    // What is taken is kept, up to so many; what is refused is kept nowhere.
    let settings = RuntimeSettings { max_runs: 1, max_terms: 1, ..RuntimeSettings::default() };
    let runtime = Runtime::new(settings, guests.lanes(), clock::system()).unwrap();
    let world = World::new("127.0.0.1");
    let (mut taken, mut refused) = (0, 0);
    each_seed(|chance| {
        match runtime.admit(&shapes::bytes(chance, &world)) {
            Ok(_) => taken += 1,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
        taken > MAX_PREPARED
    });
    println!("{taken} taken, {refused} refused");
    assert!(is_alone() || taken > 0 && refused > 0, "{taken} taken, {refused} refused: chance finds one side alone");
}

#[test]
fn a_host_answers_whatever_a_guest_calls() {
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let guests = GuestThreads::start().unwrap();
    let settings = RuntimeSettings { max_runs: 4, max_terms: 1, ..RuntimeSettings::default() };
    let runtime = Runtime::new(settings, guests.lanes(), clock::system()).unwrap();
    let term = threads.block_on(LoneTerm::new()).unwrap();
    let neighbour = Neighbour::start().unwrap();
    let world = World::new(&neighbour.authority());
    let reach =
        HttpGrants { allow: [neighbour.origin().parse().unwrap()].into_iter().collect(), ..HttpGrants::default() };
    let (mut ends, mut calls, mut answers) = (BTreeMap::<&str, u32>::new(), 0, 0);
    each_seed(|chance| {
        let bytes = world.guest_that_calls(chance);
        let digest = runtime.admit(&bytes).unwrap_or_else(|error| panic!("{error}")).digest;
        let lasting = chance.below(2) == 1;
        let component = runtime.prepare(&Build { digest, metered: false, lasting }, &bytes).unwrap();
        let mut request = match lasting {
            false => term.request("fuzz"),
            true => term.lead("fuzz", BTreeMap::new(), Arc::new(|_| {})),
        };
        (request.http, request.private) = (reach.clone(), vec!["127.0.0.1/32".parse().unwrap()].into());
        request.limits = Limits { time_ms: Some(RUN_MS), ..Limits::SCHEDULED }.of_run(true, &Ceilings::NONE);
        let run = threads.block_on(async { timeout(HANGS, runtime.start(&component, request).ended()).await });
        let end = run.expect("it ends in its time");
        calls += end.usage.host_calls;
        answers += u32::from(end.end == End::Returned(vec![ANSWERED]));
        let name = match &end.end {
            End::Returned(_) => "returned",
            End::Failed { .. } => "failed",
            End::TimedOut { .. } => "timed out",
            End::Trapped { message } => {
                assert!(!message.contains("ended early"), "a thread of the host's: {message}");
                "trapped"
            }
            other => panic!("{other:?}"),
        };
        *ends.entry(name).or_default() += 1;
        true
    });
    let told = format!("{ends:?}, {calls} calls, {} requests, {answers} answers", neighbour.requests());
    println!("{told}");
    assert!(is_alone() || ends.len() > 1 && calls > 0 && answers > 0, "{told}");
    guests.shut_down(Duration::from_secs(1));
}

/// One seed is tried.
fn is_alone() -> bool {
    std::env::var(crate::chance::VARIABLE).is_ok()
}

/// Tries seeds until the time is over; in a soak also looks whether memory stays, from when an attempt says that all is there
/// which is kept for good.
fn each_seed(mut attempt: impl FnMut(&mut Chance) -> bool) {
    let alone = std::env::var(crate::chance::VARIABLE).ok().map(|seed| seed.parse().expect("it is a number"));
    if let Some(seed) = alone {
        attempt(&mut Chance::seeded(seed));
        return;
    }
    let resident = || resident_bytes(std::process::id()).unwrap();
    let (begin, span, mut before) = (Instant::now(), soak::span(TEST, SOAK), None);
    let first = Chance::new().another().below(usize::MAX) as u64;
    for (tried, seed) in FOUND.into_iter().chain((0..).map(|number| first.wrapping_add(number))).enumerate() {
        let told = Told(seed);
        let all_is_kept = attempt(&mut Chance::seeded(seed));
        std::mem::forget(told);
        if before.is_none() && all_is_kept && tried >= WARM_UP {
            before = Some((tried, resident()));
        }
        if begin.elapsed() >= span && tried > WARM_UP {
            println!("{tried} seeds from {first}, memory from {before:?} to {}", resident());
            break;
        }
    }
    // Other tests run beside it otherwise, and it may be over before all is there.
    if span == SOAK {
        let (_, before) = before.expect("half an hour is enough");
        let most = (before as f64 * SLACK) as u64;
        assert!(resident() <= most, "memory grew from {before} to {} bytes", resident());
    }
}

/// Says which seed it was that panicked.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("seed {}: to have it again, set {}", self.0, crate::chance::VARIABLE);
    }
}

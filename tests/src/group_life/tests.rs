//! Lives of a group.

use super::*;
use crate::soak;

/// Of every policy.
const JOBS: [&str; 10] = [
    "schedule = \"@every 10m\"",
    "schedule = \"*/30 * * * * *\"\noverlap = \"queue-one\"",
    "schedule = \"@every 20s\"\noverlap = \"queue-all\"\nmax_queued = 4\ncatch_up = \"all\"\ncatch_up_window = \"1m\"",
    "schedule = \"@every 40s\"\noverlap = \"cancel-running\"",
    "schedule = \"@every 5m\"\ndelivery = \"at-least-once\"\njitter = \"1m\"",
    "schedule = \"@every 3m\"\ndelivery = \"at-least-once\"\nstart_deadline = \"10s\"\n\
     [retry]\ncount = 2\nbackoff = \"5s\"\non = \"all\"",
    "schedule = \"@every 2m\"\ncatch_up = \"none\"\n[retry]\ncount = 3\nbackoff = \"2s\"\njitter = \"1s\"",
    "schedule = [\"0 3 * * *\", \"@hourly\"]\ntime_zone = \"America/New_York\"",
    "schedule = \"@every 15s\"\noverlap = \"allow\"\nmax_running = 3\ndelivery = \"at-least-once\"",
    "schedule = \"@every 1m\"\n[limits]\ntime = \"5s\"",
];
/// How long after it was begun a run may still be on its way to its end, and a missed tick to its begin.
const TAIL: Duration = Duration::from_secs(300);

/// In seconds. A run's end is due half a minute after the limit of its time, and several hosts in a row may die before they have
/// written it.
const SHORT: usize = 4;

fn life<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(life)
}

/// What comes of so many days, after so many others, in which a host dies in one step of `dies_in`.
async fn days(days: usize, after: usize, seed: usize, dies_in: usize, loses: usize) -> (Verdict, u32) {
    let mut world = World::new(&JOBS, Chance::seeded(seed as u64), after).await;
    let end = world.clock.boot() + Duration::from_secs(24 * 3600 * days as u64);
    while world.clock.boot() < end {
        let chance = Chance::seeded(world.chance.below(usize::MAX) as u64);
        let lasts = Duration::from_secs(600 + world.chance.below(20_000) as u64);
        world.term(lasts, Faults { dies_in, loses, ..Faults::none(chance) }).await;
        world.outage(SHORT).await;
    }
    let chance = Chance::seeded(seed as u64);
    assert!(world.term(TAIL * 2, Faults::none(chance)).await);
    (world.verdict(TAIL), world.deaths)
}

#[test]
fn days_of_terms_that_end_in_order_keep_every_promise() {
    // All that a life commits is kept until it is judged, so a long one is judged in parts.
    for part in 0..soak::times(1, 3 * 36) {
        let (verdict, deaths) = life(days(10, 10 * part, part, 0, 0));
        verdict.assert_kept();
        assert!(deaths == 0 && verdict.ran > 100_000, "{verdict}");
        println!("{verdict}");
    }
}

#[test]
fn days_of_hosts_that_die_and_replies_that_are_lost_keep_every_promise() {
    let (mut deaths, mut ran) = (0, 0);
    for seed in 0..soak::times(8, 800) {
        let (verdict, died) = life(days(1, seed, seed, 300, 50));
        verdict.assert_kept();
        (deaths, ran) = (deaths + died, ran + verdict.ran);
    }
    println!("{deaths} deaths, {ran} ticks ran");
    assert!(deaths > 500 && ran > 10_000, "{deaths} deaths, {ran} ticks ran");
}

/// A host dies at each step of its first minutes in turn: before each request, and after it and before its reply.
#[test]
fn a_death_at_each_step_of_a_term_keeps_every_promise() {
    for step in 1..=400 {
        let verdict = life(async {
            let mut world = World::new(&JOBS, Chance::seeded(7), 0).await;
            let dies = Faults { dies_at: Some(step), ..Faults::none(Chance::seeded(step as u64)) };
            let lived = world.term(Duration::from_secs(3600), dies).await;
            assert!(!lived, "there is no step {step} in an hour");
            world.outage(SHORT).await;
            assert!(world.term(TAIL * 2, Faults::none(Chance::seeded(step as u64))).await);
            world.verdict(TAIL)
        });
        verdict.assert_kept();
    }
}

//! Jobs of every policy live for years among crashes, and the oracle has nothing to say; broken schedulers are found out.

use silverback::registry::{CatchUpRule, Delivery, OverlapRule, PolicySpec, RetryOn, RetrySpec};

use super::simulation::{Lived, Sabotage, World, live};
use super::*;
use crate::chance::{Chance, each_seed};

const RETRY: RetrySpec = RetrySpec {
    count: 3,
    backoff_ms: Some(5000),
    max_backoff_ms: Some(30_000),
    factor: None,
    jitter_ms: Some(1000),
    on: RetryOn::All,
};

const PLAIN: World = World {
    schedule: "@every 1m",
    policies: PolicySpec {
        overlap: OverlapRule::Skip,
        max_queued: None,
        max_running: None,
        catch_up: CatchUpRule::Latest,
        catch_up_window_ms: None,
        max_catch_up: None,
        start_deadline_ms: None,
        retry: None,
        delivery: Delivery::AtMostOnce,
        pause_after_failures: None,
        history: None,
    },
    hours: 24,
    crash_in: 30,
    skew: 0,
    sabotage: None,
};

fn with(policies: impl FnOnce(&mut PolicySpec)) -> World {
    let mut world = PLAIN;
    policies(&mut world.policies);
    world
}

#[track_caller]
fn keeps_its_promises(world: World, chance: Chance) -> Lived {
    let lived = live(world, chance);
    let shown = &lived.report.findings[..lived.report.findings.len().min(5)];
    assert_eq!(shown, [], "{world:?}");
    let Report { ticks, ran, skipped, .. } = lived.report;
    assert_eq!(ran + skipped, ticks, "each tick is accounted for");
    let succeeded =
        lived.seen.iter().filter_map(Seen::as_ran).filter(|ran| matches!(ran.ended, Some((_, Outcome::Succeeded))));
    assert_eq!(lived.counter, succeeded.count(), "state writes land exactly once");
    // But for what is under way when the world ends.
    let open = lived.seen.iter().filter_map(Seen::as_ran).filter(|ran| ran.ended.is_none()).count();
    assert!(open <= silverback::registry::MAX_RUNNING as usize, "every run has its end: {open} have none");
    lived
}

fn every_policy() -> Vec<World> {
    let overlaps = [
        (OverlapRule::Skip, None, None),
        (OverlapRule::QueueOne, None, None),
        (OverlapRule::QueueAll, Some(5), None),
        (OverlapRule::CancelRunning, None, None),
        (OverlapRule::Allow, None, Some(3)),
    ];
    let mut worlds = Vec::new();
    for (overlap, max_queued, max_running) in overlaps {
        for catch_up in [CatchUpRule::Latest, CatchUpRule::None, CatchUpRule::All] {
            for (delivery, start_deadline_ms, retry) in [
                (Delivery::AtMostOnce, None, None),
                (Delivery::AtMostOnce, Some(45_000), Some(RETRY)),
                (Delivery::AtLeastOnce, None, Some(RETRY)),
                (Delivery::AtLeastOnce, Some(90_000), None),
            ] {
                let policies = PolicySpec {
                    overlap,
                    max_queued,
                    max_running,
                    catch_up,
                    delivery,
                    start_deadline_ms,
                    retry,
                    ..PLAIN.policies
                };
                if silverback::registry::Policies::parse(&policies, "nightly").is_ok() {
                    worlds.push(World { policies, ..PLAIN });
                }
            }
        }
    }
    worlds
}

#[test]
fn whatever_the_policies_and_wherever_hosts_die_no_tick_is_lost_or_doubled() {
    let worlds = every_policy();
    assert!(worlds.len() > 50, "{}", worlds.len());
    each_seed(|mut chance| {
        let mut crashes = 0;
        for world in &worlds {
            for schedule in ["@every 1m", "@every 7s", "*/10 6-16/4 * * 1-5"] {
                crashes += keeps_its_promises(World { schedule, hours: 12, ..*world }, chance.another()).crashes;
            }
        }
        assert!(crashes > 500, "{crashes}");
    });
}

#[test]
fn hosts_whose_clocks_differ_run_no_tick_twice() {
    each_seed(|mut chance| {
        for world in every_policy() {
            let lived = keeps_its_promises(World { skew: 5, ..world }, chance.another());
            if world.policies.delivery == Delivery::AtMostOnce && world.policies.retry.is_none() {
                assert!(lived.starts.values().all(|starts| *starts == 1));
            }
        }
    });
}

#[test]
fn at_most_once_nothing_is_started_twice() {
    each_seed(|chance| {
        let lived = keeps_its_promises(World { hours: 24 * 30, crash_in: 10, ..PLAIN }, chance);
        assert!(lived.crashes > 1000 && lived.starts.values().all(|starts| *starts == 1));
    });
}

#[test]
fn at_least_once_with_all_caught_up_every_tick_comes_to_its_end() {
    let world = with(|policies| {
        policies.delivery = Delivery::AtLeastOnce;
        policies.catch_up = CatchUpRule::All;
        policies.overlap = OverlapRule::QueueAll;
        policies.max_queued = Some(32);
    });
    // So that the queue always has room: an outage is at most twenty ticks or so.
    each_seed(|chance| {
        let lived = keeps_its_promises(World { schedule: "@every 20m", hours: 24 * 60, ..world }, chance);
        assert_eq!(lived.report.ran, lived.report.ticks);
        let lost = |ran: &&Ran| matches!(ran.ended, Some((_, Outcome::Unknown)));
        assert!(lived.seen.iter().filter_map(Seen::as_ran).filter(lost).count() > 100, "nothing was at stake");
    });
}

#[test]
fn years_of_a_nightly_job_are_kept_through_every_change_of_the_clock() {
    let world = World { schedule: "30 2 * * *", hours: 24 * 365 * 5, ..PLAIN };
    each_seed(|chance| assert!(keeps_its_promises(world, chance).report.ticks > 1800));
}

#[test]
fn a_job_that_pauses_itself_accounts_for_the_time() {
    let world = with(|policies| policies.pause_after_failures = Some(2));
    let paused = |seen: &Seen| matches!(seen, Seen::Skipped { reason: Reason::Paused, .. });
    each_seed(|chance| {
        assert!(keeps_its_promises(World { hours: 24 * 10, ..world }, chance).seen.iter().any(paused));
    });
}

#[test]
fn every_broken_scheduler_is_found_out() {
    let queued = with(|policies| {
        policies.overlap = OverlapRule::QueueAll;
        policies.retry = Some(RETRY);
        policies.delivery = Delivery::AtLeastOnce;
    });
    type IsIt = fn(&Finding) -> bool;
    let cases: [(Sabotage, World, IsIt); 9] = [
        (Sabotage::CursorSetBack, PLAIN, |it| matches!(it, Finding::Extra(..) | Finding::OutOfOrder(_))),
        (Sabotage::CursorSetToNow, PLAIN, |it| matches!(it, Finding::Missed(_))),
        (Sabotage::RetriesForgotten, queued, |it| matches!(it, Finding::NotTriedAgain(..))),
        (Sabotage::QueueForgotten, queued, |it| matches!(it, Finding::Missed(_))),
        (Sabotage::RunsForgotten, PLAIN, |it| matches!(it, Finding::NoEnd(..))),
        (Sabotage::LostRunsBegunAgain, PLAIN, |it| matches!(it, Finding::Extra(..))),
        (Sabotage::SkippedInIdleness, PLAIN, |it| matches!(it, Finding::WronglySkipped(_, Reason::Overlapped))),
        (Sabotage::RefusedForNothing, PLAIN, |it| matches!(it, Finding::WronglySkipped(_, Reason::Unavailable))),
        (Sabotage::ClockAhead, PLAIN, |it| matches!(it, Finding::Early(..))),
    ];
    for (sabotage, world, is_it) in cases {
        let world = World { sabotage: Some(sabotage), hours: 24 * 10, ..world };
        let found = live(world, Chance::seeded(7)).report.findings;
        assert!(found.iter().any(is_it), "{sabotage:?}: {:?}", &found[..found.len().min(5)]);
    }
}

/// Each record that is changed breaks a promise.
#[test]
fn every_forged_record_is_found_out() {
    let schedule = Schedule::parse(&silverback::registry::ScheduleSpec::new("@every 1m"), None).unwrap();
    let policies =
        Policies::parse(&PolicySpec { start_deadline_ms: Some(30_000), ..PLAIN.policies }, "nightly").unwrap();
    let minute = |minute: i64| Timestamp::from_second(60 * minute).unwrap();
    let second = SignedDuration::from_secs(1);
    let promise = Promise {
        schedule: &schedule,
        policies: &policies,
        run_time: Duration::from_secs(60),
        from: minute(0),
        changed: minute(0),
        until: minute(5),
        end_within: SignedDuration::from_secs(60),
        skew: SignedDuration::ZERO,
    };
    let ran = |at: i64| Ran {
        tick: minute(at),
        attempt: 1,
        began: minute(at),
        ended: Some((minute(at) + second, Outcome::Succeeded)),
        retryable: None,
    };
    let forge = |forge: &dyn Fn(&mut Vec<Seen>)| {
        let mut seen: Vec<Seen> = (1..=5).map(|at| Seen::Ran(ran(at))).collect();
        forge(&mut seen);
        judge(&promise, &seen).findings
    };
    assert_eq!(forge(&|_| {}), []);
    let again = Ran {
        attempt: 2,
        began: minute(3) + second * 2,
        ended: Some((minute(3) + second * 3, Outcome::Failed)),
        ..ran(3)
    };
    assert_eq!(forge(&|seen| seen.retain(|seen| *seen != Seen::Ran(ran(3)))), [Finding::Missed(minute(3))]);
    assert_eq!(forge(&|seen| seen.insert(3, Seen::Ran(again.clone()))), [Finding::Extra(minute(3), 2)]);
    assert_eq!(forge(&|seen| seen.swap(1, 2)), [Finding::OutOfOrder(minute(2))]);
    assert_eq!(
        forge(&|seen| seen[0] = Seen::Ran(Ran { began: minute(1) - second, ..ran(1) })),
        [Finding::Early(minute(1), 1)]
    );
    let late = second * 31;
    let slow = Ran { began: minute(1) + late, ended: Some((minute(1) + late, Outcome::Succeeded)), ..ran(1) };
    assert_eq!(forge(&|seen| seen[0] = Seen::Ran(slow.clone())), [Finding::Late(minute(1), 1, second)]);
    assert_eq!(
        forge(&|seen| seen[0] = Seen::Ran(Ran { ended: None, ..ran(1) })),
        [
            Finding::NoEnd(minute(1), 1),
            Finding::TooMany(minute(2), 1),
            Finding::TooMany(minute(3), 1),
            Finding::TooMany(minute(4), 1),
            Finding::TooMany(minute(5), 1)
        ]
    );
    let skip = |at: i64, reason| Seen::Skipped { first: minute(at), before: None, reason, at: minute(at) };
    assert_eq!(
        forge(&|seen| seen[2] = skip(3, Reason::Overlapped)),
        [Finding::WronglySkipped(minute(3), Reason::Overlapped)]
    );
    assert_eq!(
        forge(&|seen| seen[2] = skip(3, Reason::HeldUp)),
        [Finding::WronglySkipped(minute(3), Reason::HeldUp)],
        "the latest that has come is run"
    );
    assert_eq!(
        forge(&|seen| seen.push(skip(3, Reason::Changed))),
        [Finding::DecidedTwice(minute(3)), Finding::WronglySkipped(minute(3), Reason::Changed)],
        "and nobody changed the job since"
    );
    let between = minute(3) + second;
    let stranger = Seen::Skipped { first: between, before: None, reason: Reason::Changed, at: between };
    assert_eq!(forge(&|seen| seen.push(stranger.clone())), [Finding::NoTick(between)]);
}

//! How long it takes to find the next tick of the worst schedules that are accepted: those of which most is looked through in vain.

use std::slice;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use silverback::registry::{Gap, JobId, Schedule, ScheduleSpec};
use silverback_tests::figure::{Row, Target};
use silverback_tests::times::ms;

/// How many entries each list of a schedule may have.
const MOST: usize = 64;
/// How often the same tick is looked for; the fastest counts, because the others were interrupted.
const ROUNDS: usize = 5;
/// From where on ticks are looked for, and how far apart.
const INSTANTS: i64 = 120;
const BETWEEN: SignedDuration = SignedDuration::from_hours(31_057);

/// `schedule`: the slowest of the candidates, from the slowest instant.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let job = JobId::new("acme", "nightly")?;
    let (mut next, mut parsing, mut accepted) = (Duration::ZERO, Duration::ZERO, 0);
    for spec in candidates() {
        let begun = Instant::now();
        let parsed = Schedule::parse(&spec, Some(&job));
        parsing = parsing.max(begun.elapsed());
        let Ok(schedule) = parsed else { continue };
        accepted += 1;
        next = next.max(slowest(&schedule)?);
    }
    ensure!(accepted > 10, "only {accepted} candidates were accepted");
    Ok(vec![
        Row::new("next tick of the worst schedule that is accepted", ms(next), "ms").target(Target::AtMost(1.0)),
        Row::new("parsing the worst schedule", ms(parsing), "ms"),
    ])
}

fn slowest(schedule: &Schedule) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    for n in 0..INSTANTS {
        let from = Timestamp::UNIX_EPOCH + BETWEEN * i32::try_from(n)?;
        let round = || {
            let begun = Instant::now();
            std::hint::black_box(schedule.next_after(std::hint::black_box(from)));
            begun.elapsed()
        };
        let fastest = (0..ROUNDS).map(|_| round()).min().context("there is a round")?;
        slowest = slowest.max(fastest);
    }
    Ok(slowest)
}

/// Schedules that have as much as there may be of what makes looking for a tick long.
fn candidates() -> Vec<ScheduleSpec> {
    let days = (1..=31).map(|day| format!("{day}W")).collect::<Vec<_>>().join(",");
    // Left in is one hour on a Thursday 29 February.
    let rare = ["* 0-22 * * *", "* 23 * 1,3-12 *", "* 23 1-28 2 *", "* 23 29 2 +SUN-WED,FRI,SAT"].map(str::to_owned);
    let idle = |n: usize| format!("* 0-{} {days} {}-12 +SUN", 22 - n % 20, 1 + n / 20);
    let one_hour: Vec<String> = rare.into_iter().chain((0..60).map(idle)).collect();
    let at_23: Vec<String> = (0..60).map(|minute| format!("{minute} 23 * * *")).collect();
    // The clock skips this hour each year.
    let skipped: Vec<String> = (0..60).map(|minute| format!("{minute} 2 8-14 3 +SUN")).chain(last_year()).collect();
    let odd = |n: usize| format!("* 3-{} {}W,L-{} 3 +SUN#{}", 4 + n % 20, 1 + n % 31, 1 + n % 30, 1 + n % 5);
    let march: Vec<String> = (0..MOST).map(odd).collect();
    let three = "* 3 * * *".to_owned();
    let shown = |n: usize| {
        if n == 0 { three.clone() } else { format!("* 2-{} {}W,L-{} 3 +SUN#1", 3 + n % 20, 1 + n % 31, 1 + n % 30) }
    };
    let march_and_three: Vec<String> = (0..MOST).map(shown).collect();
    let leap_days: Vec<String> = (0..MOST)
        .map(|n| 1972 + 4 * n)
        .filter(|year| year % 100 != 0 || year % 400 == 0)
        .map(|year| format!("{year}-02-29"))
        .collect();
    let alternate = vec!["* 1-23/2 * * *".to_owned()];
    let weekends = vec!["* * * * SAT,SUN".to_owned(), "* 22-23,0-5 * * *".to_owned()];
    let every = |texts: &[&str]| texts.iter().map(|text| format!("@every {text}")).collect::<Vec<_>>();
    let mut all = Vec::new();
    for time_zone in ["UTC", "America/New_York", "Africa/Casablanca", "Asia/Gaza", "Antarctica/Troll"] {
        for gap in [Gap::Shift, Gap::Skip] {
            let of = |schedule: &[String], except: &[String]| ScheduleSpec {
                schedule: schedule.to_vec(),
                except: except.to_vec(),
                time_zone: time_zone.to_owned(),
                gap,
                ..ScheduleSpec::default()
            };
            all.extend([
                of(&at_23, &one_hour),
                of(&skipped, &[]),
                of(&skipped, &march),
                of(&skipped, &march_and_three),
                of(&skipped, slice::from_ref(&three)),
                of(&at_23, &leap_days),
                of(&["0 0 29 2 *".to_owned()], &leap_days),
                of(&[at_23.clone(), every(&["1s"])].concat(), &one_hour),
            ]);
            if gap == Gap::Skip {
                // Intervals have no gaps.
                continue;
            }
            all.extend([
                of(&every(&["1h"]), &one_hour),
                of(&every(&["59m", "1h"]), &march),
                of(&every(&["2h"]), &weekends),
                of(&every(&["7201s", "3h phase 2h"]), &alternate),
                of(&every(&["1d phase 12h"]), &weekends),
                of(&every(&["30d phase 12h"]), &weekends),
                of(&every(&["9000h"]), &march),
            ]);
        }
    }
    all
}

/// A tick far away, so that there is one.
fn last_year() -> [String; 1] {
    ["0 0 12 1 1 ? 2199".to_owned()]
}

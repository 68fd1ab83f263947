//! Begins are spread, ticks are not.

use super::*;

fn jittered(schedules: &[&str], zone: &str, jitter: &str) -> ScheduleSpec {
    let jitter: SignedDuration = jitter.parse().unwrap();
    ScheduleSpec { jitter_ms: u64::try_from(jitter.as_millis()).unwrap(), ..spec(schedules, zone) }
}

fn job(name: usize) -> JobId {
    JobId { tenant: "acme".to_owned(), name: format!("job-{name}") }
}

#[test]
fn a_jobs_delay_is_its_own_and_stays() {
    let spec = jittered(&["0 * * * *"], "UTC", "5m");
    let delays = |name| -> Vec<SignedDuration> {
        let schedule = Schedule::parse(&spec, Some(&job(name))).unwrap();
        let coming = schedule.forecast(at("2026-01-01T00:30:00Z"), 5);
        assert_eq!(coming[0].tick, at("2026-01-01T01:00:00Z"), "the nominal tick doesn't move");
        coming.iter().map(|coming| coming.begins.duration_since(coming.tick)).collect()
    };
    let mut minutes = [0; 5];
    for name in 0..1000 {
        let delays = delays(name);
        assert!(delays.iter().all(|delay| *delay == delays[0] && delay.as_mins() < 5), "{delays:?}");
        minutes[usize::try_from(delays[0].as_mins()).unwrap()] += 1;
    }
    assert!(minutes.iter().all(|count| (150..250).contains(count)), "{minutes:?}");
}

#[test]
fn temporal_3059_jitter_always_ends_before_the_next_tick() {
    // Two ticks of 2050 are ten minutes apart, which nobody notices when the job is stored.
    let spec = jittered(&["0 0 * * *", "0 10 0 1 1 * 2050"], "America/New_York", "6h");
    for name in 0..500 {
        let schedule = Schedule::parse(&spec, Some(&job(name))).unwrap();
        let mut tick = at("2049-12-30T00:00:00Z");
        for _ in 0..6 {
            let next = schedule.next_after(tick).unwrap();
            assert!((tick..next).contains(&schedule.begins(tick)), "{tick} {next}");
            tick = next;
        }
    }
}

#[test]
fn temporal_4866_a_change_while_the_jitter_is_under_way_does_not_lose_the_tick() {
    let spec = jittered(&["0 * * * *"], "UTC", "50m");
    let schedule = Schedule::parse(&spec, Some(&job(3))).unwrap();
    let tick = at("2026-01-01T10:00:00Z");
    let begins = schedule.begins(tick);
    assert!(begins > tick + SignedDuration::from_secs(2));
    let next = |change: Timestamp| schedule.next_after(schedule.cursor_at(change));
    assert_eq!(next(begins - SignedDuration::from_secs(1)), Some(tick), "still to come");
    assert_eq!(next(begins), Some(at("2026-01-01T11:00:00Z")), "not twice");
    assert_eq!(next(at("2026-01-01T09:59:59Z")), Some(tick));
    let change = at("2026-01-01T10:00:01Z");
    assert_eq!(
        parse(&super::spec(&["0 * * * *"], "UTC")).cursor_at(change),
        change,
        "without jitter nothing is under way"
    );
}

/// kubernetes#91652, dkron#1989: jobs that are all due on the minute overwhelm what they need.
#[test]
fn kubernetes_91652_a_herd_at_the_full_minute_is_spread() {
    const JOBS: usize = 10_000;
    let (jitter_s, tick) = (60, at("2026-01-01T01:00:00Z"));
    let spec = jittered(&["0 * * * *"], "UTC", "60s");
    let mut seconds = vec![0; jitter_s];
    for name in 0..JOBS {
        let schedule = Schedule::parse(&spec, Some(&job(name))).unwrap();
        assert_eq!(schedule.next_after(tick - SignedDuration::from_secs(1)), Some(tick));
        seconds[usize::try_from(schedule.begins(tick).duration_since(tick).as_secs()).unwrap()] += 1;
    }
    let fair = JOBS / jitter_s;
    assert!(seconds.iter().all(|count| (fair / 2..2 * fair).contains(count)), "{seconds:?}");
}

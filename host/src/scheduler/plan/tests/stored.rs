//! The node's value: small, and readable whoever wrote it.

use super::*;
use crate::history::{Outcome, RunRecord, RunState, Running};

fn record(run: &str, outcome: Option<Outcome>) -> RunRecord {
    RunRecord {
        run: format!("acme/nightly/{run}"),
        attempt: 1,
        tick: run.parse().ok(),
        host: "a".to_owned(),
        token: 7,
        started: at("00:00:10"),
        ended: outcome.map(|_| at("00:00:11")),
        outcome,
        detail: "x".repeat(500),
        usage: None,
    }
}

#[test]
fn a_state_of_the_first_form_is_read_and_its_run_is_settled() {
    for (run, of) in [
        ("2026-01-01T00:00:20Z", tick("00:00:20")),
        ("manual-2026-01-01T00:00:20.500Z", Occasion::Order("manual-2026-01-01T00:00:20.500Z".to_owned())),
    ] {
        let mut first = RunState { cursor: Some(at("00:00:20")), ..RunState::default() };
        first.push(record("2026-01-01T00:00:10Z", Some(Outcome::Succeeded)));
        first.running = Some(Running { record: record(run, None), nonce: "6e6f6e6365".to_owned() });
        let mut desk = Desk::new("@every 10s", PolicySpec::default());
        desk.state = JobState::from_bytes(&first.to_bytes()).unwrap();
        assert_eq!(desk.state.cursor, first.cursor);
        assert_eq!(desk.state.outcomes[0].of.tick(), Some(at("00:00:10")));
        let lost = desk.fails_over("00:00:25");
        assert_eq!((&lost[0].of, lost[0].holder.as_ref().unwrap().host.as_str()), (&of, "a"));
        desk.begins("00:00:25", &[]);
        desk.begins("00:00:30", &["00:00:30"]);
    }
    assert_eq!(JobState::from_bytes(b"").unwrap(), JobState::default());
    assert_eq!(JobState::from_bytes(b"{}").unwrap(), JobState::default());
}

#[test]
fn the_fullest_state_fits_and_loses_only_outcomes() {
    let mut desk = Desk::new(
        "@every 1s",
        PolicySpec {
            overlap: OverlapRule::Allow,
            max_running: Some(4),
            catch_up: CatchUpRule::All,
            ..PolicySpec::default()
        },
    );
    desk.term.holder = Holder { host: "h".repeat(63), token: i64::MAX };
    desk.nonce = u32::MAX - 1000;
    desk.state.failures = 1000;
    let span = ("2025-12-31T23:00:00Z".parse().unwrap(), "2025-12-31T23:10:00Z".parse().unwrap());
    let filled_in = backfilled(&desk.state, &desk.rules(), &desk.term, span, at("00:00:00")).unwrap().0;
    desk.write(filled_in);
    for _ in 0..4 {
        let name = "m".repeat(32);
        let nonce = desk.nonce;
        let decision = ordered(&desk.state, &desk.rules(), &desk.term, &name, at("00:00:00"), nonce);
        desk.write(decision);
        desk.nonce += 1;
    }
    desk.term.since = at("00:01:00");
    let holder = desk.term.holder.clone();
    desk.at("00:01:00");
    assert_eq!((desk.state.active.len(), desk.state.queue.len()), (4, 32));
    assert_eq!(desk.state.holder, Some(holder));
    let cursor = desk.state.cursor;
    desk.state.pause(at("00:01:00"), "x".repeat(500));
    let full = desk.state.clone().fit().0;
    assert!(full.to_bytes().len() <= MAX_STATE_BYTES, "{}", full.to_bytes().len());
    assert_eq!(full.cursor, cursor);
}

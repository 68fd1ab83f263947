//! Spans that are filled in.

use super::*;

fn filled_in(text: &str) -> Occasion {
    Occasion::Backfill(at(text))
}

fn fill_in(desk: &mut Desk, from: &str, to: &str, now: &str) -> Result<usize, BackfillError> {
    let (decision, count) = backfilled(&desk.state, &desk.rules(), &desk.term, (at(from), at(to)), at(now))?;
    desk.write(decision);
    Ok(count)
}

#[test]
fn the_ticks_of_a_span_run_one_after_another_also_on_the_next_host() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.state.cursor = Some(at("01:00:00"));
    assert_eq!(fill_in(&mut desk, "00:00:10", "00:00:30", "01:00:01"), Ok(3));
    let mut begun = Vec::new();
    for time in ["01:00:01", "01:00:02", "01:00:03"] {
        begun.extend(desk.at(time).0.into_iter().map(|(of, _)| of));
        desk.ends(time, End::Succeeded);
        assert_eq!(desk.fails_over(time), []);
    }
    assert_eq!(begun, [filled_in("00:00:10"), filled_in("00:00:20"), filled_in("00:00:30")]);
    assert_eq!(desk.state.backfill, None);
    assert_eq!(desk.at("01:00:04").0, []);
    assert_eq!(desk.state.cursor, Some(at("01:00:00")), "it moved the schedule");
}

#[test]
fn a_tick_of_the_schedule_comes_before_the_next_that_is_filled_in() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.state.cursor = Some(at("01:00:00"));
    fill_in(&mut desk, "00:00:10", "00:00:30", "01:00:01").unwrap();
    assert_eq!(desk.at("01:00:01").0, [(filled_in("00:00:10"), 1)]);
    assert_eq!(desk.at("01:00:10").0, []);
    desk.ends("01:00:11", End::Succeeded);
    assert_eq!(desk.at("01:00:11").0, [(tick("01:00:10"), 1)]);
    desk.has_skipped(&[]);
}

#[test]
fn a_change_of_the_job_ends_a_span_and_another_host_does_not() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.state.cursor = Some(at("01:00:00"));
    fill_in(&mut desk, "00:00:10", "00:00:30", "01:00:01").unwrap();
    assert_eq!(changed(&desk.state, &desk.rules(), &desk.term, changed_at("00:00:00"), at("01:00:02")), None);
    let edited = changed(&desk.state, &desk.rules(), &desk.term, changed_at("01:00:03"), at("01:00:04")).unwrap();
    desk.write(edited);
    assert_eq!(desk.state.backfill, None);
    desk.has_skipped(&[("00:00:10..00:00:31 filled in", Reason::Changed)]);
}

/// Its ticks may have run in what the ensemble has forgotten.
#[test]
fn w7_a_span_ends_for_the_right_reason_when_the_ensemble_was_restored() {
    let mut desk = Desk::new("@every 10s", PolicySpec::default());
    desk.state.cursor = Some(at("01:00:00"));
    fill_in(&mut desk, "00:00:10", "00:00:30", "01:00:01").unwrap();
    let restored = Changed { at: at("00:00:00"), ticks_from: at("01:00:03"), restored: true };
    let decision = changed(&desk.state, &desk.rules(), &desk.term, restored, at("01:00:04")).unwrap();
    desk.write(decision);
    desk.has_skipped(&[("00:00:10..00:00:31 filled in", Reason::Restored)]);
    // One that is asked for after that goes on.
    fill_in(&mut desk, "00:00:10", "00:00:30", "01:00:05").unwrap();
    assert_eq!(changed(&desk.state, &desk.rules(), &desk.term, restored, at("01:00:06")), None);
}

#[test]
fn a_retry_of_what_is_filled_in_is_not_too_old_for_anything() {
    let retry = Some(RetrySpec { count: 1, ..RetrySpec::default() });
    let policies = PolicySpec { retry, start_deadline_ms: Some(60_000), ..PolicySpec::default() };
    let mut desk = Desk::new("@every 10s", policies);
    desk.state.cursor = Some(at("01:00:00"));
    fill_in(&mut desk, "00:00:10", "00:00:10", "01:00:01").unwrap();
    assert_eq!(desk.at("01:00:01").0, [(filled_in("00:00:10"), 1)]);
    desk.ends("01:00:02", End::Failed { retryable: true });
    desk.fails_over("01:00:03");
    assert_eq!(changed(&desk.state, &desk.rules(), &desk.term, changed_at("00:00:00"), at("01:00:03")), None);
    assert_eq!(desk.at("01:00:30").0.first(), Some(&(filled_in("00:00:10"), 2)));
}

#[test]
fn a_span_that_makes_no_sense_is_refused_with_its_times() {
    let mut desk = Desk::new("@every 1s", PolicySpec::default());
    let now = "02:00:00";
    let (from, to) = (at("00:00:30"), at("00:00:10"));
    assert_eq!(fill_in(&mut desk, "00:00:30", "00:00:10", now), Err(BackfillError::Backwards { from, to }));
    assert_eq!(fill_in(&mut desk, "00:00:30", "03:00:00", now), Err(BackfillError::Future { to: at("03:00:00") }));
    assert_eq!(fill_in(&mut desk, "00:00:00", "00:16:39", now), Ok(1000), "both ends count");
    let last = at("00:16:39");
    assert_eq!(fill_in(&mut desk, "00:00:00", "00:00:10", now), Err(BackfillError::UnderWay { last }));
    desk.state.backfill = None;
    desk.state.pause(at("01:59:00"), "3 runs in a row failed".to_owned());
    let refused = fill_in(&mut desk, "00:00:00", "00:00:10", now).unwrap_err();
    assert_eq!(refused.to_string(), "the job has paused itself (3 runs in a row failed): resume it first");
    desk.state.paused = None;
    let (from, to) = (at("00:00:00"), at("00:16:40"));
    assert_eq!(fill_in(&mut desk, "00:00:00", "00:16:40", now), Err(BackfillError::TooMany { from, to }));
    // Ten years of seconds, and no time spent on it.
    let (from, to) = ("2015-01-01T00:00:00Z".parse().unwrap(), at("00:00:00"));
    let refused = backfilled(&desk.state, &desk.rules(), &desk.term, (from, to), at(now));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "from, to: the job has more than 1000 ticks from `2015-01-01T00:00:00Z` to `2026-01-01T00:00:00Z`; \
         fill in a shorter span"
    );
    let yearly = Desk::new("0 0 24 12 *", PolicySpec::default());
    let (from, to) = (at("00:00:00"), at("01:00:00"));
    assert_eq!(
        backfilled(&yearly.state, &yearly.rules(), &yearly.term, (from, to), at(now)).unwrap_err(),
        BackfillError::Empty { from, to }
    );
}

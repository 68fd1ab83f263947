//! State against a tree in memory: both modes, lost replies, lost races, a lost term, every limit.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::capability::apart::Stack;
use crate::capability::fakes::{CONTENDER, Cut, FakeClock, FakeSession, asking, term, unmetered};
use crate::registry::{Ceilings, Limit, Limits};

const DIR: &str = "/silverback/state/acme/ledger";

fn state(mode: StateMode) -> (State, Arc<FakeSession>, Arc<Gate>) {
    let (gate, session) = term(FakeClock::new(), Duration::from_secs(60));
    (State::new(DIR.to_owned(), gate.clone(), mode, unmetered(), asking()), session, gate)
}

/// That may have so many keys and bytes.
fn bounded(mode: StateMode, keys: u64, bytes: u64) -> (State, Arc<FakeSession>) {
    let (gate, session) = term(FakeClock::new(), Duration::from_secs(60));
    let limits = Limits::LEADER.with(Limit::StateKeys, keys).with(Limit::StateBytes, bytes);
    let meter = Meter::new(limits.of_run(false, &Ceilings::NONE));
    (State::new(DIR.to_owned(), gate, mode, meter, asking()), session)
}

fn key(name: &str) -> Key {
    Key::new(name.to_owned()).unwrap()
}

fn set(name: &str, value: &str) -> Batch {
    Batch::from([(key(name), Some(value.into()))])
}

fn committed(session: &FakeSession, name: &str) -> Option<String> {
    session.value(&key(name).path(DIR)).map(|value| String::from_utf8(value).unwrap())
}

#[tokio::test]
async fn the_first_write_makes_the_directory_and_later_ones_find_their_node() {
    let (mut state, session, _) = state(StateMode::Immediate);
    state.write(set("a/b", "1")).await.unwrap();
    assert_eq!(committed(&session, "a/b").as_deref(), Some("1"));
    state.write(set("a/b", "2")).await.unwrap();
    assert_eq!(state.get(&key("a/b")).await.unwrap(), Some(b"2".to_vec()));
    assert_eq!(state.keys().await.unwrap(), BTreeSet::from([key("a/b")]));
    state.write(Batch::from([(key("a/b"), None)])).await.unwrap();
    state.write(Batch::from([(key("a/b"), None)])).await.unwrap();
    assert!(!state.exists(&key("a/b")).await.unwrap());
}

#[tokio::test]
async fn a_batch_of_new_old_and_gone_keys_lands_together() {
    let (mut state, session, _) = state(StateMode::Immediate);
    session.put(&key("old").path(DIR), b"0");
    session.put(&key("gone").path(DIR), b"0");
    let batch = Batch::from([
        (key("old"), Some(b"1".to_vec())),
        (key("new"), Some(b"2".to_vec())),
        (key("gone"), None),
        (key("never"), None),
    ]);
    state.write(batch).await.unwrap();
    let found = ["old", "new", "gone", "never"].map(|name| committed(&session, name));
    assert_eq!(found, [Some("1".to_owned()), Some("2".to_owned()), None, None]);
}

#[tokio::test]
async fn a_deposed_leaders_write_is_refused_by_the_tree_itself() {
    let (mut state, session, gate) = state(StateMode::Immediate);
    session.remove(CONTENDER);
    assert!(gate.leads(), "the host has not noticed yet");
    assert_eq!(state.write(set("k", "v")).await, Err(Fate::Refused.into()));
    assert_eq!(state.increment(&key("n"), 1).await, Err(Fate::Refused.into()));
    assert_eq!((committed(&session, "k"), committed(&session, "n")), (None, None));
}

#[tokio::test]
async fn nothing_passes_an_ended_gate() {
    let (mut state, session, gate) = state(StateMode::Immediate);
    gate.end();
    assert_eq!(state.write(set("k", "v")).await, Err(Fate::Refused.into()));
    assert_eq!(committed(&session, "k"), None);
}

#[tokio::test]
async fn a_write_waits_for_a_closed_gate_to_open() {
    let (mut state, session, gate) = state(StateMode::Immediate);
    gate.close();
    let reopened = async {
        assert_eq!(committed(&session, "k"), None);
        gate.open();
    };
    let (written, ()) = tokio::join!(state.write(set("k", "v")), reopened);
    assert_eq!((written, committed(&session, "k").as_deref()), (Ok(()), Some("v")));
}

#[tokio::test]
async fn a_write_that_could_not_be_sent_and_one_that_may_be_done_are_told_apart() {
    let (mut held, never_sent, gate) = state(StateMode::Immediate);
    gate.close();
    let (mut cut, maybe_done, _) = state(StateMode::Immediate);
    maybe_done.put(&key("k").path(DIR), b"old");
    maybe_done.cut(Cut::After);
    maybe_done.disconnect();
    let (held, cut) = tokio::join!(held.write(set("k", "v")), cut.write(set("k", "v")));
    assert_eq!((held, cut), (Err(Fate::Unproven.into()), Err(Fate::Unknown.into())));
    assert_eq!((committed(&never_sent, "k"), committed(&maybe_done, "k").as_deref()), (None, Some("v")));
}

/// That the second try was refused says nothing of the first.
#[tokio::test]
async fn a_write_that_is_refused_after_a_try_without_an_answer_stays_unknown() {
    for (cut, left) in [(Cut::Before, "old"), (Cut::After, "new")] {
        let (mut state, session, _) = state(StateMode::Immediate);
        session.put(&key("k").path(DIR), b"old");
        session.cut(cut);
        session.disconnect();
        let deposed = async {
            session.remove(CONTENDER);
            session.reconnect();
        };
        let (written, ()) = tokio::join!(state.write(set("k", "new")), deposed);
        assert_eq!(written, Err(Fate::Unknown.into()));
        assert_eq!(committed(&session, "k").as_deref(), Some(left));
    }
}

#[tokio::test]
async fn an_increment_without_an_answer_is_looked_for_before_it_is_told_as_refused() {
    for (cut, told) in [(Cut::Before, Err(Fate::Refused.into())), (Cut::After, Ok(6))] {
        let (mut state, session, _) = state(StateMode::Immediate);
        session.put(&key("n").path(DIR), b"5");
        session.cut(cut);
        session.disconnect();
        let deposed = async {
            session.remove(CONTENDER);
            session.reconnect();
        };
        let n = key("n");
        let (sum, ()) = tokio::join!(state.increment(&n, 1), deposed);
        assert_eq!(sum, told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_not_answered_has_an_end() {
    let never = std::future::pending::<Result<(), Error>>();
    assert_eq!(within_patience(never).await, Err(Fate::Unproven.into()));
}

#[test]
fn what_the_ensemble_says_no_to_for_another_reason_does_not_read_as_a_lost_term() {
    let refused = StateError::from(Error::Refused { detail: "the disk is full".to_owned() });
    assert_eq!(refused.to_string(), "the ensemble says no: refused: the disk is full");
    assert_eq!(StateError::from(Error::Lost), Fate::Refused.into());
}

#[tokio::test]
async fn a_write_is_done_wherever_its_connection_was_cut() {
    for cut in [Cut::Before, Cut::After] {
        let (mut state, session, _) = state(StateMode::Immediate);
        session.cut(cut);
        state.write(set("k", "v")).await.unwrap();
        assert_eq!(committed(&session, "k").as_deref(), Some("v"));
        session.cut(cut);
        state.write(Batch::from([(key("k"), None)])).await.unwrap();
        assert_eq!(committed(&session, "k"), None);
    }
}

#[tokio::test]
async fn an_increment_counts_once_wherever_its_connection_was_cut() {
    for cut in [Cut::Before, Cut::After] {
        let (mut state, session, _) = state(StateMode::Immediate);
        for sum in 1..=3 {
            session.cut(cut);
            assert_eq!(state.increment(&key("n"), 1).await, Ok(sum));
        }
        assert_eq!(committed(&session, "n").as_deref(), Some("3"));
    }
}

#[tokio::test]
async fn an_increment_counts_once_though_the_next_server_lags_behind() {
    let (mut state, session, _) = state(StateMode::Immediate);
    session.put(&key("n").path(DIR), b"5");
    session.lag();
    session.cut(Cut::After);
    assert_eq!(state.increment(&key("n"), 1).await, Ok(6));
    assert_eq!(committed(&session, "n").as_deref(), Some("6"));
}

#[tokio::test]
async fn an_increment_loses_no_write_that_came_in_between() {
    let (mut state, session, _) = state(StateMode::Immediate);
    session.race(&key("n").path(DIR), b"10");
    assert_eq!(state.increment(&key("n"), 1).await, Ok(11));
    session.race(&key("n").path(DIR), b"20");
    assert_eq!(state.increment(&key("n"), 1).await, Ok(21));
}

#[tokio::test]
async fn an_increment_of_words_or_over_the_top_changes_nothing() {
    let (mut state, session, _) = state(StateMode::Immediate);
    state.write(set("word", "x")).await.unwrap();
    state.write(set("top", &u64::MAX.to_string())).await.unwrap();
    let errors = [state.increment(&key("word"), 1).await, state.increment(&key("top"), 1).await];
    assert_eq!(
        errors.map(|error| error.unwrap_err().to_string()),
        ["key `word` holds no number, so it can't be incremented", "key `top` plus 1 is over 64 bits"]
    );
    assert_eq!(committed(&session, "word").as_deref(), Some("x"));
}

#[tokio::test]
async fn a_scheduled_run_reads_its_own_writes_and_commits_none() {
    let (mut state, session, _) = state(StateMode::Buffered);
    session.put(&key("a").path(DIR), b"1");
    session.put(&key("n").path(DIR), b"5");
    state.write(set("b", "2")).await.unwrap();
    state.write(Batch::from([(key("a"), None)])).await.unwrap();
    assert_eq!(state.increment(&key("n"), 1).await, Ok(6));
    assert_eq!(state.increment(&key("n"), 1).await, Ok(7));
    assert_eq!(state.get(&key("a")).await, Ok(None));
    assert_eq!(state.keys().await, Ok(BTreeSet::from([key("b"), key("n")])));
    assert_eq!(committed(&session, "n").as_deref(), Some("5"));
    let write = |name: &str, value: Option<&str>| StateWrite {
        path: format!("{DIR}/{name}"),
        value: value.map(|value| value.as_bytes().to_vec()),
        added: None,
    };
    let added = StateWrite { added: Some(2), ..write("n", Some("7")) };
    assert_eq!(state.into_writes(), [write("a", None), write("b", Some("2")), added]);
}

#[tokio::test]
async fn what_a_scheduled_run_did_more_to_than_add_is_written_as_it_left_it() {
    let (mut state, session, _) = state(StateMode::Buffered);
    session.put(&key("set first").path(DIR), b"5");
    state.write(set("set first", "1")).await.unwrap();
    state.increment(&key("set first"), 1).await.unwrap();
    state.increment(&key("set after"), 1).await.unwrap();
    state.write(set("set after", "7")).await.unwrap();
    state.increment(&key("set after"), 1).await.unwrap();
    let writes = state.into_writes();
    assert!(writes.iter().all(|write| write.added.is_none()), "{writes:?}");
    assert_eq!(writes[0].value_on(Some(b"90")), Ok(Some(b"8".to_vec())));
}

#[tokio::test]
async fn every_limit_is_named_with_its_value() {
    let (mut state, _, _) = state(StateMode::Buffered);
    let big = "v".repeat(MAX_STATE_VALUE_BYTES + 1);
    let error = state.write(set("k", &big)).await.unwrap_err().to_string();
    assert_eq!(error, "value bytes of key `k` 524289 is over the limit of 524288");
    let half = "v".repeat(MAX_BUFFERED_BYTES / 2);
    state.write(set("a", &half)).await.unwrap();
    state.write(set("a", &half)).await.unwrap();
    let error = state.write(set("b", &half)).await.unwrap_err().to_string();
    assert!(error.starts_with("bytes written by one run "), "{error}");
    assert_eq!(state.get(&key("b")).await, Ok(None), "a refused write changes nothing");
    let many: Batch = (0..MAX_BUFFERED_WRITES + 1).map(|n| (key(&n.to_string()), None)).collect();
    let error = state.write(many).await.unwrap_err().to_string();
    assert_eq!(error, "keys written by one run 502 is over the limit of 500");
}

#[tokio::test]
async fn a_job_keeps_only_so_many_keys() {
    for mode in [StateMode::Immediate, StateMode::Buffered] {
        let (mut state, session) = bounded(mode, 50, 1 << 20);
        (0..49).for_each(|n| session.put(&key(&n.to_string()).path(DIR), b""));
        state.write(set("7", "changed")).await.unwrap();
        state.write(set("the last", "")).await.unwrap();
        state.write(set("the last", "again")).await.unwrap();
        let error = state.write(set("one more", "")).await.unwrap_err().to_string();
        assert_eq!(error, "state_keys 51 is over the limit of 50", "{mode:?}");
        let swap = Batch::from([(key("7"), None), (key("one more"), Some(Vec::new()))]);
        state.write(swap).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_keeps_only_so_many_bytes() {
    for mode in [StateMode::Immediate, StateMode::Buffered] {
        let (mut state, session) = bounded(mode, 1000, 10 << 10);
        session.put(&key("old").path(DIR), &[b'v'; 4 << 10]);
        for _ in 0..5 {
            state.write(set("new", &"v".repeat(5 << 10))).await.unwrap();
        }
        assert_eq!(state.increment(&key("n"), 7).await, Ok(7));
        let error = state.write(set("more", &"v".repeat(2 << 10))).await.unwrap_err().to_string();
        assert!(error.starts_with("state 112") && error.ends_with(" is over the limit of 10KiB"), "{mode:?}: {error}");
        assert_eq!(state.get(&key("more")).await, Ok(None), "a refused write changes nothing");
        state.write(Batch::from([(key("old"), None)])).await.unwrap();
        state.write(set("more", &"v".repeat(2 << 10))).await.unwrap();
    }
}

/// What a run has to ask beyond its writes.
#[tokio::test]
async fn a_small_state_is_not_read_to_know_its_size() {
    let (mut state, session, _) = state(StateMode::Immediate);
    (0..3).for_each(|n| session.put(&key(&n.to_string()).path(DIR), b""));
    for n in 0..10 {
        state.write(set("k", &n.to_string())).await.unwrap();
    }
    assert_eq!(session.reads(), 0);
}

#[tokio::test]
async fn a_watch_gives_the_key_at_once_and_then_each_change() {
    let (state, session, _) = state(StateMode::Immediate);
    let watch = state.watch(&key("k"));
    let first = watch.changed(None).await.unwrap();
    assert_eq!(first, Entry { revision: 0, value: None });
    let changed = async {
        session.put(&key("other").path(DIR), b"x");
        tokio::task::yield_now().await;
        session.put(&key("k").path(DIR), b"1");
    };
    let (second, ()) = tokio::join!(watch.changed(Some(first.revision)), changed);
    let second = second.unwrap();
    assert_eq!(second.value.as_deref(), Some(&b"1"[..]));
    session.remove(&key("k").path(DIR));
    assert_eq!(watch.changed(Some(second.revision)).await.unwrap(), Entry { revision: 0, value: None });
}

#[tokio::test]
async fn a_key_that_cannot_be_watched_is_looked_at_now_and_then() {
    let (state, session, _) = state(StateMode::Immediate);
    session.fill_watches();
    let watch = state.watch(&key("k"));
    let first = watch.changed(None).await.unwrap();
    let change = async { session.put(&key("k").path(DIR), b"1") };
    let (second, ()) = tokio::join!(watch.changed(Some(first.revision)), change);
    assert_eq!(second.unwrap().value.as_deref(), Some(&b"1"[..]));
}

/// What a leader's stack keeps, it keeps for as long as it leads.
#[tokio::test]
async fn a_terms_calls_are_made_on_another_stack_and_a_runs_on_its_own() {
    assert_eq!(state(StateMode::Immediate).0.stack(), Stack::Other);
    assert_eq!(state(StateMode::Buffered).0.stack(), Stack::Guests);
}

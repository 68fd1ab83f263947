//! Lost replies, broken connections, foreign hands.

use super::*;
use crate::candidacy::Ended;

#[tokio::test]
async fn a_create_whose_reply_is_lost_makes_one_contender_and_it_leads() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    place.embedded.lose_replies(host.session(), 1).await.unwrap();
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Obeys);
    let candidate = host.stand(&duty);
    ear.started().await;
    assert_eq!(place.onlooker.list(ELECTION).await.unwrap().len(), 1);
    ear.let_go.notify_one();
    candidate.leave();
    soon("the end", candidate.ended()).await;
    assert_eq!(place.onlooker.list(ELECTION).await.unwrap(), [""; 0], "an orphan");
}

#[tokio::test]
async fn a_release_whose_replies_are_lost_is_done_and_its_last_words_are_said_once() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    ensure_path(place.onlooker.as_ref(), "/zoo/words").await.unwrap();
    let word =
        Op::Create { path: "/zoo/words/word-".to_owned(), data: Vec::new(), mode: CreateMode::PersistentSequential };
    for last_words in [vec![], vec![word]] {
        let (duty, mut ear) = FakeDuty::saying(&place, Manner::Obeys, last_words);
        let candidate = host.stand(&duty);
        ear.started().await;
        place.embedded.lose_replies(host.session(), 1).await.unwrap();
        ear.let_go.notify_one();
        candidate.leave();
        assert_eq!(soon("the end", candidate.ended()).await, Ended::Left);
        assert_eq!(place.onlooker.list(ELECTION).await.unwrap(), [""; 0]);
    }
    assert_eq!(place.onlooker.list("/zoo/words").await.unwrap().len(), 1);
}

#[tokio::test]
async fn last_words_that_are_refused_do_not_hold_the_release_up() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let refused = Op::Set { path: "/zoo/nowhere".to_owned(), data: Vec::new(), version: Some(3) };
    let (duty, mut ear) = FakeDuty::saying(&place, Manner::Obeys, vec![refused]);
    let candidate = host.stand(&duty);
    ear.started().await;
    ear.let_go.notify_one();
    candidate.leave();
    assert_eq!(soon("the end", candidate.ended()).await, Ended::Left);
    assert_eq!(place.queue().await, [""; 0]);
}

#[tokio::test]
async fn a_broken_connection_closes_the_gate_and_the_same_session_opens_it_again() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Ignores);
    let candidate = host.stand(&duty);
    let gate = ear.started().await;
    let mut state = gate.state();
    for _ in 0..3 {
        place.embedded.disconnect(host.session()).await.unwrap();
        soon("the closing", state.wait_for(|state| *state == GateState::Closed)).await.unwrap();
        place.embedded.reconnect(host.session()).await.unwrap();
        soon("the opening", state.wait_for(|state| *state == GateState::Open)).await.unwrap();
    }
    assert!(ear.heard_nothing(), "the term goes on");
    assert_eq!(candidate.standing(), Standing::Leading { token: gate.token() });
}

#[tokio::test]
async fn a_duty_whose_contender_is_deleted_by_somebody_is_stopped_and_stands_again() {
    let place = Place::new(CALM).await;
    let (a, b) = (place.host("a").await, place.host("b").await);
    let ((duty_a, mut ear_a), (duty_b, mut ear_b)) =
        (FakeDuty::new(&place, Manner::Ignores), FakeDuty::new(&place, Manner::Obeys));
    let _first = a.stand(&duty_a);
    let gate = ear_a.started().await;
    let second = b.stand(&duty_b);
    until(&second, waits).await;
    place.onlooker.delete(gate.contender(), None).await.unwrap();
    assert!(!ear_a.stopped().await);
    assert_eq!(gate.ending(), Some(Ending::Evicted));
    ear_b.started().await;
    place.until_queue(&["b", "a"]).await;
}

#[tokio::test]
async fn a_contender_that_is_gone_after_a_reconnect_ends_the_term() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Ignores);
    let _candidate = host.stand(&duty);
    let gate = ear.started().await;
    place.embedded.disconnect(host.session()).await.unwrap();
    place.onlooker.delete(gate.contender(), None).await.unwrap();
    assert!(ear.heard_nothing());
    place.embedded.reconnect(host.session()).await.unwrap();
    ear.stopped().await;
    assert!(ear.started().await.token() > gate.token());
}

#[tokio::test]
async fn what_happened_to_the_one_ahead_while_disconnected_is_seen_after_the_reconnect() {
    let place = Place::new(CALM).await;
    let (foreign, _) = place.foreign("9d3f0c6e5b1a4c1f8e7d6c5b4a392817__lock__").await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Obeys);
    let candidate = host.stand(&duty);
    until(&candidate, waits).await;
    place.embedded.disconnect(host.session()).await.unwrap();
    foreign.close().await;
    assert!(ear.heard_nothing());
    place.embedded.reconnect(host.session()).await.unwrap();
    ear.started().await;
}

#[tokio::test]
async fn nobody_leads_on_a_node_that_another_session_owns() {
    let place = Place::new(CALM).await;
    let (ahead, _) = place.foreign("9d3f0c6e5b1a4c1f8e7d6c5b4a392817__lock__").await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Obeys);
    let candidate = host.stand(&duty);
    until(&candidate, waits).await;
    // The node that the candidate takes for its own becomes another session's, as after an expiry that it slept through.
    let queue = contenders(place.onlooker.as_ref(), ELECTION).await.unwrap();
    let path = format!("{ELECTION}/{}", queue[1].znode);
    let swap = vec![
        Op::Delete { path: path.clone(), version: None },
        Op::Create { path: path.clone(), data: b"other".to_vec(), mode: CreateMode::Ephemeral },
    ];
    place.onlooker.multi(swap).await.unwrap();
    ahead.close().await;
    place.until_queue(&["other", "a"]).await;
    until(&candidate, waits).await;
    assert!(ear.heard_nothing(), "it led on another session's node");
    place.onlooker.delete(&path, None).await.unwrap();
    ear.started().await;
}

#[tokio::test]
async fn a_lease_that_nothing_extends_stops_the_duty_though_the_session_says_nothing() {
    let place = Place::new(Duration::from_secs(4)).await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Ignores);
    let _candidate = host.stand(&duty);
    let gate = ear.started().await;
    assert!(gate.leads());
    // Heartbeats go to a node that is another session's now: they prove nothing.
    let path = "/zoo/hosts/a".to_owned();
    let swap = vec![
        Op::Delete { path: path.clone(), version: None },
        Op::Create { path, data: b"other".to_vec(), mode: CreateMode::Ephemeral },
    ];
    place.onlooker.multi(swap).await.unwrap();
    assert!(ear.stopped().await, "its contender stood until it had stopped");
    assert!(gate.is_over());
    assert_eq!(gate.ending(), Some(Ending::LeaseOver));
    place.until_queue(&["a"]).await;
    assert!(ear.heard_nothing(), "nobody leads on a lease that is over");
}

//! Who leads, and who is next.

use silverback_election::OnReturn;

use super::*;
use crate::candidacy::Ended;

#[tokio::test]
async fn the_first_leads_and_the_second_follows_with_a_higher_token_when_its_session_expires() {
    let place = Place::new(CALM).await;
    let (a, b) = (place.host("a").await, place.host("b").await);
    let ((duty_a, mut ear_a), (duty_b, mut ear_b)) =
        (FakeDuty::new(&place, Manner::Ignores), FakeDuty::new(&place, Manner::Ignores));
    let first = a.stand(&duty_a);
    let term = ear_a.started().await;
    let second = b.stand(&duty_b);
    until(&second, waits).await;
    assert_eq!(first.standing(), Standing::Leading { token: term.token() });
    assert_eq!(place.queue().await, ["a", "b"]);
    assert!(ear_b.heard_nothing());

    place.embedded.expire(a.session()).await.unwrap();
    ear_a.stopped().await;
    assert!(ear_b.started().await.token() > term.token());
    assert_eq!(soon("the end", first.ended()).await, Ended::SessionLost);
    assert!(term.is_over());
}

#[tokio::test]
async fn the_contender_goes_only_when_the_duty_has_stopped() {
    let place = Place::new(CALM).await;
    let (a, b) = (place.host("a").await, place.host("b").await);
    let ((duty_a, mut ear_a), (duty_b, mut ear_b)) =
        (FakeDuty::new(&place, Manner::Obeys), FakeDuty::new(&place, Manner::Obeys));
    let first = a.stand(&duty_a);
    let mut asked = ear_a.started().await.stop_asked();
    let second = b.stand(&duty_b);
    until(&second, waits).await;

    first.leave();
    soon("the asking", asked.wait_for(|asked| *asked)).await.unwrap();
    assert_eq!(place.queue().await, ["a", "b"], "it is still at work");
    assert!(ear_b.heard_nothing());
    ear_a.let_go.notify_one();
    assert!(ear_a.stopped().await, "the contender was gone before the duty had stopped");
    ear_b.started().await;
    assert_eq!(soon("the end", first.ended()).await, Ended::Left);
    assert_eq!(place.queue().await, ["b"]);
}

#[tokio::test]
async fn whoever_resigns_stands_again_at_the_end_of_the_queue() {
    let place = Place::new(CALM).await;
    let (a, b) = (place.host("a").await, place.host("b").await);
    let ((duty_a, mut ear_a), (duty_b, mut ear_b)) =
        (FakeDuty::new(&place, Manner::Obeys), FakeDuty::new(&place, Manner::Obeys));
    let first = a.stand(&duty_a);
    ear_a.started().await;
    let second = b.stand(&duty_b);
    until(&second, waits).await;
    ear_a.let_go.notify_one();
    first.resign();
    assert!(ear_a.stopped().await);
    ear_b.started().await;
    place.until_queue(&["b", "a"]).await;
    until(&first, waits).await;
    ear_b.let_go.notify_one();
    second.leave();
    ear_a.started().await;
}

#[tokio::test]
async fn a_duty_that_returns_for_good_is_not_stood_for_again_and_one_that_was_stopped_is() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let once = || Candidacy { on_return: OnReturn::Stop, ..host.candidacy() };
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Returns(Report::Done));
    let candidate = Candidate::stand(host.member.clone(), once(), duty);
    ear.started().await;
    assert_eq!(soon("the end", candidate.ended()).await, Ended::Returned);
    assert_eq!(place.queue().await, [""; 0]);

    // As where the guest's own look at the lease comes before the driver's.
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Returns(Report::Stopped));
    let candidate = Candidate::stand(host.member.clone(), once(), duty);
    let first = ear.started().await.token();
    ear.stopped().await;
    assert!(ear.started().await.token() > first);
    assert_eq!(candidate.ended_now(), None);
}

#[tokio::test]
async fn a_duty_that_returned_for_good_stays_done_where_the_session_is_lost_before_its_release() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Obeys);
    let candidacy = Candidacy { on_return: OnReturn::Stop, ..host.candidacy() };
    let candidate = Candidate::stand(host.member.clone(), candidacy, duty);
    let gate = ear.started().await;
    place.embedded.disconnect(host.session()).await.unwrap();
    // It returns by itself: nobody asked it, the gate's flag is the test's own.
    ear.let_go.notify_one();
    gate.ask_stop();
    ear.stopped().await;
    until(&candidate, |standing| *standing == Standing::Leaving).await;
    place.embedded.expire(host.session()).await.unwrap();
    assert_eq!(soon("the end", candidate.ended()).await, Ended::Returned);
}

#[tokio::test]
async fn contenders_of_kazoo_and_curator_that_are_ahead_are_waited_for() {
    let place = Place::new(CALM).await;
    let (kazoo, _) = place.foreign("9d3f0c6e5b1a4c1f8e7d6c5b4a392817__lock__").await;
    let (curator, _) = place.foreign("_c_5b1a4c1f-8e7d-6c5b-4a39-28179d3f0c6e-lock-").await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Obeys);
    let candidate = host.stand(&duty);
    until(&candidate, waits).await;
    kazoo.close().await;
    // The one directly ahead is Curator's, so this changes nothing.
    assert!(ear.heard_nothing());
    curator.close().await;
    ear.started().await;
}

#[tokio::test]
async fn the_order_holds_where_the_servers_number_wraps_around() {
    let place = Place::new(CALM).await;
    place.embedded.set_next_sequence(ELECTION, i32::MAX - 1).await.unwrap();
    let mut standing = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let host = place.host(name).await;
        let (duty, ear) = FakeDuty::new(&place, Manner::Ignores);
        let candidate = host.stand(&duty);
        until(&candidate, |standing| *standing != Standing::Joining).await;
        standing.push((host, candidate, ear));
    }
    assert_eq!(place.queue().await, ["a", "b", "c", "d"]);
    let mut tokens = Vec::new();
    for (host, candidate, ear) in &mut standing {
        tokens.push(ear.started().await.token());
        place.embedded.expire(host.session()).await.unwrap();
        soon("the end", candidate.ended()).await;
    }
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}

//! How a term ends.

use std::sync::Mutex;

use tokio::sync::oneshot;

use super::*;
use crate::capability::Inside;

#[tokio::test]
async fn a_duty_that_does_not_return_when_asked_is_stopped_after_the_grace_period() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Ignores);
    let grace = Duration::from_millis(50);
    let candidate = Candidate::stand(host.member.clone(), Candidacy { grace, ..host.candidacy() }, duty);
    let gate = ear.started().await;
    let began = clock::system().boot();
    candidate.leave();
    soon("the asking", gate.stop_asked().wait_for(|asked| *asked)).await.unwrap();
    assert!(ear.stopped().await);
    assert_eq!(gate.ending(), Some(Ending::Left));
    assert!(clock::system().boot() - began >= grace);
    soon("the end", candidate.ended()).await;
    assert_eq!(place.queue().await, [""; 0]);
}

/// Leaves a guest behind: it panics while one is under its gate.
struct Careless(mpsc::UnboundedSender<Inside>);

#[async_trait]
impl Duty for Careless {
    async fn serve(&self, gate: Arc<Gate>) -> Served {
        self.0.send(gate.enter()).unwrap();
        panic!("as the test wants it");
    }
}

#[tokio::test]
async fn a_guest_that_a_duty_left_behind_holds_the_release_up() {
    let place = Place::new(CALM).await;
    let (a, b) = (place.host("a").await, place.host("b").await);
    let (tell, mut guests) = mpsc::unbounded_channel();
    let first = Candidate::stand(a.member.clone(), a.candidacy(), Arc::new(Careless(tell)));
    let guest = soon("a guest", guests.recv()).await.unwrap();
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Obeys);
    let second = b.stand(&duty);
    until(&second, waits).await;
    first.leave();
    until(&first, |standing| *standing == Standing::Leaving).await;
    assert_eq!(place.queue().await, ["a", "b"]);
    drop(guest);
    ear.started().await;
    assert_eq!(place.queue().await, ["b"]);
}

/// Returns when it is let go, and leaves somebody who waits for the release.
struct Waited {
    let_go: Notify,
    released: Mutex<Option<oneshot::Sender<()>>>,
}

#[async_trait]
impl Duty for Waited {
    async fn serve(&self, _gate: Arc<Gate>) -> Served {
        self.let_go.notified().await;
        Served { released: self.released.lock().unwrap().take(), ..Served::with(Report::Done) }
    }
}

#[tokio::test]
async fn who_waits_for_the_release_is_told_when_the_contender_is_gone_and_not_before() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let (tell, mut released) = oneshot::channel();
    let duty = Arc::new(Waited { let_go: Notify::new(), released: Mutex::new(Some(tell)) });
    let candidate = Candidate::stand(host.member.clone(), host.candidacy(), duty.clone());
    until(&candidate, |standing| matches!(standing, Standing::Leading { .. })).await;
    place.embedded.disconnect(host.session()).await.unwrap();
    duty.let_go.notify_one();
    until(&candidate, |standing| *standing == Standing::Leaving).await;
    assert_eq!(released.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    assert_eq!(place.queue().await, ["a"]);
    place.embedded.reconnect(host.session()).await.unwrap();
    soon("the release", released).await.unwrap_err();
    assert_eq!(place.queue().await, [""; 0]);
}

#[tokio::test]
async fn a_term_that_has_lasted_its_time_is_given_up_and_the_next_in_the_queue_leads() {
    let place = Place::new(CALM).await;
    let (a, b) = (place.host("a").await, place.host("b").await);
    let ((duty_a, mut ear_a), (duty_b, mut ear_b)) =
        (FakeDuty::new(&place, Manner::Obeys), FakeDuty::new(&place, Manner::Obeys));
    let max_term = Duration::from_millis(100);
    let began = clock::system().boot();
    let _first = Candidate::stand(a.member.clone(), Candidacy { max_term: Some(max_term), ..a.candidacy() }, duty_a);
    let gate = ear_a.started().await;
    let second = b.stand(&duty_b);
    soon("the asking", gate.stop_asked().wait_for(|asked| *asked)).await.unwrap();
    assert!(clock::system().boot() - began >= max_term);
    assert!(!gate.is_over() && gate.ending() == Some(Ending::MaxTerm), "it is asked before it is stopped");
    until(&second, waits).await;
    ear_a.let_go.notify_one();
    assert!(ear_a.stopped().await);
    ear_b.started().await;
    place.until_queue(&["b", "a"]).await;
}

#[tokio::test]
async fn a_duty_that_panics_ends_its_term_and_is_tried_again_after_a_while() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Panics);
    let _candidate = host.stand(&duty);
    let first = ear.started().await;
    let began = clock::system().boot();
    soon("the end", first.state().wait_for(|state| *state == GateState::Over)).await.unwrap();
    assert!(ear.started().await.token() > first.token());
    assert!(clock::system().boot() - began >= Duration::from_millis(900), "no back-off");
}

/// kazoo waited for ever where its lock was released in a listener, on the thread that listeners are called on. All is on one
/// thread here too.
#[tokio::test]
async fn kazoo_381_whoever_gives_leadership_up_upon_the_news_of_it_waits_for_the_release_and_blocks_nothing() {
    let place = Place::new(CALM).await;
    let (a, b) = (place.host("a").await, place.host("b").await);
    let ((duty_a, mut ear_a), (duty_b, mut ear_b)) =
        (FakeDuty::new(&place, Manner::Obeys), FakeDuty::new(&place, Manner::Obeys));
    let first = Arc::new(a.stand(&duty_a));
    let listener = tokio::spawn({
        let first = first.clone();
        async move {
            first.follow().wait_for(|standing| matches!(standing, Standing::Leading { .. })).await.unwrap();
            first.leave();
            first.ended().await
        }
    });
    let _second = b.stand(&duty_b);
    ear_a.started().await;
    ear_a.let_go.notify_one();
    assert!(ear_a.stopped().await);
    ear_b.started().await;
    assert_eq!(soon("the listener's end", listener).await.unwrap(), crate::candidacy::Ended::Left);
}

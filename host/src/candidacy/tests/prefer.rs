//! Hosts that make way for more preferred ones.

use super::*;
use crate::candidacy::courtesy::Successor;
use crate::candidacy::heirs::Heirs;
use crate::candidacy::preference::Trust;
use crate::candidacy::rear::Rear;
use crate::candidacy::term::{Passing, Term};

/// How long a preferred host has to stand behind a leader. Some tests wait for it.
const AFTER: Duration = Duration::from_millis(300);
/// The same where nobody makes way within the test but before a term begins.
const LONG: Duration = Duration::from_secs(3600);
/// The name, up to the number, of a kazoo program's contender.
const KAZOO: &str = "9d3f0c6e5b1a4c1f8e7d6c5b4a392817__lock__";

/// A host that stands, and what its duty says.
struct Stander {
    candidate: Candidate,
    ear: Ear,
    _host: Host,
}

impl Stander {
    /// Stands at the end of the queue. A duty is let go as soon as it is asked to stop.
    async fn stand(place: &Place, name: &'static str, prefers: &[&str], after: Duration) -> Self {
        let host = place.host(name).await;
        let before = place.queue().await.len();
        let (duty, ear) = FakeDuty::new(place, Manner::Obeys);
        ear.let_go.notify_one();
        let candidate = Candidate::stand(host.member.clone(), host.preferring(prefers, after), duty);
        soon("the contender", async {
            while place.queue().await.len() == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Stander { candidate, ear, _host: host }
    }
}

fn now() -> Duration {
    clock::system().boot()
}

#[tokio::test]
async fn a_leader_makes_way_for_a_preferred_host_that_has_stood_behind_it_for_a_while() {
    let place = Place::new(CALM).await;
    let mut less = Stander::stand(&place, "c", &["a"], AFTER).await;
    let gate = less.ear.started().await;
    let came = now();
    let mut preferred = Stander::stand(&place, "a", &["b"], AFTER).await;
    assert!(less.ear.stopped().await, "the contender was gone before the duty had stopped");
    assert!(now() - came >= AFTER);
    assert_eq!(gate.ending(), Some(Ending::Preferred));
    preferred.ear.started().await;
    place.until_queue(&["a", "c"]).await;
}

#[tokio::test]
async fn nobody_makes_way_for_a_host_that_is_not_preferred_to_it() {
    let place = Place::new(CALM).await;
    // The one that is preferred most, one that is preferred to c alone, and one that is not named.
    let mut second = Stander::stand(&place, "b", &["a"], AFTER).await;
    let gate = second.ear.started().await;
    let mut third = Stander::stand(&place, "c", &["a", "b"], AFTER).await;
    let mut fourth = Stander::stand(&place, "d", &["a", "b"], AFTER).await;
    tokio::time::sleep(AFTER * 4).await;
    assert!(!*gate.stop_asked().borrow());

    second.candidate.leave();
    second.ear.stopped().await;
    let gate = third.ear.started().await;
    tokio::time::sleep(AFTER * 4).await;
    assert!(!*gate.stop_asked().borrow() && fourth.ear.heard_nothing());
}

#[tokio::test]
async fn a_host_in_between_passes_the_term_on_without_serving_it() {
    let place = Place::new(CALM).await;
    let mut third = Stander::stand(&place, "c", &["a", "b"], AFTER).await;
    third.ear.started().await;
    let mut fourth = Stander::stand(&place, "d", &["a", "b"], AFTER).await;
    let mut second = Stander::stand(&place, "b", &["a"], AFTER).await;
    let mut first = Stander::stand(&place, "a", &[], AFTER).await;
    third.ear.stopped().await;
    for passing in [&mut fourth, &mut second] {
        assert_eq!(passing.ear.not_begun().await, Some(Ending::Preferred));
    }
    let gate = first.ear.started().await;
    soon("all behind it", async {
        while place.queue().await.len() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(gate.leads() && [third, fourth, second].iter_mut().all(|other| other.ear.heard_nothing()));
}

#[tokio::test]
async fn a_term_begins_though_nobody_can_say_who_stands_behind_unless_it_was_to_end_meanwhile() {
    let place = Place::new(CALM).await;
    let host = place.host("c").await;
    let (session, lease) = (host.member.session().clone(), host.member.lease().clone());
    let contenders = [place.foreign_as(KAZOO, "c").await.1, place.foreign_as(KAZOO, "a").await.1];
    let queue = contenders.iter().map(|path| path[ELECTION.len() + 1..].to_owned()).collect::<Vec<_>>();
    let heirs = Heirs {
        rear: Rear {
            session: session.clone(),
            clock: clock::system(),
            election: ELECTION.to_owned(),
            me: queue[0].clone(),
        },
        preference: preference(&["a"], LONG),
        trust: Trust::default(),
    };
    let passing = || Some(Passing { successor: Successor::Preferred(heirs.clone()), queue: queue.clone() });
    let gate = || Gate::new(session.clone(), contenders[0].clone(), 1, "c".to_owned(), lease.clone());
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Obeys);
    place.embedded.disconnect(host.session()).await.unwrap();
    let _term = Term::begin(duty.clone(), gate(), now(), passing(), Timeline::unkept());
    ear.started().await;

    let resigning = gate();
    let _term = Term::begin(duty, resigning.clone(), now(), passing(), Timeline::unkept());
    resigning.because(Ending::Resigned);
    resigning.ask_stop();
    assert_eq!(ear.not_begun().await, Some(Ending::Resigned));
}

#[tokio::test]
async fn another_librarys_contender_keeps_its_place_and_gets_nothing_by_preference() {
    let place = Place::new(CALM).await;
    let (first, path) = place.foreign(KAZOO).await;
    let mut less = Stander::stand(&place, "c", &["a"], AFTER).await;
    let (between, _) = place.foreign(KAZOO).await;
    let mut preferred = Stander::stand(&place, "a", &[], AFTER).await;
    tokio::time::sleep(AFTER * 4).await;
    assert!(place.onlooker.stat(&path).await.unwrap().is_some() && less.ear.heard_nothing(), "it leads");

    first.close().await;
    let gate = less.ear.started().await;
    tokio::time::sleep(AFTER * 4).await;
    assert!(!*gate.stop_asked().borrow(), "the kazoo program would lead, and not the preferred host");
    between.close().await;
    less.ear.stopped().await;
    preferred.ear.started().await;
}

#[tokio::test]
async fn who_calls_itself_as_a_host_that_is_not_seen_is_no_reason_to_make_way() {
    let place = Place::new(CALM).await;
    let (first, _) = place.foreign(KAZOO).await;
    let mut less = Stander::stand(&place, "c", &["a"], AFTER).await;
    let (_liar, _) = place.foreign_as(KAZOO, "a").await;
    first.close().await;
    let gate = less.ear.started().await;
    tokio::time::sleep(AFTER * 4).await;
    assert!(!*gate.stop_asked().borrow());
}

#[tokio::test]
async fn a_preferred_host_that_lets_go_of_what_it_gets_does_not_starve_the_job() {
    let place = Place::new(CALM).await;
    let _seen = place.host("a").await;
    let (first, _) = place.foreign(KAZOO).await;
    let mut less = Stander::stand(&place, "c", &["a"], LONG).await;
    let (mut idle, _) = place.foreign_as(KAZOO, "a").await;
    first.close().await;
    assert_eq!(less.ear.not_begun().await, Some(Ending::Preferred));
    place.until_queue(&["a", "c"]).await;
    // It has led nothing, and stands again at once.
    let (again, _) = place.foreign_as(KAZOO, "a").await;
    std::mem::replace(&mut idle, again).close().await;
    let gate = less.ear.started().await;
    place.until_queue(&["c", "a"]).await;
    assert!(gate.leads() && !*gate.stop_asked().borrow());
}

#[tokio::test]
async fn a_host_that_comes_and_goes_moves_nothing() {
    let place = Place::new(CALM).await;
    let mut less = Stander::stand(&place, "c", &["a"], AFTER * 2).await;
    let gate = less.ear.started().await;
    let _seen = place.host("a").await;
    for _ in 0..4 {
        let (flapping, _) = place.foreign_as(KAZOO, "a").await;
        tokio::time::sleep(AFTER).await;
        flapping.close().await;
    }
    assert!(!*gate.stop_asked().borrow());
}

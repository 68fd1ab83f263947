//! The problems that a host raises when the coordinator or the disk refuses a request.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use silverback_election::Event;

use super::*;
use crate::candidacy::requests::Requests;
use crate::candidacy::term::Term;
use crate::candidacy::{Keep, KnownCluster};
use crate::coordinator::MAX_VALUE_BYTES;
use crate::registry::ClusterNode;

fn told(problems: &Problems) -> String {
    problems.list().first().map(|problem| problem.text.clone()).unwrap_or_default()
}

/// Waits until this is told, or nothing if it is empty.
async fn until_told(problems: &Problems, wanted: &str) {
    let is_told = |told: String| told.contains(wanted) && wanted.is_empty() == told.is_empty();
    soon(&format!("`{wanted}`"), async {
        while !is_told(told(problems)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_refused_request_is_told_until_one_is_answered() {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let session = host.member.session().clone();
    let contender = session.create(&format!("{ELECTION}/c-"), b"a", CreateMode::EphemeralSequential).await.unwrap();
    let name = contender[ELECTION.len() + 1..].to_owned();
    let problems = Problems::default();
    let requests = Requests {
        session,
        lease: host.member.lease().clone(),
        election: ELECTION.into(),
        identifier: "a".into(),
        concern: Concern::new(problems.clone(), About::Cluster, clock::system()),
    };
    requests.concern.raise("refused");
    assert!(matches!(soon("an answer", requests.clone().verify(name.clone())).await, Event::Verified(Some(_))));
    assert_eq!(told(&problems), "");
    requests.concern.raise("refused");
    let watching = tokio::spawn(requests.watch(name));
    until_told(&problems, "").await;
    assert!(!watching.is_finished(), "nothing has changed");
    watching.abort();
}

#[tokio::test]
async fn heartbeats_that_are_refused_are_told_until_one_is_answered() {
    let place = Place::new(Duration::from_secs(1)).await;
    let session = place.embedded.connect(HANGS).await.unwrap();
    let rule = LeaseRule::new(place.timeout, Duration::ZERO).unwrap();
    let (refused, problems) = (Arc::new(AtomicBool::new(false)), Problems::default());
    let now = refused.clone();
    let value = Arc::new(move || vec![0; if now.load(Ordering::SeqCst) { MAX_VALUE_BYTES + 1 } else { 1 }]);
    let concern = Concern::new(problems.clone(), About::Cluster, clock::system());
    let (path, timeline) = ("/zoo/hosts/a".to_owned(), Timeline::unkept());
    let _member = Membership::join(session, rule, clock::system(), path, value, timeline, concern).await.unwrap();
    refused.store(true, Ordering::SeqCst);
    until_told(&problems, "this host leads nothing: its heartbeats to node `/zoo/hosts/a` are refused").await;
    refused.store(false, Ordering::SeqCst);
    until_told(&problems, "").await;
}

/// A host that begins a term, and why it does not.
async fn not_begun(keep: Keep) -> (Option<Ending>, String) {
    let place = Place::new(CALM).await;
    let host = place.host("a").await;
    let (duty, mut ear) = FakeDuty::new(&place, Manner::Obeys);
    let timeline = Timeline::new(None);
    timeline.keep_with(keep);
    timeline.cluster_is(timeline.look(), ClusterNode::new(), 3);
    let (session, lease) = (host.member.session().clone(), host.member.lease().clone());
    let gate = Gate::new(session, format!("{ELECTION}/c"), 7, "a".to_owned(), lease);
    let granted_at = clock::system().boot();
    let _term = Term::begin(duty, gate, granted_at, None, timeline.clone());
    let ending = ear.not_begun().await;
    let why = timeline.follow_unkept().borrow().clone().unwrap_or_default();
    (ending, why)
}

#[tokio::test]
async fn a_term_whose_token_cannot_be_kept_does_not_begin_and_it_is_told_why() {
    let (ending, why) = not_begun(Arc::new(|_| Err(io::Error::other("`/data/cluster.json`: full")))).await;
    assert_eq!(ending, Some(Ending::Unkept));
    assert!(
        why.starts_with("no term begins: ") && why.contains("`/data/cluster.json`: full; make room there"),
        "{why}"
    );

    // A disk that says nothing.
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let stuck = move |_: &KnownCluster| wait.lock().unwrap().recv().map_err(io::Error::other);
    let (ending, why) = not_begun(Arc::new(stuck)).await;
    assert_eq!(ending, Some(Ending::Unkept));
    assert!(why.contains("it takes longer than 2000 ms"), "{why}");
    drop(let_go);
}

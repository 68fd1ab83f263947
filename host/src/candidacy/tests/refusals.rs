//! What is refused, by the coordinator or by the disk, and what is told of it.

use std::sync::atomic::{AtomicBool, Ordering};

use silverback_election::Event;

use super::*;
use crate::candidacy::requests::Requests;
use crate::coordinator::MAX_VALUE_BYTES;

fn told(problems: &Problems) -> String {
    problems.list().first().map(|problem| problem.text.clone()).unwrap_or_default()
}

async fn until_told(problems: &Problems, wanted: &str) {
    soon(&format!("`{wanted}`"), async {
        while if wanted.is_empty() { told(problems) != "" } else { !told(problems).contains(wanted) } {
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

//! Leader jobs whose function returned and whose `on_return` is `stop`.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_returned_for_good_is_stood_for_again_only_when_it_changes() {
    let place = Place::standing().await;
    place.apply(leader(OnReturn::Stop), guest(OK)).await;
    let first = place.token_of_the_last_term().await;
    place.until_nothing().await;
    // Nor is it on another session.
    place.embedded.expire(place.sessions.now().unwrap().id()).await.unwrap();
    place.until_member_again().await;
    place.apply(leader(OnReturn::Requeue), patient()).await;
    place.token_above(first).await;
    let stood = place.onlooker.list(&place.election()).await.unwrap();
    assert!(stood.len() == 1 && stood[0].ends_with("0000000001"), "there was another in between: {stood:?}");
}

/// It is the same job after somebody deleted its node by hand, and its function has returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_a_job_that_returned_for_good_is_not_stood_for_again_when_its_node_is_made_again() {
    let place = Place::standing().await;
    let job = place.apply(leader(OnReturn::Stop), guest(OK)).await;
    let first = place.token_of_the_last_term().await;
    place.until_nothing().await;
    let before = place.jobs.borrow()[&job].clone();
    place.onlooker.delete(&place.layout.job("acme", "job"), None).await.unwrap();
    place.missing.report(&job);
    let again = |jobs: &Jobs| jobs.get(&job).is_some_and(|job| job.mzxid != before.mzxid);
    let again = soon("the node", place.jobs.clone().wait_for(again)).await.unwrap()[&job].clone();
    assert_eq!((&again.spec, again.mtime_ms), (&before.spec, before.mtime_ms));
    // Once a job that came later is led, this host has looked at the first one too.
    let component = place.artifacts.put(patient().into()).await.unwrap();
    place.apply_as("later", leader(OnReturn::Requeue), component).await;
    place.leader_above("later", 0).await;
    place.apply(leader(OnReturn::Requeue), patient()).await;
    place.token_above(first).await;
    let stood = place.onlooker.list(&place.election()).await.unwrap();
    assert!(stood.len() == 1 && stood[0].ends_with("0000000001"), "there was another in between: {stood:?}");
}

//! Ending the leadership of a scheduled job's whole group takes more than naming the job.

use super::fake::{FOREIGN, NASTY};
use super::*;
use crate::registry::ScheduleSpec;
use crate::text::is_harmful;

const NIGHTLY: &str = "/v1/jobs/acme/nightly";

/// A host `a` with the scheduled job `acme/nightly` and the leader job `acme/publisher`.
async fn host_with_jobs(name: &str, sessions: &Sessions) -> Host {
    let a = host(name, sessions).await;
    let leader = a.apply("acme", "publisher").await;
    let job = next::scheduled(&leader, ScheduleSpec::new("@hourly"));
    let (status, _) = a.ask(Method::PUT, NIGHTLY, &serde_json::to_vec(&job).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    a
}

#[tokio::test]
async fn s4_resigning_from_a_group_takes_the_group() {
    let sessions = sessions().await;
    let (a, b) = (host("a", &sessions).await, host_with_jobs("b", &sessions).await);
    let (status, refused) = b.ask(Method::POST, &format!("{NIGHTLY}/resign"), b"").await;
    let why = "job `acme/nightly` is scheduled, and so led with its whole group: the runs of 12 jobs of 3 tenants in group 7 \
               would be stopped. If you mean that, add --group (`group` in the API)";
    assert_eq!((status, refused), (StatusCode::CONFLICT, json!({ "error": why })));
    assert_eq!(a.ask(Method::POST, &format!("{NIGHTLY}/resign?local=true"), b"").await.0, StatusCode::CONFLICT);
    assert!(a.fake.resigned.lock().unwrap().is_empty());
    let (status, resigned) = b.ask(Method::POST, &format!("{NIGHTLY}/resign?group=true"), b"").await;
    assert_eq!((status, resigned), (StatusCode::OK, json!({"group": {"group": 7, "jobs": 12, "tenants": 3}})));
    assert_eq!(a.fake.resigned.lock().unwrap().len(), 1, "the host that leads it was not asked");
}

#[tokio::test]
async fn s4_evicting_from_a_group_takes_the_group() {
    let sessions = sessions().await;
    let a = host_with_jobs("a", &sessions).await;
    let session = sessions.get(PATIENCE).await.unwrap();
    ensure_path(&*session, "/zoo/elections/acme/nightly").await.unwrap();
    let node = "/zoo/elections/acme/nightly/x__lock__0000000001";
    session.create(node, b"a", CreateMode::Ephemeral).await.unwrap();
    let (status, refused) = a.ask(Method::POST, &format!("{NIGHTLY}/evict"), br#"{"contender": "a"}"#).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["error"].as_str().unwrap().contains("12 jobs of 3 tenants in group 7"), "{refused}");
    assert!(session.stat(node).await.unwrap().is_some());
    let body = br#"{"contender": "a", "group": true}"#;
    let (status, evicted) = a.ask(Method::POST, &format!("{NIGHTLY}/evict"), body).await;
    let group = json!({"group": 7, "jobs": 12, "tenants": 3});
    assert_eq!((status, &evicted["identifier"], &evicted["group"]), (StatusCode::OK, &json!("a"), &group));
    assert_eq!(session.stat(node).await, Ok(None));
}

#[tokio::test]
async fn s4_a_leader_job_has_no_group() {
    let sessions = sessions().await;
    let a = host_with_jobs("a", &sessions).await;
    let path = "/v1/jobs/acme/publisher/resign";
    assert_eq!(a.ask(Method::POST, path, b"").await, (StatusCode::OK, json!({"group": null})));
    let why = "job `acme/publisher` has the trigger `leader` and an election of its own, no group: leave out --group (`group` \
               in the API)";
    let refused = a.ask(Method::POST, &format!("{path}?group=true"), b"").await;
    assert_eq!(refused, (StatusCode::BAD_REQUEST, json!({ "error": why })));
    let refused = a.ask(Method::POST, &format!("{path}?group=perhaps"), b"").await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn s10_errors_quote_others_harmlessly_and_in_part() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    a.apply("acme", FOREIGN).await;
    let evict = serde_json::to_vec(&json!({ "contender": NASTY })).unwrap();
    for (path, body) in [("resign", Vec::new()), ("evict", evict)] {
        let (_, refused) = a.ask(Method::POST, &format!("/v1/jobs/acme/{FOREIGN}/{path}"), &body).await;
        let error = refused["error"].as_str().unwrap();
        assert!(error.contains("]0;x") && error.len() < 600 && !error.contains(is_harmful), "{error:?}");
    }
}

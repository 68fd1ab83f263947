//! Pauses through the API: by an operator, and by a job itself.

use super::*;
use crate::registry::ScheduleSpec;
use crate::scheduler::plan::{JobState, Paused};
use crate::telemetry::tests::Captured;

#[tokio::test]
async fn w12_a_pause_is_logged_when_it_is_done_and_not_before() {
    let a = host("a", &sessions().await).await;
    let captured = Captured::default();
    let _capturing = captured.start();
    let order = json!({"by": "ada", "note": "the table moves"}).to_string();
    let (status, _) = a.ask(Method::POST, "/v1/jobs/acme/publisher/pause", order.as_bytes()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(captured.text(), "");
    a.apply("acme", "publisher").await;
    assert_eq!(a.ask(Method::POST, "/v1/jobs/acme/publisher/pause", order.as_bytes()).await.0, StatusCode::OK);
    let said = " INFO a job is paused job=acme/publisher by=\"ada\" note=\"the table moves\" version=1\n";
    assert_eq!(captured.text(), said);
}

#[tokio::test]
async fn of_a_paused_job_it_is_said_that_it_is_paused() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    a.apply("acme", "publisher").await;
    assert_eq!(a.ask(Method::POST, "/v1/jobs/acme/publisher/pause", b"").await.0, StatusCode::OK);
    for what in ["resign", "trigger"] {
        let (status, refused) = a.ask(Method::POST, &format!("/v1/jobs/acme/publisher/{what}"), b"").await;
        let error = json!({"error": "job `acme/publisher` is paused: nobody leads it until it is resumed"});
        assert_eq!((status, refused), (StatusCode::CONFLICT, error));
    }
}

#[tokio::test]
async fn a_pause_is_listed_with_who_when_and_why_until_the_job_is_resumed() {
    let a = host("a", &sessions().await).await;
    a.apply("acme", "publisher").await;
    let order = json!({"by": "ada", "note": "the table moves"}).to_string();
    let (status, applied) = a.ask(Method::POST, "/v1/jobs/acme/publisher/pause", order.as_bytes()).await;
    assert_eq!((status, applied), (StatusCode::OK, json!({"version": 1, "change": "updated"})));
    let row = a.get("/v1/jobs").await[0].clone();
    assert_eq!((&row["paused"], &row["pause"]["by"]), (&json!(true), &json!("ada")));
    assert_eq!(row["pause"]["note"], "the table moves");
    assert!(row["pause"]["at"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{row}");
    assert_eq!(a.ask(Method::POST, "/v1/jobs/acme/publisher/pause", b"").await.0, StatusCode::OK);
    assert_eq!(a.get("/v1/jobs").await[0]["pause"]["by"], "unknown");
    assert_eq!(a.ask(Method::POST, "/v1/jobs/acme/publisher/resume", b"").await.0, StatusCode::OK);
    let row = a.get("/v1/jobs").await[0].clone();
    assert_eq!((&row["paused"], row.get("pause")), (&json!(false), None));
}

#[tokio::test]
async fn a_job_that_paused_itself_is_listed_so_until_it_is_resumed() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    let leader = a.apply("acme", "publisher").await;
    let job = next::scheduled(&leader, ScheduleSpec::new("@hourly"));
    let (status, _) = a.ask(Method::PUT, "/v1/jobs/acme/nightly", &serde_json::to_vec(&job).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(a.get("/v1/jobs").await[0]["next_tick"].is_string());
    let paused =
        Paused { at: clock::system().wall() + Duration::from_millis(1), why: "3 failures in a row".to_owned() };
    let state = JobState { paused: Some(paused), ..JobState::default() }.to_bytes();
    let session = sessions.get(PATIENCE).await.unwrap();
    session.set("/zoo/runs/acme/nightly", &state, None).await.unwrap();
    let row = a.get("/v1/jobs").await[0].clone();
    assert_eq!((&row["paused"], &row["next_tick"]), (&json!(true), &Value::Null));
    assert_eq!((&row["pause"]["by"], &row["pause"]["note"]), (&Value::Null, &json!("3 failures in a row")));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(a.ask(Method::POST, "/v1/jobs/acme/nightly/resume", b"").await.0, StatusCode::OK);
    let row = a.get("/v1/jobs").await[0].clone();
    assert_eq!((&row["paused"], row.get("pause")), (&json!(false), None));
}

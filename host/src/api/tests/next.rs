//! Schedules through the API: the coming ticks, and what must hold of a schedule when it is stored.

use super::*;
use crate::registry::{KeptPolicies, ScheduleSpec};

pub(super) fn scheduled(leader: &JobSpec, times: ScheduleSpec) -> JobSpec {
    let id = JobId::new("acme", "nightly").unwrap();
    JobSpec {
        id,
        trigger: Trigger::Schedule { times, policies: KeptPolicies::default() },
        limits: Limits::SCHEDULED,
        ..leader.clone()
    }
}

#[tokio::test]
async fn the_coming_ticks_are_told_with_local_time_and_delay() {
    let a = host("a", &sessions().await).await;
    let leader = a.apply("acme", "publisher").await;
    let times = ScheduleSpec {
        time_zone: "Europe/Berlin".to_owned(),
        jitter_ms: 3_600_000,
        ..ScheduleSpec::new("0 0 9 * * * 2031-2199")
    };
    let body = serde_json::to_vec(&scheduled(&leader, times)).unwrap();
    let (status, answer) = a.ask(Method::PUT, "/v1/jobs/acme/nightly", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let coming = a.get("/v1/jobs/acme/nightly/next?n=2").await;
    let [first, second] = coming.as_array().unwrap().as_slice() else { panic!("not two: {coming}") };
    assert_eq!(first["tick"], "2031-01-01T08:00:00Z");
    assert_eq!(first["local"], "2031-01-01T09:00:00+01:00[Europe/Berlin]");
    assert_eq!((&second["tick"], &second["remark"]), (&json!("2031-01-02T08:00:00Z"), &Value::Null));
    assert_eq!(first["delay"], second["delay"]);
    let begins: Timestamp = first["begins"].as_str().unwrap().parse().unwrap();
    let delay: jiff::SignedDuration = first["delay"].as_str().unwrap().parse().unwrap();
    assert_eq!(begins, "2031-01-01T08:00:00Z".parse::<Timestamp>().unwrap() + delay);
    assert_eq!(a.get("/v1/jobs/acme/nightly/next").await.as_array().unwrap().len(), 10);
    let (status, answer) = a.ask(Method::GET, "/v1/jobs/acme/publisher/next", b"").await;
    let error = "job `acme/publisher` has no schedule: its trigger is `leader`";
    assert_eq!((status, &answer["error"]), (StatusCode::CONFLICT, &json!(error)));
}

#[tokio::test]
async fn a_schedule_without_ticks_to_come_is_refused_but_what_is_stored_stays() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    let leader = a.apply("acme", "publisher").await;
    let past = ScheduleSpec { at: vec!["2020-01-01T00:00:00Z".to_owned()], ..ScheduleSpec::default() };
    let mut job = scheduled(&leader, past);
    let put =
        async |job: &JobSpec| a.ask(Method::PUT, "/v1/jobs/acme/nightly", &serde_json::to_vec(job).unwrap()).await;
    let (status, answer) = put(&job).await;
    let error = answer["error"].as_str().unwrap();
    let said = "job `nightly`: at `2020-01-01T00:00:00Z` is not valid: it has no tick after ";
    assert!(status == StatusCode::BAD_REQUEST && error.starts_with(said), "{status} {error}");
    let (status, _) = a.ask(Method::GET, "/v1/jobs/acme/nightly", b"").await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let crowded = ScheduleSpec { jitter_ms: 3_600_000, ..ScheduleSpec::new("0 * * * *") };
    let (status, answer) = put(&scheduled(&leader, crowded)).await;
    let error = answer["error"].as_str().unwrap();
    assert!(status == StatusCode::BAD_REQUEST && error.contains("jitter `1h` is not valid"), "{status} {error}");

    // Stored while its tick was still to come; applied again, perhaps with another setting, it stays.
    Registry::new(sessions.clone(), Layout::new("/zoo")).apply(&job).await.unwrap();
    assert_eq!(put(&job).await.0, StatusCode::OK);
    job.config.insert("greeting".to_owned(), "hello".to_owned());
    assert_eq!(put(&job).await.0, StatusCode::OK);
}

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

/// 64 schedules by 64 exclusions that leave in an hour in decades: seconds, where each entry is asked for each day.
#[tokio::test]
async fn b3_a_schedule_of_much_work_keeps_nobody_waiting() {
    let a = host("a", &sessions().await).await;
    let leader = a.apply("acme", "publisher").await;
    let workdays = (1..=31).map(|day| format!("{day}W")).collect::<Vec<_>>().join(",");
    let rare = ["* 0-22 * * *", "* 23 * 1,3-12 *", "* 23 1-28 2 *", "* 23 29 2 +SUN-WED,FRI,SAT"].map(str::to_owned);
    let idle = (0..60).map(|n| format!("* 0-{} {workdays} {}-12 +SUN", 22 - n % 20, 1 + n / 20));
    let times = ScheduleSpec {
        schedule: (0..60).map(|minute| format!("{minute} 23 * * *")).collect(),
        except: rare.into_iter().chain(idle).collect(),
        jitter_ms: 1000,
        ..ScheduleSpec::default()
    };
    let body = serde_json::to_vec(&scheduled(&leader, times)).unwrap();
    let begun = clock::system().computed();
    let (status, answer) = a.ask(Method::PUT, "/v1/jobs/acme/nightly", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let jobs = a.get("/v1/jobs").await;
    assert_eq!(jobs[0]["next_tick"], json!("2052-02-29T23:00:00Z"));
    assert_eq!(a.get("/v1/jobs/acme/nightly/next?n=1000").await.as_array().unwrap().len(), 1000);
    // The test's one thread serves and asks: none of the arithmetic is done on it.
    let computed = clock::system().computed() - begun;
    assert!(computed < Duration::from_secs(1), "{computed:?}");
}

#[tokio::test]
async fn b3_a_stored_schedule_that_is_refused_is_told() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    let leader = a.apply("acme", "publisher").await;
    let refused = scheduled(&leader, ScheduleSpec::new("0 0 31 2 *"));
    Registry::new(sessions.clone(), Layout::new("/zoo")).apply(&refused).await.unwrap();
    let (status, answer) = a.ask(Method::GET, "/v1/jobs/acme/nightly/next", b"").await;
    let error = "job `acme/nightly` doesn't tick: schedule `0 0 31 2 *` is not valid: it never ticks";
    assert_eq!((status, &answer["error"]), (StatusCode::CONFLICT, &json!(error)));
    let jobs = a.get("/v1/jobs").await;
    assert_eq!((&jobs[0]["name"], &jobs[0]["next_tick"]), (&json!("nightly"), &Value::Null));
}

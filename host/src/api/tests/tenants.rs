//! What tenants are set, through the API.

use super::*;

#[tokio::test]
async fn a_tenant_is_set_limits_and_weight_and_listed_with_its_jobs() {
    let sessions = sessions().await;
    let (a, b) = (host("a", &sessions).await, host("b", &sessions).await);
    let defaults = json!({"max_running": null, "runs_per_minute": null, "max_waiting": null, "weight": 1});
    assert_eq!(a.get("/v1/tenants").await, json!([]));
    assert_eq!(a.get("/v1/tenants/zoo").await, defaults);
    a.apply("acme", "publisher").await;
    let set = json!({"max_running": 3, "runs_per_minute": null, "max_waiting": null, "weight": 7});
    let (status, answer) = a.ask(Method::PUT, "/v1/tenants/zoo", br#"{"max_running": 3, "weight": 7}"#).await;
    assert_eq!((status, &answer), (StatusCode::OK, &set));
    assert_eq!(b.get("/v1/tenants/zoo").await, set);
    let row = |tenant: &str, jobs: u32, settings: &Value| {
        let mut row = settings.clone();
        (row["tenant"], row["jobs"]) = (tenant.into(), jobs.into());
        row
    };
    assert_eq!(b.get("/v1/tenants").await, json!([row("acme", 1, &defaults), row("zoo", 0, &set)]));
    assert_eq!(b.ask(Method::DELETE, "/v1/tenants/zoo", b"").await.0, StatusCode::NO_CONTENT);
    assert_eq!(a.get("/v1/tenants").await, json!([row("acme", 1, &defaults)]));
}

#[tokio::test]
async fn where_a_tenants_signers_are_set_a_component_is_asked_for_its_signature() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    let spec = a.apply("acme", "publisher").await;
    let signer = format!("ed25519:{}", "07".repeat(32));
    let settings = json!({"signers": [signer]}).to_string();
    let (status, answer) = a.ask(Method::PUT, "/v1/tenants/acme", settings.as_bytes()).await;
    assert_eq!((status, &answer["signers"]), (StatusCode::OK, &json!([signer])));
    let job = serde_json::to_vec(&spec).unwrap();
    let asked = [("/v1/components?tenant=acme", b"\0asm".as_slice()), ("/v1/jobs/acme/publisher", &job)];
    for (path, body) in asked {
        let (status, refused) = a.ask(Method::PUT, path, body).await;
        assert_eq!((status, &refused["error"]), (StatusCode::BAD_REQUEST, &json!("nobody signed it")), "{path}");
    }
    assert_eq!(a.ask(Method::PUT, "/v1/components?tenant=zoo", b"\0asm").await.0, StatusCode::OK);
}

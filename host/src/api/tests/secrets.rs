//! What goes into the API and never comes out of it.

use super::*;

const SECRET: &[u8] = b"correct horse battery staple";

#[tokio::test]
async fn a_secret_is_set_listed_by_name_and_never_told() {
    let sessions = sessions().await;
    let (a, b) = (host("a", &sessions).await, host("b", &sessions).await);
    let path = "/v1/tenants/acme/secrets/token";
    assert_eq!(a.ask(Method::PUT, path, SECRET).await.0, StatusCode::NO_CONTENT);
    for host in [&a, &b] {
        let listed = host.get("/v1/tenants/acme/secrets").await;
        assert_eq!(listed[0]["name"], "token");
        assert_eq!(listed[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["key", "name", "set"]);
        for method in [Method::GET, Method::POST, Method::PATCH] {
            assert_eq!(host.ask(method.clone(), path, b"").await.0, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        }
        for (method, body) in [(Method::GET, &b""[..]), (Method::PUT, SECRET)] {
            let (_, answer) = host.send(method, path, &format!("Host: {}\r\n", host.address), body).await;
            let told = answer.windows(SECRET.len()).any(|part| part == SECRET);
            assert!(!told, "{}", String::from_utf8_lossy(&answer));
        }
    }
    assert_eq!(a.ask(Method::DELETE, path, b"").await.0, StatusCode::NO_CONTENT);
    assert_eq!(b.ask(Method::DELETE, path, b"").await.0, StatusCode::NOT_FOUND);
}

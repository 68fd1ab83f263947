//! The forms of a URI, and the headers that a request has beside its guest's.

use super::*;

/// The head of the request that a target saw last.
fn head(target: &Target) -> String {
    target.seen().pop().unwrap_or_default()
}

#[tokio::test]
async fn w10_a_uri_in_any_form_reaches_its_target() {
    let target = Target::start(OK).await;
    let mut caller = caller(&[&target.url("")]);
    let (host, port) = target.authority.split_once(':').unwrap();
    for (uri, path) in [
        (format!("http://{host}:{port}?q=1"), "/?q=1"),
        (format!("http://{host}:{port}"), "/"),
        (format!("HTTP://{host}:{port}/a"), "/a"),
        (format!("http://{host}.:{port}/a"), "/a"),
        (format!("http://{host}:0{port}/a//b?"), "/a//b?"),
        (format!("http://{host}:{port}//a"), "//a"),
    ] {
        assert!(caller.send(request(&uri)).await.is_ok(), "{uri}");
        let head = head(&target);
        assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{uri}: {head}");
        assert!(head.contains(&format!("\r\nhost: {}\r\n", target.authority)), "{uri}: {head}");
    }
    let mut star = Request::options(target.url("/"));
    let uri = Uri::builder().scheme("http").authority(&*target.authority).path_and_query("*").build().unwrap();
    star = star.uri(uri);
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    assert!(matches!(caller.send(star.body(body).unwrap()).await, Err(Error::HttpRequestUriInvalid)));
}

/// In the words that a grant is refused with, and without the password.
#[tokio::test]
async fn w10_a_uri_that_goes_nowhere_is_denied_with_the_reason() {
    let mut caller = caller(&["http://h.example"]);
    for (uri, place, why) in [
        ("http://me:secret@h.example/", "http://h.example", "it must have no user and no password"),
        ("http://h.example:0/", "http://h.example:0", "its port must be from 1 to 65535"),
        ("http://h.example:99999/", "http://h.example:99999", "its port must be from 1 to 65535"),
        ("http://h..example/", "http://h..example", "its host must be a name, an IPv4 address"),
        ("http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]", "its address must have no zone"),
        ("ftp://h.example/", "ftp://h.example", "it must begin with `http://` or `https://`"),
    ] {
        assert_eq!(caller.refusal(uri).await, "HttpRequestDenied", "{uri}");
        let said = caller.said().pop().unwrap();
        assert!(said.starts_with(&format!("request to `{place}` is denied: {why}")), "{uri}: {said}");
    }
}

#[tokio::test]
async fn w10_a_request_that_could_have_a_body_says_that_it_has_none() {
    let target = Target::start(OK).await;
    let mut caller = caller(&[&target.url("")]);
    for (method, says) in [
        (Method::POST, true),
        (Method::PUT, true),
        (Method::PATCH, true),
        (Method::GET, false),
        (Method::DELETE, false),
        (Method::OPTIONS, false),
    ] {
        let mut request = request(&target.url("/"));
        *request.method_mut() = method.clone();
        caller.send(request).await.unwrap();
        let head = head(&target);
        assert_eq!(head.contains("\r\ncontent-length: 0\r\n"), says, "{method}: {head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
}

/// However it came there: the guest can't set it.
#[tokio::test]
async fn s11_a_forged_header_does_not_leave_the_host() {
    let target = Target::start(OK).await;
    let mut caller = caller(&[&target.url("")]);
    let mut forged = request(&target.url("/"));
    for name in ["silverback_token", "Silverback_Tenant", "silverback.token", "silverback-other", "transfer_encoding"] {
        forged.headers_mut().insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("forged"));
    }
    caller.send(forged).await.unwrap();
    let head = head(&target);
    assert!(!head.contains("forged"), "{head}");
    for line in [&*format!("silverback-token: {TOKEN}"), "silverback-tenant: acme"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn s11_a_forged_trailer_does_not_leave_the_host() {
    let mute = Target::start("").await;
    let mut caller = caller(&[&mute.url("")]);
    let mut trailers = hyper::HeaderMap::new();
    for (name, value) in [("silverback-token", "forged"), ("silverback_tenant", "forged"), ("colour", "silver")] {
        trailers.insert(name, HeaderValue::from_static(value));
    }
    let frames = [Frame::data(Bytes::from_static(b"body")), Frame::trailers(trailers)].map(Ok::<_, Error>);
    let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
    let names = "silverback-token, silverback_tenant, colour";
    let request = Request::post(mute.url("/")).header("trailer", names).body(body).unwrap();
    let sending = tokio::spawn(caller.sending(request));
    let seen = loop {
        match mute.seen().pop() {
            Some(seen) if seen.contains("\r\n0\r\n") && seen.ends_with("\r\n\r\n") => break seen,
            _ => tokio::task::yield_now().await,
        }
    };
    assert!(seen.contains("colour: silver") && !seen.contains("forged"), "{seen}");
    sending.abort();
}

//! A guest that sends a request: what it takes from the guest's call to the target and back, and what ends on the way.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::End;
use super::admission::{RUN, changed, foreign};
use super::ends::{Bench, HANGS};
use crate::capability::fakes::TOKEN;

const AMPLE: Duration = Duration::from_secs(60);
/// The place of `HTTP-request-denied` among the codes.
const DENIED: u8 = 15;
/// The place of `connection-limit-reached`.
const LIMIT_REACHED: u8 = 11;

/// What the guest needs of WASI, in bare signatures. A resource that it only hands on has no methods here.
const WASI: &str = "
    package wasi:io@0.2.3 {
        interface poll { resource pollable { block: func(); } }
    }
    package wasi:http@0.2.3 {
        interface types {
            use wasi:io/poll@0.2.3.{pollable};
            variant scheme { HTTP, HTTPS, other(string) }
            record DNS-error-payload { rcode: option<string>, info-code: option<u16> }
            record TLS-alert-received-payload { alert-id: option<u8>, alert-message: option<string> }
            record field-size-payload { field-name: option<string>, field-size: option<u32> }
            variant error-code {
                DNS-timeout, DNS-error(DNS-error-payload), destination-not-found, destination-unavailable,
                destination-IP-prohibited, destination-IP-unroutable, connection-refused, connection-terminated,
                connection-timeout, connection-read-timeout, connection-write-timeout, connection-limit-reached,
                TLS-protocol-error, TLS-certificate-error, TLS-alert-received(TLS-alert-received-payload),
                HTTP-request-denied, HTTP-request-length-required, HTTP-request-body-size(option<u64>),
                HTTP-request-method-invalid, HTTP-request-URI-invalid, HTTP-request-URI-too-long,
                HTTP-request-header-section-size(option<u32>), HTTP-request-header-size(option<field-size-payload>),
                HTTP-request-trailer-section-size(option<u32>), HTTP-request-trailer-size(field-size-payload),
                HTTP-response-incomplete, HTTP-response-header-section-size(option<u32>),
                HTTP-response-header-size(field-size-payload), HTTP-response-body-size(option<u64>),
                HTTP-response-trailer-section-size(option<u32>), HTTP-response-trailer-size(field-size-payload),
                HTTP-response-transfer-coding(option<string>), HTTP-response-content-coding(option<string>),
                HTTP-response-timeout, HTTP-upgrade-failed, HTTP-protocol-error, loop-detected, configuration-error,
                internal-error(option<string>),
            }
            resource fields { constructor(); }
            resource request-options;
            resource outgoing-request {
                constructor(headers: fields);
                set-scheme: func(scheme: option<scheme>) -> result;
                set-authority: func(authority: option<string>) -> result;
                set-path-with-query: func(path: option<string>) -> result;
            }
            resource incoming-response { status: func() -> u16; }
            resource future-incoming-response {
                subscribe: func() -> pollable;
                get: func() -> option<result<result<incoming-response, error-code>>>;
            }
        }
        interface outgoing-handler {
            use types.{outgoing-request, request-options, future-incoming-response, error-code};
            handle: func(request: outgoing-request, options: option<request-options>)
                -> result<future-incoming-response, error-code>;
        }
    }";

/// What makes a request, for a core module.
const REQUEST: &str = r#"(import "wasi:http/types@0.2.3" "[constructor]fields" (func $fields (result i32)))
        (import "wasi:http/types@0.2.3" "[constructor]outgoing-request" (func $new (param i32) (result i32)))
        (import "wasi:http/types@0.2.3" "[method]outgoing-request.set-scheme"
            (func $set-scheme (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.3" "[method]outgoing-request.set-authority"
            (func $set-authority (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.3" "[method]outgoing-request.set-path-with-query"
            (func $set-path (param i32 i32 i32 i32) (result i32)))"#;

/// Sends one request, and returns one byte: the lowest of the response's status, or the place of the error's code.
fn calling_guest(authority: &str) -> Vec<u8> {
    guest_that_sets(None, authority, Some("/"))
}

/// The same, with a scheme by name in place of `http`, and with any path or none. It traps where the host refuses one of them.
fn guest_that_sets(scheme: Option<&str>, authority: &str, path: Option<&str>) -> Vec<u8> {
    let imports = format!(
        r#"{REQUEST}
        (import "wasi:http/outgoing-handler@0.2.3" "handle" (func $handle (param i32 i32 i32 i32)))
        (import "wasi:http/types@0.2.3" "[method]future-incoming-response.subscribe"
            (func $subscribe (param i32) (result i32)))
        (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:http/types@0.2.3" "[method]future-incoming-response.get" (func $get (param i32 i32)))
        (import "wasi:http/types@0.2.3" "[method]incoming-response.status" (func $status (param i32) (result i32)))
        (data (i32.const 512) "{authority}")
        (data (i32.const 640) "{}")
        (data (i32.const 768) "{}")"#,
        path.unwrap_or_default(),
        scheme.unwrap_or_default(),
    );
    let length = authority.len();
    let (has_path, path_length) = (u8::from(path.is_some()), path.map_or(0, str::len));
    // `http` is 0 among the schemes, and another's name 2.
    let (kind, scheme_length) = scheme.map_or((0, 0), |scheme| (2, scheme.len()));
    let is_set = |set: String| format!("(if {set} (then (unreachable)))");
    let sets = [
        format!(
            "(call $set-scheme (local.get $request) (i32.const 1) (i32.const {kind}) (i32.const 768) (i32.const {scheme_length}))"
        ),
        format!("(call $set-authority (local.get $request) (i32.const 1) (i32.const 512) (i32.const {length}))"),
        format!(
            "(call $set-path (local.get $request) (i32.const {has_path}) (i32.const 640) (i32.const {path_length}))"
        ),
    ];
    let sets: String = sets.into_iter().map(is_set).collect();
    // `handle` leaves its verdict at 3072 and the future, or the code, at 3080. `get` leaves at 3072 that there is a
    // response, at 3080 that it is the first time, at 3088 its verdict, and at 3096 the response, or the code.
    let body = format!(
        r"(local $request i32) (local $future i32)
        (local.set $request (call $new (call $fields)))
        {sets}
        (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 3072))
        (if (i32.load8_u (i32.const 3072)) (then (unreachable)))
        (local.set $future (i32.load (i32.const 3080)))
        (call $block (call $subscribe (local.get $future)))
        (call $get (local.get $future) (i32.const 3072))
        (i32.store8 (i32.const 1024) (if (result i32) (i32.load8_u (i32.const 3088))
            (then (i32.load8_u (i32.const 3096)))
            (else (call $status (i32.load (i32.const 3096))))))
        (i32.const 16)"
    );
    let imported = "import wasi:io/poll@0.2.3; import wasi:http/types@0.2.3; import wasi:http/outgoing-handler@0.2.3;";
    foreign(&(changed(&[("import leadership;", imported)]) + WASI), &imports, RUN, &body)
}

/// Sets each part of a request once as long as it may be and once longer, and returns a byte for each: 1 where it was refused.
fn setting_guest() -> Vec<u8> {
    let imports = format!(
        r#"{REQUEST}
        (import "wasi:http/types@0.2.3" "[method]outgoing-request.set-method"
            (func $set-method (param i32 i32 i32 i32) (result i32)))"#
    );
    let set = |call: &str, place: u32| format!("(i32.store8 (i32.const {place}) (call {call}))");
    let of = |place: u32, length: u32| format!("(i32.const {place}) (i32.const {length})");
    let (path, name) = (4096, 4097);
    let sets = [
        format!("$set-path (local.get $request) (i32.const 1) {}", of(path, 8000)),
        format!("$set-path (local.get $request) (i32.const 1) {}", of(path, 8001)),
        format!("$set-authority (local.get $request) (i32.const 1) {}", of(name, 8000)),
        format!("$set-authority (local.get $request) (i32.const 1) {}", of(name, 8001)),
        format!("$set-method (local.get $request) (i32.const 9) {}", of(name, 8000)),
        format!("$set-method (local.get $request) (i32.const 9) {}", of(name, 8001)),
        format!("$set-scheme (local.get $request) (i32.const 1) (i32.const 2) {}", of(name, 60)),
        format!("$set-scheme (local.get $request) (i32.const 1) (i32.const 2) {}", of(name, 8001)),
    ];
    let calls: String = (1024..).zip(&sets).map(|(place, call)| set(call, place)).collect();
    let body = format!(
        "(local $request i32)
        (memory.fill (i32.const {path}) (i32.const 97) (i32.const 9000)) (i32.store8 (i32.const {path}) (i32.const 47))
        (local.set $request (call $new (call $fields))) {calls}
        (i32.store (i32.const 24) (i32.const 8)) (i32.const 16)"
    );
    let wit = WASI.replace(
        "set-scheme: func",
        "set-method: func(method: method) -> result;
                set-scheme: func",
    );
    let wit = wit.replace(
        "variant scheme {",
        "variant method { get, head, post, put, delete, connect, options, trace, patch, other(string) }
            variant scheme {",
    );
    foreign(&(changed(&[("import leadership;", "import wasi:http/types@0.2.3;")]) + &wit), &imports, RUN, &body)
}

/// The host keeps them, and they are nobody's memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_sets_of_a_request_is_bounded() {
    let ended = Bench::new(4, AMPLE).run(&setting_guest()).await;
    assert_eq!(ended, End::Returned(vec![0, 1, 0, 1, 0, 1, 0, 1]));
}

/// Runs of a guest that may call this listener.
async fn bench() -> (Bench, TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let mut bench = Bench::new(4, AMPLE);
    bench.http.allow = vec![format!("http://{authority}").parse().unwrap()];
    (bench, listener, authority)
}

/// The head of the next request, and its connection.
async fn request(listener: &TcpListener) -> (String, TcpStream) {
    let (mut stream, _) = tokio::time::timeout(HANGS, listener.accept()).await.expect("a request comes").unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.unwrap()));
    }
    (head, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_a_guest_goes_out_with_its_token_and_comes_back() {
    let (bench, listener, authority) = bench().await;
    let answering = async {
        let (head, mut stream) = request(&listener).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        head
    };
    let guest = calling_guest(&authority);
    let (end, head) = tokio::join!(bench.run(&guest), answering);
    assert_eq!(end, End::Returned(vec![204]));
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    for line in [format!("silverback-token: {TOKEN}\r\n"), format!("host: {authority}\r\n")] {
        assert!(head.contains(&line), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_not_granted_is_denied() {
    let (mut bench, _listener, authority) = bench().await;
    bench.http.allow.clear();
    assert_eq!(bench.run(&calling_guest(&authority)).await, End::Returned(vec![DENIED]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_ends_with_its_term_and_the_term_not_before_it() {
    let (bench, listener, authority) = bench().await;
    let run = bench.start(&calling_guest(&authority));
    let (_, mut stream) = request(&listener).await;
    let vacated = tokio::time::timeout(Duration::from_millis(50), bench.gate.vacated());
    assert!(vacated.await.is_err(), "a request is under way");
    bench.gate.end();
    assert_eq!(run.ended().await.end, End::LostLeadership);
    bench.gate.vacated().await;
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "its connection is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_of_a_tenant_have_as_many_requests_as_it_was_allowed() {
    let (mut bench, listener, authority) = bench().await;
    bench.max_requests = Some(1);
    let guest = calling_guest(&authority);
    let first = bench.start(&guest);
    let (_, mut stream) = request(&listener).await;
    assert_eq!(bench.run(&guest).await, End::Returned(vec![LIMIT_REACHED]));
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(first.ended().await.end, End::Returned(vec![204]));
}

/// Without any library: the host makes of each what RFC 3986 says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_a_request_in_any_form_goes_out_as_it_should() {
    let (bench, listener, authority) = bench().await;
    for (scheme, path, line) in [
        (None, None, "GET / HTTP/1.1"),
        (None, Some(""), "GET / HTTP/1.1"),
        (None, Some("?q=1"), "GET /?q=1 HTTP/1.1"),
        (Some("HTTP"), Some("/a b?ü"), "GET /a%20b?%C3%BC HTTP/1.1"),
        (Some("http"), Some("/a#b"), "GET /a HTTP/1.1"),
        (Some("Http"), Some("//a"), "GET //a HTTP/1.1"),
    ] {
        let answering = async {
            let (head, mut stream) = request(&listener).await;
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            head
        };
        let guest = guest_that_sets(scheme, &authority, path);
        let (end, head) = tokio::join!(bench.run(&guest), answering);
        assert_eq!(end, End::Returned(vec![204]), "{path:?}");
        assert!(head.starts_with(&format!("{line}\r\n")), "{path:?}: {head}");
        assert!(head.contains(&format!("\r\nhost: {authority}\r\n")), "{head}");
    }
    let encoded = format!("127%2e0%2E0.%31:{}", authority.rsplit_once(':').unwrap().1);
    let (end, (_, mut stream)) =
        tokio::join!(async { bench.start(&guest_that_sets(None, &encoded, None)) }, request(&listener));
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(end.ended().await.end, End::Returned(vec![204]));
}

/// The run's log says why, since the guest has no words for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_what_no_request_can_have_is_refused_when_it_is_set() {
    let (bench, _listener, authority) = bench().await;
    for (authority, path) in [
        (&*authority, Some("a/b")),
        (&authority, Some("*")),
        (&authority, Some("http://other.example/")),
        (&authority, Some("/\\0a")),
        ("b\u{fc}cher.example", Some("/")),
        ("h example", Some("/")),
        ("h%2fexample", Some("/")),
    ] {
        let End::Trapped { message } = bench.run(&guest_that_sets(None, authority, path)).await else {
            panic!("{authority} {path:?} was taken");
        };
        assert!(message.contains("unreachable"), "{authority} {path:?}: {message}");
    }
}

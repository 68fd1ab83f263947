mod forms;
mod lengths;
mod times;

use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::capability::fakes::{FakeClock, TOKEN, collect, reach, term, unmetered};
use crate::capability::residue::gives_back;
use crate::history::LogLine;
use crate::registry::{Ceilings, Limit, Limits};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// The first byte of whoever speaks TLS.
const TLS_HANDSHAKE: u8 = 0x16;

/// A target that gives everyone the same answer, and keeps what it was sent until the other side closed or waits.
struct Target {
    authority: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Target {
    /// Answers `answer` to each head, or to whoever begins with TLS, and closes; says nothing where it is empty.
    async fn start(answer: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let (answer, seen) = (answer.into(), Arc::<Mutex<Vec<String>>>::default());
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, answer) = (kept.clone(), answer.clone());
                tokio::spawn(async move {
                    let index = {
                        let mut kept = kept.lock().unwrap();
                        kept.push(String::new());
                        kept.len() - 1
                    };
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        kept.lock().unwrap()[index].push_str(&String::from_utf8_lossy(&bytes[..read]));
                        let whole = bytes[0] == TLS_HANDSHAKE || kept.lock().unwrap()[index].contains("\r\n\r\n");
                        if !answer.is_empty() && whole {
                            return stream.write_all(answer.as_bytes()).await.unwrap();
                        }
                    }
                    kept.lock().unwrap()[index].push_str("<closed>");
                });
            }
        });
        Target { authority, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// One run that was granted some origins, and what it says.
struct Caller {
    http: Http,
    gate: Arc<Gate>,
    lines: Arc<Mutex<Vec<LogLine>>>,
}

/// Where all targets of these tests are.
fn loopback() -> Ranges {
    vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()].into()
}

fn caller(allow: &[&str]) -> Caller {
    caller_reaching(allow, loopback())
}

fn caller_reaching(allow: &[&str], private: Ranges) -> Caller {
    let clock = FakeClock::new();
    let (gate, _) = term(clock.clone(), Duration::from_secs(60));
    let (sink, lines) = collect();
    let log = RunLog::new("acme/job/1".to_owned(), 1, sink, clock, usize::MAX);
    let allow = allow.iter().map(|origin| origin.parse().unwrap()).collect();
    let grants = HttpGrants { allow, ..HttpGrants::default() };
    let http = Http::new(reach(grants, private), gate.clone(), log, unmetered());
    Caller { http, gate, lines }
}

fn request(url: &str) -> Request<WasiBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(url).body(body).unwrap()
}

impl Caller {
    fn sending(&mut self, request: Request<WasiBody>) -> impl Future<Output = Sending> + Send + 'static {
        Box::into_pin(self.http.open().1.send_request(request, None, Box::new(async { Ok(()) })))
    }

    /// Sends, and reads the response to its end.
    async fn send(&mut self, request: Request<WasiBody>) -> Result<Response<Bytes>, Error> {
        let (response, ending) = self.sending(request).await?;
        let driven = tokio::spawn(Box::into_pin(ending));
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        driven.await.unwrap()?;
        Ok(Response::from_parts(head, body))
    }

    /// How a request fails.
    async fn refusal(&mut self, url: &str) -> String {
        format!("{:?}", self.send(request(url)).await.map(|response| response.status()).unwrap_err())
    }

    fn said(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().map(|line| line.message.clone()).collect()
    }
}

#[tokio::test]
async fn a_granted_request_goes_out_with_the_token_and_the_hosts_own_headers() {
    let target = Target::start(OK).await;
    let mut caller = caller(&[&target.url("")]);
    let mut forged = request(&target.url("/a?b=c"));
    forged.headers_mut().insert("silverback-token", HeaderValue::from_static("forged"));
    forged.headers_mut().insert("host", HeaderValue::from_static("elsewhere"));
    forged.headers_mut().insert("colour", HeaderValue::from_static("silver"));
    let response = caller.send(forged).await.unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, &b"hi"[..]));
    let seen = &target.seen()[0];
    assert!(seen.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{seen}");
    let host = format!("host: {}", target.authority);
    for line in [&*format!("silverback-token: {TOKEN}"), "silverback-tenant: acme", &host, "colour: silver"] {
        assert!(seen.contains(&format!("\r\n{line}\r\n")), "`{line}` is missing in {seen}");
    }
    assert!(!seen.contains("forged") && !seen.contains("elsewhere"), "{seen}");
}

/// Those that are the host's own can't be set.
#[test]
fn wasmtime_13801_a_guest_sets_a_forbidden_header() {
    gives_back(async || {
        let mut caller = caller(&[]);
        for name in [
            "silverback-token",
            "silverback-tenant",
            "silverback_token",
            "silverback_tenant",
            "silverback-other",
            "host",
            "connection",
            "transfer-encoding",
            "upgrade",
            "proxy-authorization",
        ] {
            let name = HeaderName::from_static(name);
            assert!(caller.http.open().1.is_forbidden_header(&name), "{name}");
            assert!(caller.http.open().1.forbidden_header_filter()(&name), "{name}");
        }
        assert!(!caller.http.open().1.is_forbidden_header(&HeaderName::from_static("content-type")));
    });
}

/// What is not granted is denied and told, and nothing is connected.
#[test]
fn spin_2492_and_3016_a_request_skips_the_allow_list() {
    gives_back(async || {
        let target = Target::start(OK).await;
        let mut caller = caller(&[&target.url(""), "https://api.example.com"]);
        let port = target.authority.strip_prefix("127.0.0.1:").unwrap().to_owned();
        let denied = [
            format!("https://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("http://me@127.0.0.1:{port}/"),
            format!("http://[::ffff:127.0.0.1]:{port}/"),
            "http://127.0.0.1/".to_owned(),
            "http://api.example.com:443/".to_owned(),
            "https://www.api.example.com/".to_owned(),
            "https://api.example.com:99999/".to_owned(),
            "ftp://api.example.com/".to_owned(),
        ];
        for url in &denied {
            assert_eq!(caller.refusal(url).await, "HttpRequestDenied", "{url}");
        }
        let mut tunnel = request(&target.url("/"));
        *tunnel.method_mut() = Method::CONNECT;
        assert!(matches!(caller.send(tunnel).await, Err(Error::HttpRequestDenied)));
        let said = caller.said();
        assert_eq!(said.len(), denied.len() + 1, "{said:#?}");
        let granted = format!("{:?}, \"https://api.example.com:443\"", target.url(""));
        let line = format!("allow = [{granted}, \"http://127.0.0.1:80\"]");
        let why = "request to `http://127.0.0.1:80` is denied: the job's http.allow doesn't name it";
        assert_eq!(said[4], format!("{why} (in job.toml, under [http]: {line})"));
        let written = toml::from_str::<toml::Table>(&format!("[http]\n{line}")).unwrap();
        assert_eq!(written["http"]["allow"].as_array().unwrap().len(), 3, "it can be taken as it is");
        assert!(target.seen().is_empty(), "{:?}", target.seen());
    });
}

/// It is given back to the guest as it is, wherever it leads.
#[test]
fn extism_a_redirect_is_followed_past_the_allow_list() {
    gives_back(async || {
        let elsewhere = Target::start(OK).await;
        let location = elsewhere.url("/secret");
        let target =
            Target::start(format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")).await;
        let mut caller = caller(&[&target.url(""), &elsewhere.url("")]);
        let response = caller.send(request(&target.url("/"))).await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["location"]), (302, &location.parse().unwrap()));
        assert!(elsewhere.seen().is_empty());
    });
}

#[tokio::test]
async fn a_closed_gate_holds_a_request_and_an_ended_one_refuses_it() {
    let target = Target::start(OK).await;
    let mut caller = caller(&[&target.url("")]);
    caller.gate.close();
    let held = tokio::spawn(caller.sending(request(&target.url("/held"))));
    let gate = caller.gate.clone();
    tokio::task::yield_now().await;
    assert!(target.seen().is_empty());
    gate.open();
    assert_eq!(held.await.unwrap().unwrap().0.status().as_u16(), 200);

    gate.close();
    let unproven = tokio::spawn(caller.sending(request(&target.url("/unproven"))));
    let error = unproven.await.unwrap().map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::InternalError(Some(told)) if told.starts_with("unproven: ")), "{error:?}");

    gate.end();
    assert_eq!(caller.refusal(&target.url("/late")).await, "InternalError(Some(\"refused: leadership is lost\"))");
    assert_eq!(target.seen().len(), 1, "{:?}", target.seen());
}

#[tokio::test]
async fn a_term_is_not_vacated_while_a_request_is_under_way() {
    let mute = Target::start("").await;
    let mut caller = caller(&[&mute.url("")]);
    let gate = caller.gate.clone();
    let waiting = tokio::spawn(caller.sending(request(&mute.url("/"))));
    drop(caller);
    tokio::select! {
        biased;
        () = gate.vacated() => panic!("a request is under way"),
        () = tokio::task::yield_now() => {}
    }
    waiting.abort();
    gate.vacated().await;
}

#[tokio::test]
async fn a_run_has_so_many_requests_at_once_and_no_more() {
    let mute = Target::start("").await;
    let mut caller = caller(&[&mute.url("")]);
    let url = mute.url("/");
    let waiting: Vec<_> = (0..MAX_REQUESTS).map(|_| tokio::spawn(caller.sending(request(&url)))).collect();
    tokio::task::yield_now().await;
    assert_eq!(caller.refusal(&url).await, "ConnectionLimitReached");
    assert_eq!(caller.said(), ["request is refused: the run has 16 under way, and may have no more at once"]);
    for one in waiting {
        one.abort();
        assert!(one.await.is_err());
    }
    let again = tokio::spawn(caller.sending(request(&url)));
    tokio::task::yield_now().await;
    assert!(!again.is_finished(), "there is room again");
}

/// Whichever of its runs they are of.
#[tokio::test]
async fn a_tenant_has_so_many_requests_at_once_and_no_more() {
    let mute = Target::start("").await;
    let (mut first, mut second) = (caller(&[&mute.url("")]), caller(&[&mute.url("")]));
    first.http.reach.max_requests = Some(1);
    second.http.reach = first.http.reach.clone();
    let waiting = tokio::spawn(first.sending(request(&mute.url("/"))));
    tokio::task::yield_now().await;
    assert_eq!(second.refusal(&mute.url("/")).await, "ConnectionLimitReached");
    assert_eq!(second.said(), ["request is refused: tenant `acme` has 1 under way, and may have no more at once"]);
    waiting.abort();
}

/// The target has answered all of it, and the guest goes on with its body.
#[tokio::test]
async fn a_connection_that_stays_open_counts_as_the_request_that_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            streams.push(stream);
        }
    });
    let mut caller = caller(&[&url]);
    let mut open = Vec::new();
    for _ in 0..MAX_REQUESTS {
        let endless = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Error>>()).boxed_unsync();
        let (response, ending) = caller.sending(Request::post(&url).body(endless).unwrap()).await.unwrap();
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        open.push(Box::into_pin(ending));
    }
    assert_eq!(caller.refusal(&url).await, "ConnectionLimitReached");
    drop(open);
    assert!(caller.send(request(&url)).await.is_ok(), "there is room again");
}

#[tokio::test]
async fn what_the_target_answers_counts_as_what_the_run_transfers() {
    let target = Target::start(format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{}", "x".repeat(5000))).await;
    let mut caller = caller(&[&target.url("")]);
    let limits = Limits::SCHEDULED.with(Limit::TransferBytes, 2000);
    caller.http.meter = Meter::new(limits.of_run(true, &Ceilings::NONE));
    assert_eq!(caller.refusal(&target.url("/")).await, "ConnectionTerminated");
    let over = caller.http.meter.over().unwrap();
    assert!(over.limit == Limit::TransferBytes && over.used.unwrap() > 2000, "{over:?}");
}

/// The head before it is sent, the body as it is.
#[tokio::test]
async fn what_a_run_sends_counts_as_what_it_transfers() {
    let mute = Target::start("").await;
    let bounded = || {
        let mut caller = caller(&[&mute.url("")]);
        let limits = Limits::SCHEDULED.with(Limit::TransferBytes, 2000);
        caller.http.meter = Meter::new(limits.of_run(true, &Ceilings::NONE));
        caller
    };
    let mut caller = bounded();
    let long = format!("/{}", "x".repeat(2000));
    assert_eq!(caller.refusal(&mute.url(&long)).await, "HttpRequestDenied");
    assert_eq!(caller.http.meter.over().unwrap().limit, Limit::TransferBytes);
    assert!(mute.seen().is_empty(), "nothing is connected to");

    let mut caller = bounded();
    let parts = (0..5).map(|_| Ok::<_, Error>(Frame::data(Bytes::from(vec![b'x'; 500]))));
    let body = StreamBody::new(futures::stream::iter(parts)).boxed_unsync();
    assert!(caller.send(Request::post(mute.url("/")).body(body).unwrap()).await.is_err());
    let over = caller.http.meter.over().unwrap();
    assert!(over.limit == Limit::TransferBytes && over.used.unwrap() > 2000, "{over:?}");
}

#[tokio::test]
async fn a_request_without_a_response_may_have_been_done() {
    let long = "x".repeat(MAX_HEAD_BYTES);
    let many = "a: b\r\n".repeat(MAX_HEADERS + 1);
    for (answer, why) in [
        (format!("HTTP/1.1 200 OK\r\nlong: {long}\r\n\r\n"), "HTTP response header section size exceeds limit"),
        (format!("HTTP/1.1 200 OK\r\n{many}\r\n"), "HTTP response header section size exceeds limit"),
        ("HTTP/1.1 200 OK\r\n".to_owned(), "incomplete HTTP response"),
        ("no http at all\r\n\r\n".to_owned(), "HTTP protocol error"),
    ] {
        let target = Target::start(answer).await;
        let told = format!("InternalError(Some(\"unknown: no answer says whether it was done ({why})\"))");
        assert_eq!(caller(&[&target.url("")]).refusal(&target.url("/")).await, told);
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_is_told_in_the_words_of_http() {
    for answer in ["content-length: 9\r\n\r\nhi", "transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"] {
        let target = Target::start(format!("HTTP/1.1 200 OK\r\n{answer}")).await;
        assert_eq!(caller(&[&target.url("")]).refusal(&target.url("/")).await, "HttpResponseIncomplete");
    }
}

#[tokio::test]
async fn a_target_that_is_not_there_and_one_without_tls_fail_cleanly() {
    let plain = Target::start("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let url = format!("https://{}", plain.authority);
    assert_eq!(caller(&[&url]).refusal(&url).await, "TlsProtocolError");
    // Port 1 of loopback: nobody listens, and no parallel test is given it.
    let url = "http://127.0.0.1:1";
    assert_eq!(caller(&[url]).refusal(url).await, "ConnectionRefused");
    let nowhere = caller(&["http://nowhere.invalid"]).refusal("http://nowhere.invalid/").await;
    assert!(nowhere.starts_with("DnsError"), "{nowhere}");
}

#[tokio::test]
async fn a_body_breaks_off_and_does_not_end_when_its_run_or_its_term_does() {
    let ends: [fn(Caller); 2] = [drop, |caller| caller.gate.end()];
    for end in ends {
        let mute = Target::start("").await;
        let mut caller = caller(&[&mute.url("")]);
        let (parts, body) = tokio::sync::mpsc::unbounded_channel::<&'static [u8]>();
        let frames = futures::stream::unfold(body, |mut body| async {
            let part = body.recv().await?;
            Some((Ok::<_, Error>(Frame::data(Bytes::from_static(part))), body))
        });
        let request = Request::post(mute.url("/")).body(StreamBody::new(frames).boxed_unsync()).unwrap();
        let waiting = tokio::spawn(caller.sending(request));
        parts.send(b"half of a body").unwrap();
        let seen = async |wanted: &str| {
            while !mute.seen().first().is_some_and(|seen| seen.contains(wanted)) {
                tokio::task::yield_now().await;
            }
        };
        seen("half of a body").await;
        end(caller);
        // As the guest's end looks to the body: its other side is gone.
        drop(parts);
        assert!(waiting.await.unwrap().is_err());
        seen("<closed>").await;
        assert!(!mute.seen()[0].contains("\r\n0\r\n"), "it looks whole: {:?}", mute.seen());
    }
}

#[tokio::test]
async fn of_a_targets_addresses_only_those_are_connected_to_that_may_be() {
    let mut caller = caller_reaching(&[], vec!["10.1.0.0/16".parse().unwrap()].into());
    let addresses = |ips: &[&str]| ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 80)).collect::<Vec<_>>();
    let target = Origin::of_request("http", "api.example.com").unwrap();
    let outlet = &caller.http.open().1.0;
    let found = addresses(&["127.0.0.1", "8.8.8.8", "10.0.0.1", "10.1.0.1", "169.254.169.254", "::1"]);
    assert_eq!(outlet.reachable(&target, found).unwrap(), addresses(&["8.8.8.8", "10.1.0.1"]));
    let refused = outlet.reachable(&target, addresses(&["192.168.0.1", "fe80::1"]));
    assert!(matches!(refused, Err(Error::DestinationIpProhibited)), "{refused:?}");
}

/// So would a redirect to the metadata of a cloud: the address counts, whatever it is called.
#[test]
fn dns_rebinding_a_granted_name_leads_to_a_private_address() {
    gives_back(async || {
        let target = Target::start(OK).await;
        let (_, port) = target.authority.split_once(':').unwrap();
        let origins = [
            format!("http://localhost:{port}"),
            format!("http://127.0.0.1:{port}"),
            format!("http://[::ffff:127.0.0.1]:{port}"),
        ];
        for origin in &origins {
            let mut stranger = caller_reaching(&[origin], Ranges::NONE);
            assert_eq!(stranger.refusal(&format!("{origin}/")).await, "DestinationIpProhibited", "{origin}");
            let said = stranger.lines.lock().unwrap()[0].message.clone();
            assert!(said.contains("no address of the public Internet") && !said.contains("::1"), "{said}");
            let mut friend =
                caller_reaching(&[origin], vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()].into());
            assert!(friend.sending(request(&format!("{origin}/"))).await.is_ok(), "{origin}");
        }
        assert_eq!(target.seen().len(), origins.len(), "nobody was called who must not be");
    });
}

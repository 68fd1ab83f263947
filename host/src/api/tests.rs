//! Two hosts over one coordinator, each with its own store: what one knows, the other answers too.

mod fake;
mod group;
mod next;
mod pause;
mod runs;
mod secrets;
mod tenants;

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::clock;
use crate::config::HostInfo;
use crate::coordinator::{Coordinator, CreateMode, Embedded, ensure_path};
use crate::history::{KEPT_RUNS, LogLevel, LogLine, Outcome, RunRecord, RunState};
use crate::registry::{Limits, Names, OnReturn, Problems, TermRules, Trigger, Vault};
use fake::Fake;

pub(crate) struct Host {
    pub(crate) address: String,
    fake: Arc<Fake>,
    history: History,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
    _store: TempDir,
}

pub(crate) async fn sessions() -> Sessions {
    let coordinator: Arc<dyn Coordinator> = Arc::new(Embedded::in_memory(clock::system(), Duration::from_secs(6)));
    Sessions::open(coordinator, PATIENCE).await.unwrap()
}

pub(crate) async fn host(name: &str, sessions: &Sessions) -> Host {
    let (folder, layout, clock) = (tempfile::tempdir().unwrap(), Layout::new("/zoo"), clock::system());
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let artifacts = Artifacts::new(store.clone());
    let history = History::new(store, name, clock.clone());
    let fake = Arc::new(Fake {
        host: name.to_owned(),
        artifacts: artifacts.clone(),
        resigned: Mutex::default(),
        drained: Mutex::default(),
        problems: Problems::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();

    let session = sessions.get(PATIENCE).await.unwrap();
    ensure_path(&*session, &layout.hosts()).await.unwrap();
    let info = HostInfo {
        host: name.to_owned(),
        address: address.clone(),
        version: "0.1.0".to_owned(),
        started: clock.wall(),
        store: history.store_id().await,
        drained: false,
        clock_offset_ms: None,
        clock_wrong: false,
        position: 0,
        problem: None,
        elections_led: 1,
        groups_led: 1,
        groups: 3,
        jobs_led: 0,
        session: HostInfo::session_text(session.id()),
    };
    let info = serde_json::to_vec(&info).unwrap();
    session.create(&layout.host(name), &info, CreateMode::Ephemeral).await.unwrap();

    let api = Api::new(ApiParts {
        host: name.to_owned(),
        registry: Registry::new(sessions.clone(), layout.clone()),
        secrets: Secrets::new(Some(Vault::read(&Vault::new_key()).unwrap()), layout.clone()),
        artifacts,
        history: history.clone(),
        sessions: sessions.clone(),
        layout,
        clock,
        cluster: fake.clone(),
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(api.serve(listener, async { drop(stopped.await) }));
    Host { address, fake, history, stop, served, _store: folder }
}

impl Host {
    /// One request, as raw as HTTP is.
    async fn send(&self, method: Method, path: &str, headers: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses early may have closed already.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (StatusCode::from_u16(status).unwrap(), answer.split_off(split + 4))
    }

    async fn ask(&self, method: Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let (status, body) = self.send(method, path, &format!("Host: {}\r\n", self.address), body).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask(Method::GET, path, b"").await;
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }

    /// Stores a component and a leader job with it.
    async fn apply(&self, tenant: &str, name: &str) -> JobSpec {
        let (status, stored) = self.ask(Method::PUT, "/v1/components?tenant=acme", b"\0asm").await;
        assert_eq!((status, &stored), (StatusCode::OK, &json!({"digest": Digest::of(b"\0asm")})));
        let spec = JobSpec {
            id: JobId::new(tenant, name).unwrap(),
            component: Digest::of(b"\0asm"),
            trigger: Trigger::Leader {
                election: None,
                names: Names::Kazoo,
                on_return: OnReturn::Requeue,
                rules: TermRules::default(),
            },
            limits: Limits::LEADER,
            config: BTreeMap::new(),
            secrets: Default::default(),
            http: Default::default(),
            paused: None,
        };
        let body = serde_json::to_vec(&spec).unwrap();
        let (status, applied) = self.ask(Method::PUT, &format!("/v1/jobs/{}", spec.id), &body).await;
        assert_eq!((status, applied), (StatusCode::OK, json!({"version": 0, "change": "created"})));
        spec
    }

    async fn ran(&self, job: &JobId, tick: &str, said: &[&str]) {
        let record = begun(job, tick, &self.fake.host);
        let (run, started) = (record.run.clone(), record.started);
        let handle = self.history.begin(job, record, KEPT_RUNS);
        for message in said {
            handle.log_sink()(LogLine {
                time: started,
                run: run.clone(),
                attempt: 1,
                level: LogLevel::Info,
                context: "test".to_owned(),
                message: (*message).to_owned(),
            });
        }
        handle.finish(Outcome::Succeeded, "", started, None).await;
    }
}

fn begun(job: &JobId, tick: &str, host: &str) -> RunRecord {
    let started: Timestamp = tick.parse().unwrap();
    RunRecord {
        run: format!("{job}/{tick}"),
        attempt: 1,
        tick: Some(started),
        host: host.to_owned(),
        token: 1,
        started,
        ended: None,
        outcome: None,
        detail: String::new(),
        usage: None,
    }
}

/// Writes to the coordinator that the tick's run succeeded.
async fn succeeded(sessions: &Sessions, job: &JobId, tick: &str) {
    let (begun, mut state) = (begun(job, tick, "b"), RunState::default());
    state.push(RunRecord { ended: Some(begun.started), outcome: Some(Outcome::Succeeded), ..begun });
    write_state(sessions, job, &state.to_bytes()).await;
}

async fn write_state(sessions: &Sessions, job: &JobId, state: &[u8]) {
    let session = sessions.get(PATIENCE).await.unwrap();
    let path = Layout::new("/zoo").run_state(&job.tenant, &job.name);
    ensure_path(session.as_ref(), &path).await.unwrap();
    session.set(&path, state, None).await.unwrap();
}

fn messages(page: &Value) -> Vec<&str> {
    page["lines"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn any_host_answers_for_the_cluster() {
    let sessions = sessions().await;
    let (a, b) = (host("a", &sessions).await, host("b", &sessions).await);
    let job = a.apply("acme", "publisher").await.id;
    a.ran(&job, "2026-01-01T00:00:01Z", &["one", "three"]).await;
    b.ran(&job, "2026-01-01T00:00:02Z", &["two"]).await;
    succeeded(&sessions, &job, "2026-01-01T00:00:02Z").await;

    for host in [&a, &b] {
        let jobs = host.get("/v1/jobs").await;
        let row = json!([{
            "tenant": "acme", "name": "publisher", "version": 0, "trigger": "leader",
            "component": Digest::of(b"\0asm"), "election": "/zoo/elections/acme/publisher",
            "paused": false, "last_outcome": "succeeded", "next_tick": null,
        }]);
        assert_eq!(jobs, row);
        let hosts = host.get("/v1/hosts").await;
        assert_eq!(hosts.as_array().unwrap().iter().map(|host| &host["host"]).collect::<Vec<_>>(), ["a", "b"]);
        let runs = host.get("/v1/jobs/acme/publisher/runs").await;
        let ran = [&runs[0], &runs[1]].map(|run| (run["run"].as_str().unwrap(), run["host"].as_str().unwrap()));
        let expected = [("acme/publisher/2026-01-01T00:00:02Z", "b"), ("acme/publisher/2026-01-01T00:00:01Z", "a")];
        assert_eq!(ran, expected);
        assert_eq!(host.get("/v1/jobs/acme/publisher/runs?limit=1").await.as_array().unwrap().len(), 1);
        let logs = host.get("/v1/jobs/acme/publisher/logs").await;
        assert_eq!(messages(&logs), ["one", "three", "two"]);
        let rest = format!("/v1/jobs/acme/publisher/logs?after={}", logs["cursor"].as_str().unwrap());
        assert_eq!(messages(&host.get(&rest).await), [""; 0]);
    }
}

#[tokio::test]
async fn a_long_poll_ends_with_a_line_of_whichever_host_and_when_the_api_closes() {
    let sessions = sessions().await;
    let (a, b) = (host("a", &sessions).await, host("b", &sessions).await);
    let job = a.apply("acme", "publisher").await.id;
    for host in [&a, &b] {
        let cursor = a.get("/v1/jobs/acme/publisher/logs").await["cursor"].as_str().unwrap().to_owned();
        let path = format!("/v1/jobs/acme/publisher/logs?wait=30&after={cursor}");
        let tick = clock::system().wall().to_string();
        let (page, ()) = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::join!(a.get(&path), host.ran(&job, &tick, &["news"]))
        })
        .await
        .expect("the poll ends with the line");
        assert_eq!(messages(&page), ["news"]);
    }
    let cursor = a.get("/v1/jobs/acme/publisher/logs").await["cursor"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/acme/publisher/logs?wait=30&after={cursor}");
    let Host { address, fake, history, stop, served, _store } = a;
    let (unused, _) = oneshot::channel();
    let asking = Host { address, fake, history, stop: unused, served: tokio::spawn(async { Ok(()) }), _store };
    let closing = async {
        asking.get("/v1/hosts").await;
        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
    };
    let (page, ()) = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(asking.get(&path), closing) })
        .await
        .expect("the poll ends with the API");
    assert_eq!(messages(&page), [""; 0]);
}

#[tokio::test]
async fn what_only_the_leader_can_do_is_handed_on_to_it_once() {
    let sessions = sessions().await;
    let (a, b) = (host("a", &sessions).await, host("b", &sessions).await);
    let job = b.apply("acme", "publisher").await.id;
    assert_eq!(b.ask(Method::POST, "/v1/jobs/acme/publisher/resign", b"").await.0, StatusCode::OK);
    assert_eq!(*a.fake.resigned.lock().unwrap(), [job]);
    assert!(b.fake.resigned.lock().unwrap().is_empty());
    let (status, triggered) = b.ask(Method::POST, "/v1/jobs/acme/publisher/trigger", b"").await;
    assert_eq!((status, triggered), (StatusCode::OK, json!({"run": "acme/publisher/manual-1"})));
    let span = "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:05Z";
    let (status, filled_in) = b.ask(Method::POST, &format!("/v1/jobs/acme/publisher/backfill?{span}"), b"").await;
    assert_eq!((status, filled_in), (StatusCode::OK, json!({"ticks": 5})));
    let (status, refused) =
        b.ask(Method::POST, "/v1/jobs/acme/publisher/backfill?from=2026-01-01T00:00:00Z&to=soon", b"").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    let (status, refused) = b.ask(Method::POST, "/v1/jobs/acme/publisher/trigger?local=true", b"").await;
    let error = json!({"error": "host `b` doesn't lead job `acme/publisher`"});
    assert_eq!((status, refused), (StatusCode::CONFLICT, error));
}

#[tokio::test]
async fn a_host_is_drained_and_undrained_through_any_host() {
    let sessions = sessions().await;
    let (a, b) = (host("a", &sessions).await, host("b", &sessions).await);
    for (through, what) in [(&a, "drain"), (&b, "drain"), (&b, "undrain"), (&a, "undrain")] {
        let (status, done) = through.ask(Method::POST, &format!("/v1/hosts/b/{what}"), b"").await;
        assert_eq!((status, done), (StatusCode::OK, json!({})), "{what}");
    }
    assert_eq!(*b.fake.drained.lock().unwrap(), [true, true, false, false]);
    assert!(a.fake.drained.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_contender_is_evicted_by_whichever_host_is_asked() {
    let sessions = sessions().await;
    let b = host("b", &sessions).await;
    b.apply("acme", "publisher").await;
    let session = sessions.get(PATIENCE).await.unwrap();
    ensure_path(&*session, "/zoo/elections/acme/publisher").await.unwrap();
    let node = "/zoo/elections/acme/publisher/x__lock__0000000001";
    session.create(node, b"a", CreateMode::Ephemeral).await.unwrap();
    // The second time it is gone already, which is as well.
    for _ in 0..2 {
        let (status, evicted) = b.ask(Method::POST, "/v1/jobs/acme/publisher/evict", br#"{"contender": "a"}"#).await;
        assert_eq!((status, &evicted["znode"]), (StatusCode::OK, &json!("x__lock__0000000001")));
        assert_eq!(session.stat(node).await, Ok(None));
    }
}

#[tokio::test]
async fn a_component_is_fetched_from_the_peer_that_has_it() {
    let sessions = sessions().await;
    let (a, b) = (host("a", &sessions).await, host("b", &sessions).await);
    let spec = a.apply("acme", "publisher").await;
    let path = format!("/v1/components/{}", spec.component);
    assert_eq!(b.ask(Method::GET, &path, b"").await.0, StatusCode::NOT_FOUND);
    let body = serde_json::to_vec(&spec).unwrap();
    let (status, applied) = b.ask(Method::PUT, "/v1/jobs/acme/publisher", &body).await;
    assert_eq!((status, applied), (StatusCode::OK, json!({"version": 0, "change": "unchanged"})));
    let (status, bytes) = b.send(Method::GET, &path, "Host: localhost:1\r\n", b"").await;
    assert_eq!((status, &bytes[..]), (StatusCode::OK, &b"\0asm"[..]));
}

#[tokio::test]
async fn an_operator_reads_and_writes_what_a_job_keeps() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    a.apply("acme", "publisher").await;
    let base = "/v1/jobs/acme/publisher/state";
    assert_eq!(a.get(base).await, json!([]));
    for (key, value) in [("orders%2Fnext", "stop"), ("plain", "1"), ("plain", "2")] {
        let (status, _) = a.ask(Method::PUT, &format!("{base}/{key}"), value.as_bytes()).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{key}");
    }
    assert_eq!(a.get(base).await, json!([{"key": "orders/next"}, {"key": "plain"}]));
    let node = "/zoo/state/acme/publisher/orders%2Fnext";
    let (value, _) = sessions.get(PATIENCE).await.unwrap().get(node).await.unwrap();
    assert_eq!(value, b"stop");
    assert_eq!(a.get(&format!("{base}/plain")).await, json!(2));
    assert_eq!(a.ask(Method::DELETE, &format!("{base}/plain"), b"").await.0, StatusCode::NO_CONTENT);
    let (status, gone) = a.ask(Method::GET, &format!("{base}/plain"), b"").await;
    let error = json!({"error": "job `acme/publisher` has no key `plain`"});
    assert_eq!((status, gone), (StatusCode::NOT_FOUND, error));
}

#[tokio::test]
async fn bad_requests_are_refused_in_words_and_change_nothing() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    let spec = a.apply("acme", "publisher").await;
    let body = |change: fn(&mut Value)| {
        let mut value = serde_json::to_value(&spec).unwrap();
        change(&mut value);
        value.to_string().into_bytes()
    };
    let job = "/v1/jobs/acme/publisher";
    let long = format!("/v1/jobs/acme/{}", "n".repeat(300));
    let requests: Vec<(Method, &str, Vec<u8>)> = vec![
        (Method::PUT, "/v1/components?tenant=acme", b"no component".to_vec()),
        (Method::PUT, "/v1/components", b"\0asm".to_vec()),
        (Method::PUT, "/v1/components?tenant=a/b", b"\0asm".to_vec()),
        (Method::PUT, "/v1/components?tenant=acme", vec![0; MAX_COMPONENT_BYTES + 1]),
        (Method::GET, "/v1/components/sha256:00", Vec::new()),
        (Method::PUT, job, b"{".to_vec()),
        (Method::PUT, job, body(|job| job["colour"] = "red".into())),
        (Method::PUT, job, body(|job| job["limits"]["memory_bytes"] = 1.into())),
        (Method::PUT, job, body(|job| job["limits"]["cpu"] = 1.into())),
        (Method::PUT, job, body(|job| job["election"] = "a//b".into())),
        (Method::PUT, job, body(|job| job["component"] = Digest::of(b"absent").to_string().into())),
        (Method::PUT, "/v1/jobs/acme/other", body(|_| ())),
        (Method::PUT, "/v1/jobs/acme/a%2Fb", body(|_| ())),
        (Method::GET, &long, Vec::new()),
        (Method::GET, "/v1/jobs/acme/absent", Vec::new()),
        (Method::GET, "/v1/jobs/acme/absent/runs", Vec::new()),
        (Method::GET, "/v1/jobs/acme/absent/logs", Vec::new()),
        (Method::GET, "/v1/jobs/acme/publisher/runs?limit=many", Vec::new()),
        (Method::GET, "/v1/jobs/acme/publisher/logs?after=yesterday", Vec::new()),
        (Method::PUT, "/v1/jobs/acme/absent/state/key", b"v".to_vec()),
        (Method::DELETE, "/v1/jobs/acme/absent", Vec::new()),
        (Method::POST, "/v1/jobs/acme/absent/pause", Vec::new()),
        (Method::POST, "/v1/jobs/acme/publisher/pause", br#"{"by": 3}"#.to_vec()),
        (Method::POST, "/v1/jobs/acme/publisher/pause", br#"{"by": "ada", "until": "monday"}"#.to_vec()),
        (Method::POST, "/v1/jobs/acme/publisher/pause", br#"{"by": ""}"#.to_vec()),
        (Method::POST, "/v1/jobs/acme/publisher/pause", br#"{"note": "one\ntwo"}"#.to_vec()),
        (Method::POST, "/v1/jobs/acme/publisher/pause", format!("{{\"note\": \"{}\"}}", "n".repeat(201)).into_bytes()),
        (Method::PUT, job, body(|job| job["paused"] = json!({"by": "ada\n", "note": ""}))),
        (Method::PUT, job, body(|job| job["paused"] = "yes".into())),
        (Method::GET, "/v1/tenants/A", Vec::new()),
        (Method::PUT, "/v1/tenants/acme", b"{".to_vec()),
        (Method::PUT, "/v1/tenants/acme", br#"{"max_running": 0}"#.to_vec()),
        (Method::PUT, "/v1/tenants/acme", br#"{"weight": "heavy"}"#.to_vec()),
        (Method::PUT, "/v1/tenants/acme", br#"{"max_runing": 3}"#.to_vec()),
        (Method::PUT, "/v1/tenants/a%2Fb", b"{}".to_vec()),
        (Method::DELETE, "/v1/tenants/acme", Vec::new()),
        (Method::POST, "/v1/hosts/absent/drain", Vec::new()),
        (Method::POST, "/v1/hosts/absent/undrain?local=true", Vec::new()),
        (Method::POST, "/v1/jobs/acme/publisher/evict", Vec::new()),
        (Method::POST, "/v1/jobs/acme/publisher/evict", br#"{"contender": "a", "gently": true}"#.to_vec()),
        (Method::POST, "/v1/jobs/acme/publisher/evict", br#"{"contender": "k1"}"#.to_vec()),
        (Method::POST, "/v1/jobs/acme/absent/evict", br#"{"contender": "a"}"#.to_vec()),
        (Method::GET, "/v2/jobs", Vec::new()),
        (Method::POST, "/v1/jobs", Vec::new()),
    ];
    let mut said = String::new();
    for (method, path, body) in requests {
        let (status, answer) = a.ask(method.clone(), path, &body).await;
        let path = path.replace(&"n".repeat(300), "(300 n)");
        said += &format!("{method} {path}: {} {}\n", status.as_u16(), answer["error"].as_str().unwrap_or("-"));
    }
    insta::assert_snapshot!(said);
    assert_eq!(a.get("/v1/jobs").await.as_array().unwrap().len(), 1);
    assert_eq!(a.get(job).await, serde_json::to_value(&spec).unwrap());
    let tenants = a.get("/v1/tenants").await;
    assert_eq!((tenants.as_array().unwrap().len(), &tenants[0]["weight"]), (1, &json!(1)));
}

#[tokio::test]
async fn web_pages_and_other_names_are_kept_out() {
    let sessions = sessions().await;
    let a = host("a", &sessions).await;
    for headers in [
        "Host: evil.example:7070\r\n",
        "Host: localhost\r\nOrigin: http://evil.example\r\n",
        "Host: localhost\r\nsilverback-tenant: acme\r\n",
        "",
    ] {
        let (status, _) = a.send(Method::GET, "/v1/jobs", headers, b"").await;
        assert!(matches!(status, StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST), "{headers:?}: {status}");
    }
    for headers in ["Host: localhost:7070\r\n", "Host: 127.0.0.1:7070\r\n", "Host: [::1]:7070\r\n"] {
        assert_eq!(a.send(Method::GET, "/v1/jobs", headers, b"").await.0, StatusCode::OK, "{headers:?}");
    }
}

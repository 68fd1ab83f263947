//! HTTP requests go where a job was granted and nowhere else, and a target can tell an old term's from a new one's.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use silverback_tests::cli::RunRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::place;
use silverback_tests::port::free_port;
use silverback_tests::process::Process;
use silverback_tests::target::Target;
use silverback_tests::wait::{await_that, await_value};
use silverback_tests::zookeeper::ZooKeeperServer;

const CALLER: &str = "acme/caller";

/// The target of examples/fenced-target.
struct FencedTarget {
    _process: Process,
    authority: String,
}

impl FencedTarget {
    fn start(dir: &Path) -> Self {
        let port = free_port();
        let script = place::root().join("examples/fenced-target/target.py");
        let data = dir.join("fenced-target");
        let args = [script.display().to_string(), port.to_string(), data.display().to_string()];
        let process = Process::start("fenced-target", &PathBuf::from("python3"), &args, dir);
        let target = FencedTarget { _process: process, authority: format!("127.0.0.1:{port}") };
        await_value("the target to listen", SOON, || TcpStream::connect(&target.authority).map(drop));
        target
    }

    fn origin(&self) -> String {
        format!("http://{}", self.authority)
    }

    fn url(&self) -> String {
        format!("{}/resource", self.origin())
    }

    /// Writes as somebody of the term `token` would, past all hosts; gives the status.
    fn put(&self, token: i64) -> String {
        let answer = self.ask("PUT /resource", &format!("silverback-token: {token}\r\ncontent-length: 4\r\n\r\nlate"));
        answer.lines().next().unwrap().to_owned()
    }

    /// The whole response.
    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path}"), "\r\n")
    }

    fn ask(&self, line: &str, rest: &str) -> String {
        let request = format!("{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{rest}", self.authority);
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// An address at which everybody is answered in plain text, whatever they say.
fn plain_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    address
}

/// Runs one request of the guest, and gives its run.
#[track_caller]
fn call(cluster: &mut Cluster, name: &str, allow: &str, config: &str) -> RunRow {
    let job = format!("acme/{name}");
    cluster.let_reach_this_machine("acme");
    cluster.apply(&job::calling(name, allow, config));
    cluster.run_now(&job)
}

#[test]
fn a_request_goes_where_it_is_granted_and_nowhere_else() {
    let mut cluster = Cluster::embedded();
    let target = FencedTarget::start(cluster.dir());
    let (origin, url) = (target.origin(), target.url());
    let put = format!("method = \"PUT\"\nbody = \"news\"\nurl = \"{url}\"\n");

    let run = call(&mut cluster, "granted", &origin, &put);
    assert_eq!(run.detail, format!("status=200 body=written with token {}", run.token), "{run:#?}");
    let run = call(&mut cluster, "reader", &origin, &format!("url = \"{url}\"\n"));
    assert_eq!(run.detail, "status=200 body=news", "{run:#?}");

    let other_port = format!("http://127.0.0.1:{}", free_port());
    let other_host = origin.replace("127.0.0.1", "localhost");
    let other_scheme = origin.replace("http", "https");
    for (name, allow) in [("nothing", ""), ("port", &other_port), ("host", &other_host), ("scheme", &other_scheme)] {
        let run = call(&mut cluster, name, allow, &put);
        assert_eq!(run.detail, "denied", "{run:#?}");
        let told = format!("request to `{origin}` is denied: the job's http.allow doesn't name it");
        await_value("the run to say what was denied", SOON, || {
            let lines = cluster.cli().logs(&format!("acme/{name}"))?;
            let found = lines.iter().any(|line| line.context == "http" && line.message.starts_with(&told));
            if found { Ok(()) } else { Err(format!("{lines:#?}")) }
        });
    }
}

#[test]
fn a_guest_that_forges_headers_or_meets_no_tls_fails_cleanly() {
    let mut cluster = Cluster::embedded();
    let target = FencedTarget::start(cluster.dir());
    let (origin, url) = (target.origin(), target.url());
    for (name, header) in [("token", "Silverback-Token: 99"), ("host", "host: elsewhere"), ("hop", "connection: close")]
    {
        let config = format!("method = \"PUT\"\nbody = \"x\"\nurl = \"{url}\"\nheader = \"{header}\"\n");
        let run = call(&mut cluster, name, &origin, &config);
        let field = header.split(':').next().unwrap();
        assert_eq!(run.detail, format!("invalid header `{field}`"), "{run:#?}");
    }
    assert_eq!(target.put(0), "HTTP/1.1 200 OK", "nothing of the forger came through");

    let plain = format!("https://{}", plain_server());
    let run = call(&mut cluster, "plain", &plain, &format!("url = \"{plain}/\"\n"));
    assert_eq!(run.detail, "other ErrorCode::TlsProtocolError", "{run:#?}");
    let nobody = "http://127.0.0.1:1";
    let run = call(&mut cluster, "nobody", nobody, &format!("url = \"{nobody}/\"\n"));
    assert_eq!(run.detail, "other ErrorCode::ConnectionRefused", "{run:#?}");
}

#[test]
fn after_a_handover_the_target_refuses_the_token_of_the_earlier_term() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(6), &["a", "b"]);
    let target = FencedTarget::start(cluster.dir());
    let config = format!("method = \"PUT\"\nbody = \"news\"\nurl = \"{}\"\n", target.url());
    cluster.let_reach_this_machine("acme");
    cluster.apply(&job::calling_leader("caller", &target.origin(), &config));
    let first = cluster.await_leader("a first leader", CALLER, SOON, |_| true);
    await_written(&mut cluster, first.token);

    cluster.cli().ok(&["resign", CALLER]);
    let second = cluster.await_leader("a second leader", CALLER, SOON, |leader| leader.token > first.token);
    await_written(&mut cluster, second.token);
    assert_eq!(target.put(first.token), "HTTP/1.1 412 Precondition Failed");
    assert_eq!(target.put(second.token), "HTTP/1.1 200 OK");
}

#[test]
fn the_token_goes_out_under_the_name_that_the_job_gives_it() {
    let mut cluster = Cluster::embedded();
    let target = Target::start("fencing-token").unwrap();
    cluster.let_reach_this_machine("acme");
    cluster.apply(&job::sending_scribe(&target.origin(), "token_header = \"Fencing-Token\"\n"));
    let leader = cluster.await_leader("a leader", "acme/scribe", SOON, |_| true);
    let taken = await_that("a request", SOON, || target.taken(), |taken| !taken.is_empty());
    assert_eq!(taken[0].token, leader.token);
}

#[test]
fn the_example_mirror_copies_each_change_to_its_target() {
    const MIRROR: &str = "desk/mirror";
    let mut cluster = Cluster::embedded();
    let target = FencedTarget::start(cluster.dir());
    let example = place::root().join("examples/mirror/job.toml");
    let text = fs::read_to_string(&example).unwrap();
    // As it stands, but for the port, and for the folder that the component is seen from.
    let component = place::example("mirror").display().to_string();
    let here = text
        .replace("127.0.0.1:8080", &target.authority)
        .replace("../target/wasm32-wasip2/release/mirror.wasm", &component);
    assert_ne!(here, text.replace("127.0.0.1:8080", &target.authority), "{text}");
    cluster.let_reach_this_machine("desk");
    cluster.apply(&here);
    let leader = cluster.await_leader("a leader", MIRROR, SOON, |_| true);
    for value in ["{\"ZINC\":2710.5}", "{\"ZINC\":2711.0}"] {
        cluster.cli().ok(&["state", "set", MIRROR, "source", value]);
        await_that("the copy", SOON, || target.get("/prices"), |copy| copy.ends_with(&format!("\r\n\r\n{value}\n")));
    }
    assert!(target.get("/prices").contains(&format!("silverback-token: {}\r\n", leader.token)));
}

/// Waits until the guest of a term has the target's word that it wrote.
#[track_caller]
fn await_written(cluster: &mut Cluster, token: i64) {
    let wanted = format!("answer token={token} status=200 body=written with token {token}");
    await_value(&format!("a write with token {token}"), SOON, || {
        let lines = cluster.cli().logs(CALLER)?;
        let found = lines.iter().any(|line| line.message == wanted);
        if found { Ok(()) } else { Err(format!("{lines:#?}")) }
    });
}

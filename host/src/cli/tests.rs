//! What people see: help texts, tables, and what is refused before anything is asked.

use std::io::Write as _;

use clap::CommandFactory;
use serde_json::json;

use super::*;
use crate::api::tests::{host, sessions};
use crate::history::{LogLevel, LogLine, PlacedLine};
use crate::registry::MAX_SECRET_BYTES;

fn help(command: &mut clap::Command) -> String {
    let text = command.render_long_help();
    format!("\n==== {}\n{text}", command.get_name())
}

#[test]
fn help_texts() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut texts = command.render_long_help().to_string();
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        texts += &help(sub);
        for below in sub.get_subcommands_mut().filter(|below| below.get_name() != "help") {
            texts += &help(below);
        }
    }
    insta::assert_snapshot!(texts);
}

#[test]
fn a_problem_is_shown_whole_because_it_ends_with_the_remedy() {
    let problem = format!("on a: {}: silverback cluster resume-after-restore", "it is behind ".repeat(20).trim_end());
    let rows = [json!({ "host": "a", "problem": problem }), json!({ "host": "b", "problem": null })];
    assert!(output::table(&rows, &list::HOSTS).contains(&problem));
}

#[test]
fn tables() {
    let jobs = json!([
        {
            "tenant": "acme", "name": "publisher", "version": 3, "trigger": "leader",
            "component": format!("sha256:{}", "0123456789abcdef".repeat(4)), "election": "/electionpath",
            "paused": false, "last_outcome": null, "next_tick": null
        },
        {
            "tenant": "zoo", "name": "nightly", "version": 0, "trigger": "schedule",
            "component": format!("sha256:{}", "f".repeat(64)), "group": "/silverback/groups/0007",
            "paused": true, "pause": {"by": "ada", "at": "2026-01-01T02:00:00Z", "note": "until the new\ntable is there"},
            "last_outcome": "timed-out", "next_tick": "2026-01-01T03:00:00Z"
        }
    ]);
    let runs = json!([{
        "run": "zoo/nightly/2026-01-01T03:00:00Z", "attempt": 1, "tick": "2026-01-01T03:00:00Z", "host": "a", "token": 17,
        "started": "2026-01-01T03:00:00.004Z", "ended": null, "outcome": null,
        "detail": format!("two\nlines and \u{1b}[2J {}", "very ".repeat(20))
    }]);
    let coming = json!([
        {
            "tick": "2026-03-08T07:30:00Z", "local": "2026-03-08T03:30:00-04:00[America/New_York]",
            "delay": "1m 5s", "begins": "2026-03-08T07:31:05Z", "remark": "shifted by 1h: the clock skips 02:30:00"
        },
        {
            "tick": "2026-03-09T06:30:00Z", "local": "2026-03-09T02:30:00-04:00[America/New_York]",
            "delay": "1m 5s", "begins": "2026-03-09T06:31:05Z", "remark": null
        }
    ]);
    let tables = [
        output::table(jobs.as_array().unwrap(), &list::JOBS),
        output::table(runs.as_array().unwrap(), &list::RUNS),
        output::table(&[], &list::HOSTS),
        output::table(coming.as_array().unwrap(), &next::NEXT),
    ];
    insta::assert_snapshot!(tables.join("\n"));
}

#[test]
fn a_log_line_cannot_drive_the_terminal() {
    let line = LogLine {
        time: "2026-01-01T03:00:00.0049Z".parse().unwrap(),
        run: "zoo/nightly/2026-01-01T03:00:00Z".to_owned(),
        attempt: 2,
        level: LogLevel::Warn,
        context: "report".to_owned(),
        message: "gone\u{1b}]0;title\u{7}\u{9b}\u{202e}".to_owned(),
    };
    let text = logs::text(&PlacedLine { host: "a\n".to_owned(), stamp: 1, line });
    assert_eq!(
        text,
        r"2026-01-01T03:00:00.004Z a\n zoo/nightly/2026-01-01T03:00:00Z#2 warn report: gone\u{1b}]0;title\u{7}\u{9b}\u{202e}"
    );
}

#[test]
fn what_up_refuses() {
    let commands = [
        "up --listen 0.0.0.0:7070",
        "up --listen localhost",
        "up --name A/b",
        "up --root silverback",
        "up --root /zookeeper/x",
        "up --root /a//b",
        "up --root /a/../b",
        "up --root /",
        "up --root /a/ü",
        "up --zookeeper 127.0.0.1:1,,127.0.0.1:2181",
        "up --zookeeper ::1:2181",
        "up --zookeeper a;b",
        "up --zookeeper http://127.0.0.1:2181",
        "up --zookeeper 127.0.0.1:70000",
        "up --session-timeout 6",
        "up --drain-grace 0s",
        "up --clock-drift fast",
        "up --stop-budget 0s",
        "up --group-hold 500ms",
        "up --max-clock-offset 99ms",
        "up --max-clock-offset 61m",
        "drain a/b",
        "tenant a/b",
        "tenant acme --weight much",
        "tenant acme --max-running -1",
        "runs publisher",
        "runs acme/Publisher",
        "runs acme/a/b",
        "next",
        "next acme/nightly --jitter 5m",
        "next --schedule @daily --gap jump",
        "next --schedule @daily --jitter soon",
    ];
    let refusals: Vec<String> = commands
        .iter()
        .map(|command| {
            let words = std::iter::once("silverback").chain(command.split(' '));
            Cli::try_parse_from(words).unwrap_err().to_string().lines().next().unwrap_or_default().to_owned()
        })
        .collect();
    insta::assert_snapshot!(refusals.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ticks_of_a_schedule_that_no_job_has_are_told_without_a_host() {
    let nowhere = "http://127.0.0.1:1";
    let told = command(nowhere, &["next", "--schedule", "0 3 * * *", "--time-zone", "Europe/Berlin", "-n", "3"]).await;
    assert_eq!(told, Ok(()));
    let whose = command(nowhere, &["next", "acme/nightly", "--schedule", "H 3 * * *", "--jitter", "5m"]).await;
    assert_eq!(whose, Ok(()));
    let refusals = [
        vec!["next", "--schedule", "0 0 31 2 *"],
        vec!["next", "--schedule", "@daily", "--time-zone", "Mars/Olympus"],
        vec!["next", "--schedule", "H 3 * * *"],
        vec!["next", "--schedule", "@daily", "--jitter=-1s"],
        vec!["next", "acme/nightly", "--schedule", "@hourly", "--jitter", "1h", "--after", "2026-01-01T00:00:00Z"],
        vec!["next", "--at", "2026-12-01T09:00:00Z", "--after", "2026-12-01T09:00:00Z"],
    ];
    let mut said = Vec::new();
    for words in refusals {
        said.push(command(nowhere, &words).await.unwrap_err());
    }
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn up_needs_no_arguments() {
    let Command::Up(up) = Cli::try_parse_from(["silverback", "up", "--data", "d"]).unwrap().command else {
        panic!("`up` is not `up`");
    };
    insta::assert_debug_snapshot!(up.settings());
}

#[test]
fn a_host_that_is_not_there_is_named_with_the_remedy() {
    // Port 1 of loopback: nobody listens, and no parallel test is given it.
    let closed = "127.0.0.1:1";
    let client = Client::new(&format!("http://{closed}/")).unwrap();
    let error = client.get::<serde_json::Value>("/v1/jobs").unwrap_err().to_string();
    let remedy = "start one with `silverback up`, or name another with --server";
    assert_eq!(error, format!("no host answers at http://{closed}: {remedy}"));
    let wrong = Client::new("https://127.0.0.1:7070").err().unwrap().to_string();
    assert!(
        wrong.starts_with("server `https://127.0.0.1:7070` (--server or SILVERBACK_SERVER) is not valid: "),
        "{wrong}"
    );
}

#[test]
fn w8_a_server_that_is_no_host_is_told_by_what_it_does() {
    let told =
        |server: &str| Client::new(server).unwrap().get::<serde_json::Value>("/v1/jobs").unwrap_err().to_string();
    let nowhere = told("http://a..b:7070");
    assert_eq!(nowhere, "the name `a..b` has no address: name another with --server");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (mut stream, said) in listener.incoming().map_while(Result::ok).zip(["SSH-2.0-x\r\n", ""]) {
            let _ = stream.write_all(said.as_bytes());
        }
    });
    assert!(told(&server).starts_with(&format!("what is at {server} does not speak HTTP (")), "{}", told(&server));
}

#[test]
fn w8_what_is_harmless_around_a_connect_string_or_a_root_is_ignored() {
    let words = ["silverback", "up", "--zookeeper", " a:1, b ", "--root", " /zoo/main/ "];
    let Command::Up(up) = Cli::try_parse_from(words).unwrap().command else { panic!("`up` is not `up`") };
    let settings = up.settings();
    assert_eq!((settings.zookeeper.as_deref(), settings.root.as_str()), (Some("a:1,b:2181"), "/zoo/main"));
}

/// A command line, run to its end.
async fn command(server: &str, words: &[&str]) -> Result<(), String> {
    let words = [&["silverback"], words, &["--server", server]].concat();
    let cli = Cli::try_parse_from(words).unwrap();
    tokio::task::spawn_blocking(|| run(cli)).await.unwrap().map(drop).map_err(|error| format!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_applied_used_and_deleted_through_a_host() {
    let host = host("a", &sessions().await).await;
    let server = format!("http://{}", host.address);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.toml");
    let text = "tenant = 'acme'\nname = 'publisher'\ncomponent = 'p.wasm'\ntrigger = 'leader'\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();

    let missing = command(&server, &["apply", file]).await.unwrap_err();
    assert!(missing.starts_with("job `publisher`: component: can't read `"), "{missing}");
    std::fs::write(folder.path().join("p.wasm"), b"no component").unwrap();
    let refused = command(&server, &["apply", file]).await;
    let path = folder.path().join("p.wasm");
    assert_eq!(refused, Err(format!("job `publisher`: component `{}`: not a component", path.display())));
    assert_eq!(host.get("/v1/jobs").await, json!([]));

    let mut component = vec![7; 3 << 20];
    component[..4].copy_from_slice(b"\0asm");
    std::fs::write(folder.path().join("p.wasm"), component).unwrap();
    for (version, paused) in [(0, false), (1, true)] {
        std::fs::write(file, format!("{text}paused = {paused}")).unwrap();
        command(&server, &["apply", file]).await.unwrap();
        let jobs = host.get("/v1/jobs").await;
        assert_eq!((&jobs[0]["version"], &jobs[0]["paused"]), (&json!(version), &json!(paused)));
    }
    command(&server, &["state", "set", "acme/publisher", "orders/next: ü", "go"]).await.unwrap();
    assert_eq!(host.get("/v1/jobs/acme/publisher/state").await, json!([{"key": "orders/next: ü"}]));
    for words in ["jobs", "hosts", "contenders acme/publisher", "runs acme/publisher", "logs acme/publisher"] {
        let words: Vec<&str> = words.split(' ').collect();
        command(&server, &words).await.unwrap();
        command(&server, &[&words[..], &["--output", "json"]].concat()).await.unwrap();
    }
    for words in ["state get acme/publisher absent", "runs acme/absent", "trigger acme/absent"] {
        let words: Vec<&str> = words.split(' ').collect();
        assert!(command(&server, &words).await.unwrap_err().contains("absent"), "{words:?}");
    }
    let paused = command(&server, &["resign", "acme/publisher"]).await.unwrap_err();
    assert!(paused.contains("is paused"), "{paused}");
    command(&server, &["pause", "acme/publisher", "--by", "ada", "--note", "the table moves"]).await.unwrap();
    let pause = &host.get("/v1/jobs").await[0]["pause"];
    assert_eq!((&pause["by"], &pause["note"]), (&json!("ada"), &json!("the table moves")));
    let refused = command(&server, &["pause", "acme/publisher", "--note", "a\tb"]).await.unwrap_err();
    assert_eq!(refused, "job `publisher`: pause.note `a\u{fffd}b` is not valid: it has a control character");
    let refused = command(&server, &["resume", "acme/publisher", "--catch-up"]).await.unwrap_err();
    let why = "job `acme/publisher`: trigger `leader` is not valid where missed ticks are to be caught up with";
    assert_eq!(refused, why);
    command(&server, &["resume", "acme/publisher"]).await.unwrap();
    command(&server, &["resign", "acme/publisher"]).await.unwrap();
    let limits = ["tenant", "acme", "--max-running", "3", "--runs-per-minute", "60", "--weight", "7"];
    command(&server, &limits).await.unwrap();
    command(&server, &["tenant", "acme", "--max-running", "none", "--max-waiting", "9"]).await.unwrap();
    let set = json!({"max_running": null, "runs_per_minute": 60, "max_waiting": 9, "weight": 7});
    command(&server, &["tenant", "acme"]).await.unwrap();
    command(&server, &["tenants"]).await.unwrap();
    assert_eq!(host.get("/v1/tenants/acme").await, set, "what is not given stays");
    let refused = command(&server, &["tenant", "acme", "--weight", "101", "--max-waiting", "none"]).await.unwrap_err();
    assert_eq!(refused, "tenant `acme`: weight `101` is not valid: it must be a whole number from 1 to 100");
    assert_eq!(host.get("/v1/tenants/acme").await, set);
    command(&server, &["delete", "acme/publisher"]).await.unwrap();
    assert_eq!(host.get("/v1/jobs").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_are_applied_in_one_command_and_a_refused_one_hides_none() {
    let host = host("a", &sessions().await).await;
    let server = format!("http://{}", host.address);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.wasm"), b"\0asm").unwrap();
    let file = |name: &str, job: &str, more: &str| {
        let text = format!("tenant = 'acme'\nname = '{job}'\ncomponent = 'p.wasm'\ntrigger = 'leader'\n{more}");
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let files: Vec<String> = (0..20).map(|number| file(&number.to_string(), &format!("job-{number}"), "")).collect();
    let apply: Vec<&str> = ["apply"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let again = file("again", "job-3", "");
    let twice = command(&server, &[&apply[..], &[&again]].concat()).await.unwrap_err();
    assert_eq!(twice, format!("job `acme/job-3` is in `{}` and in `{again}`", files[3]));
    assert_eq!(host.get("/v1/jobs").await, json!([]), "nothing is stored");

    command(&server, &["tenant", "acme", "--limit", "memory=1MiB"]).await.unwrap();
    file("3", "job-3", "[limits]\nmemory = '2MiB'\n");
    let refused = command(&server, &apply).await.unwrap_err();
    let why = "job `job-3`: limits.memory `2MiB` is not valid: the most that tenant `acme` may have is 1MiB";
    assert_eq!(refused, why);
    let stored = host.get("/v1/jobs").await.as_array().unwrap().len();
    assert_eq!(stored, 7, "those that were sent with it");
    file("3", "job-3", "");
    command(&server, &apply).await.unwrap();
    assert_eq!(host.get("/v1/jobs").await.as_array().unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_goes_in_and_only_its_name_comes_out() {
    let host = host("a", &sessions().await).await;
    let server = format!("http://{}", host.address);
    let folder = tempfile::tempdir().unwrap();
    let (file, job) = (folder.path().join("token"), folder.path().join("job.toml"));
    std::fs::write(folder.path().join("p.wasm"), b"\0asm").unwrap();
    let text =
        "tenant = 'acme'\nname = 'payer'\ncomponent = 'p.wasm'\ntrigger = 'leader'\n[secrets]\ntoken = 'payments'";
    std::fs::write(&job, text).unwrap();
    let [apply, set] = [
        vec!["apply", job.to_str().unwrap()],
        vec!["secret", "set", "acme", "payments", "--file", file.to_str().unwrap()],
    ];

    let unset = command(&server, &apply).await.unwrap_err();
    let why = "secret `payments` of tenant `acme` is not set: silverback secret set acme payments";
    assert_eq!(unset, format!("job `payer`: secrets.token `payments` is not valid: {why}"));
    let too_long = vec![b'x'; MAX_SECRET_BYTES + 1];
    for (secret, why) in
        [(&b""[..], "1 to 8192 bytes"), (b"\xff", "UTF-8"), (&too_long, "over the limit of 8192 bytes")]
    {
        std::fs::write(&file, secret).unwrap();
        let refused = command(&server, &set).await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(host.get("/v1/tenants/acme/secrets").await, json!([]));

    std::fs::write(&file, "s3cret\n").unwrap();
    command(&server, &set).await.unwrap();
    command(&server, &apply).await.unwrap();
    command(&server, &["secret", "list", "acme"]).await.unwrap();
    let rows = host.get("/v1/tenants/acme/secrets").await;
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["name"]), (1, &json!("payments")));
    assert!(!rows.to_string().contains("s3cret"));
    assert_eq!(host.get("/v1/jobs/acme/payer").await["secrets"], json!({"token": "payments"}));
    let away = ["secret", "delete", "acme", "payments"];
    command(&server, &away).await.unwrap();
    assert_eq!(command(&server, &away).await.unwrap_err(), "tenant `acme` has no secret `payments`");
}

//! A secret reaches the runs that ask for it, and nothing else: no answer, no log, no file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use silverback_tests::cluster::Cluster;
use silverback_tests::place::{guest, silverback};
use silverback_tests::refusal::refusal;

const JOB: &str = "acme/chore";
const SECRET: &str = "correct horse battery staple";

#[test]
fn a_secret_reaches_the_run_that_asks_for_it_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let (keys, text) = (home.path().join("keys"), home.path().join("secret"));
    write(&keys, &new_key(), 0o600);
    fs::write(&text, format!("{SECRET}\n")).unwrap();
    let mut cluster = Cluster::embedded_with(&["--secrets-key", keys.to_str().unwrap()]);
    let set = ["secret", "set", "acme", "token", "--file", text.to_str().unwrap()];
    let told = cluster.cli().ok(&set);
    cluster.apply(&job());
    let run = cluster.run_now(JOB);
    assert_eq!(run.detail, format!("count=1 token of {} bytes", SECRET.len()), "{run:#?}");

    // Its key is followed by another; what is sealed with the old one still opens.
    let old = fs::read_to_string(&keys).unwrap();
    write(&keys, &format!("{}{old}", new_key()), 0o600);
    cluster.hosts()[0].restart();
    assert_eq!(cluster.run_now(JOB).detail, format!("count=2 token of {} bytes", SECRET.len()));
    // Without it the run isn't begun, and says why.
    write(&keys, &new_key(), 0o600);
    cluster.hosts()[0].restart();
    let run = cluster.run_now(JOB);
    assert_eq!(run.outcome.as_deref(), Some("failed"), "{run:#?}");
    assert!(
        run.detail.starts_with("secret `token` of tenant `acme` can't be read: it is sealed under key "),
        "{run:#?}"
    );

    cluster.cli().ok(&set);
    assert_eq!(cluster.run_now(JOB).detail, format!("count=3 token of {} bytes", SECRET.len()));
    let listed = cluster.cli().ok(&["secret", "list", "acme", "--output", "json"]);
    cluster.cli().ok(&["secret", "delete", "acme", "token"]);
    let run = cluster.run_now(JOB);
    let why = "secret `token` of tenant `acme` is not set: silverback secret set acme token";
    assert_eq!((run.outcome.as_deref(), run.detail.as_str()), (Some("failed"), why));

    let logs = cluster.cli().ok(&["logs", JOB, "--output", "json"]);
    let log = cluster.hosts()[0].log();
    for said in [told, listed, logs, log, cluster.cli().ok(&["runs", JOB, "--output", "json"])] {
        assert!(!said.contains(SECRET), "{said}");
    }
    cluster.hosts()[0].sigterm();
    assert_eq!(files_with(SECRET.as_bytes(), cluster.dir()), Vec::<String>::new());
}

#[test]
fn a_host_without_a_safe_key_file_takes_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let (keys, text) = (home.path().join("keys"), home.path().join("secret"));
    fs::write(&text, SECRET).unwrap();
    let mut cluster = Cluster::embedded();
    let set = ["secret", "set", "acme", "token", "--file", text.to_str().unwrap()];
    let refused = cluster.cli().run(&set);
    let why = "silverback: this host has no key for secrets: start it with --secrets-key FILE\n";
    assert_eq!((refused.code, refused.err.as_str()), (Some(1), why));

    let data = home.path().join("data");
    let up = |mode: u32, keys_text: &str| {
        write(&keys, keys_text, mode);
        refusal(&["--data", data.to_str().unwrap(), "--secrets-key", keys.to_str().unwrap()])
    };
    let said = up(0o644, &new_key());
    assert!(said.contains("has mode 644, with which other users can use it: `chmod 600 "), "{said}");
    let wrong = new_key().replace('\n', "x\n");
    let said = up(0o600, &wrong);
    assert!(said.contains("line 1 is no key") && !said.contains(&wrong[..16]), "{said}");
    assert!(up(0o600, "").contains("it has no key"));
}

fn job() -> String {
    let component = guest("chore");
    let trigger = "trigger = 'schedule'\nschedule = '0 0 1 1 *'";
    format!("tenant = 'acme'\nname = 'chore'\ncomponent = {component:?}\n{trigger}\n[secrets]\ntoken = 'token'\n")
}

fn new_key() -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let make = || Command::new(silverback()).args(["secret", "key"]).arg(&file).output().unwrap();
    assert!(make().status.success());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "nobody else may read it");
    let again = String::from_utf8(make().stderr).unwrap();
    assert!(again.contains("can't make"), "a key is never written over: {again}");
    fs::read_to_string(&file).unwrap()
}

fn write(file: &Path, text: &str, mode: u32) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// The files below a folder that have these bytes.
fn files_with(wanted: &[u8], folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.append(&mut files_with(wanted, &entry));
        } else if fs::read(&entry).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|some| some == wanted)) {
            found.push(entry.display().to_string());
        }
    }
    found
}

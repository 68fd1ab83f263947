//! Components that an author composed of several: what is built by real tools runs as any other component does.

use std::fs;
use std::path::{Path, PathBuf};

use silverback_tests::cli::Cli;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::place::guest;
use wasm_compose::composer::ComponentComposer;
use wasm_compose::config::Config;

/// A component that gives a guest an environment of its own, in place of the host's empty one.
const ENVIRONMENT: &str = r#"(component
    (core module $m
        (memory (export "m") 1)
        (data (i32.const 64) "COLOURsilver")
        ;; One pair of texts at 32, and the list of it at 16.
        (data (i32.const 16) "\20\00\00\00\01\00\00\00")
        (data (i32.const 32) "\40\00\00\00\06\00\00\00\46\00\00\00\06\00\00\00")
        (func (export "environment") (result i32) (i32.const 16))
        (func (export "nothing") (result i32) (i32.const 128)))
    (core instance $i (instantiate $m))
    (func $environment (result (list (tuple string string))) (canon lift (core func $i "environment") (memory $i "m")))
    (func $arguments (result (list string)) (canon lift (core func $i "nothing") (memory $i "m")))
    (func $cwd (result (option string)) (canon lift (core func $i "nothing") (memory $i "m")))
    (instance $environment
        (export "get-environment" (func $environment))
        (export "get-arguments" (func $arguments))
        (export "initial-cwd" (func $cwd)))
    (export "wasi:cli/environment@VERSION" (instance $environment)))"#;

/// Composes a guest with an environment of its own, as `wasm-tools compose` does, and writes the result into `folder`.
fn with_own_environment(name: &str, folder: &Path) -> PathBuf {
    let (socket, plug) = (guest(name), folder.join("environment.wasm"));
    let checked = Cli::new("http://127.0.0.1:1").ok(&["check", socket.to_str().unwrap()]);
    let version = checked.lines().find_map(|line| line.strip_prefix("import wasi:cli/environment@"));
    let version = version.unwrap_or_else(|| panic!("`{name}` wants no environment: {checked}"));
    fs::write(&plug, wat::parse_str(ENVIRONMENT.replace("VERSION", version)).unwrap()).unwrap();
    let config = Config { dir: folder.to_owned(), definitions: vec![plug], ..Config::default() };
    let path = folder.join(format!("composed-{name}.wasm"));
    fs::write(&path, ComponentComposer::new(&socket, &config).compose().unwrap()).unwrap();
    path
}

#[test]
fn w4_what_a_tool_composes_fits_and_runs_on_the_spot() {
    let folder = tempfile::tempdir().unwrap();
    let composed = with_own_environment("chore", folder.path());
    let cli = Cli::new("http://127.0.0.1:1");
    let checked = cli.ok(&["check", composed.to_str().unwrap()]);
    assert!(checked.contains("fits") && checked.contains("; a run begins with 2 memories of up to "), "{checked}");
    assert!(!checked.contains("wasi:cli/environment"), "the host is asked for none: {checked}");

    let file = folder.path().join("job.toml");
    let text = format!("tenant = 'acme'\nname = 'chore'\ncomponent = {composed:?}\n");
    for trigger in ["trigger = 'schedule'\nschedule = '@daily'", "trigger = 'leader'"] {
        for limits in ["", "[limits]\nfuel = 1000000000\n"] {
            fs::write(&file, format!("{text}{trigger}\n{limits}[config]\nenv = 'COLOUR'\n")).unwrap();
            let ran = cli.run(&["run", file.to_str().unwrap(), "--state", "count=4"]);
            let said = r#"count=5 COLOUR=Some("silver")"#;
            assert!(ran.code == Some(0) && ran.out.contains(said), "{trigger} {limits}: {ran:#?}");
        }
    }
}

#[test]
fn w4_what_a_tool_composes_leads_and_ticks_on_a_host() {
    let mut cluster = Cluster::embedded();
    let composed = with_own_environment("witness", cluster.dir());
    let [plain, composed] = [guest("witness"), composed].map(|path| path.display().to_string());
    cluster.apply(&job::leading_witness("").replace(&plain, &composed));
    cluster.await_leader("a leader", "acme/witness", SOON, |_| true);
    cluster.apply(&job::ticking("ticker").replace(&plain, &composed));
    cluster.await_run("a run", "acme/ticker", SOON, |run| run.outcome.as_deref() == Some("succeeded"));
}

//! What others wrote never drives the terminal of whoever reads it, nor deceives them.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use silverback_tests::cli::Cli;
use silverback_tests::cluster::Cluster;
use silverback_tests::place::{guest, silverback};

/// Titles a window, makes red by one byte of the second control set, begins a line anew and turns the direction.
const NASTY: &str = "\u{1b}]0;title\u{7}\u{9b}31m\r\u{202e}x";
/// The same as a terminal may get it.
const ESCAPED: &str = r"\u{1b}]0;title\u{7}\u{9b}31m\r\u{202e}x";

fn is_harmful(c: char) -> bool {
    c != '\n'
        && (c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// What the command line writes to a terminal.
fn on_a_terminal(cli: &Cli, args: &[&str]) -> String {
    let pty = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut command = Command::new("python3");
    command.args(["-c", pty]).arg(silverback()).args(args).args(["--server", cli.server()]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn s10_a_component_with_a_nasty_import_is_refused_harmlessly() {
    let folder = tempfile::tempdir().unwrap();
    let (component, job) = (folder.path().join("evil.wasm"), folder.path().join("job.toml"));
    let text = format!("(component (import \"a{}\" (func)))", NASTY.escape_default());
    fs::write(&component, wat::parse_str(text).unwrap()).unwrap();
    fs::write(&job, "tenant = 'acme'\nname = 'evil'\ncomponent = 'evil.wasm'\ntrigger = 'leader'\n").unwrap();
    let cli = Cli::new("http://127.0.0.1:1");
    for args in [["check", component.to_str().unwrap()], ["run", job.to_str().unwrap()]] {
        let refused = cli.run(&args);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(ESCAPED) && !refused.err.contains(is_harmful), "{:?}", refused.err);
        assert_eq!(refused.out, "");
    }
    let misspelled = cli.run(&["runs", &format!("acme/{NASTY}")]);
    assert!(misspelled.code == Some(2) && !misspelled.err.contains(is_harmful), "{misspelled:?}");
}

#[test]
fn s10_a_value_is_escaped_on_a_terminal_and_exact_elsewhere() {
    let mut cluster = Cluster::embedded();
    cluster.apply(&format!(
        "tenant = 'acme'\nname = 'keeper'\ncomponent = {:?}\ntrigger = 'leader'\npaused = true\n",
        guest("nothing")
    ));
    let cli = cluster.cli();
    let value = format!("{NASTY}\nsecond");
    cli.ok(&["state", "set", "acme/keeper", "nasty", &value]);
    assert_eq!(cli.state("acme/keeper", "nasty").as_deref(), Some(value.as_str()));
    let get = ["state", "get", "acme/keeper", "nasty"];
    // A terminal ends its lines with a return too.
    assert_eq!(on_a_terminal(&cli, &get), format!("{ESCAPED}\r\nsecond\r\n"));
    let raw = [&get[..], &["--raw"]].concat();
    assert_eq!(on_a_terminal(&cli, &raw), value.replace('\n', "\r\n"));
}

#[test]
fn s10_json_of_a_nasty_key_is_harmless_and_means_the_same() {
    let mut cluster = Cluster::embedded();
    cluster.apply(&format!(
        "tenant = 'acme'\nname = 'keeper'\ncomponent = {:?}\ntrigger = 'leader'\npaused = true\n",
        guest("nothing")
    ));
    let cli = cluster.cli();
    let said = cli.ok(&["state", "set", "acme/keeper", NASTY, "value"]);
    assert_eq!(said, format!("set {ESCAPED} of acme/keeper\n"));
    let json = cli.ok(&["state", "list", "acme/keeper", "--output", "json"]);
    assert!(!json.contains(is_harmful), "{json:?}");
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()[0]["key"], NASTY);
    let table = cli.ok(&["state", "list", "acme/keeper"]);
    assert!(table.contains(ESCAPED) && !table.contains(is_harmful), "{table:?}");
}

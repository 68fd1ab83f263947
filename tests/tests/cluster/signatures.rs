//! A tenant that is set signers runs what one of them signed, and nothing else: not what was stored before, nor what it is set
//! others after.

use std::fs;
use std::path::{Path, PathBuf};

use silverback_tests::cli::RunRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::place::guest;
use silverback_tests::wait::{await_told, await_value};

const TICKER: &str = "acme/ticker";
const LEADER: &str = "acme/witness";

#[test]
fn a_tenant_with_signers_runs_what_one_of_them_signed_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let (ours, theirs) = (home.path().join("ours"), home.path().join("theirs"));
    let mut cluster = Cluster::embedded();
    let cli = cluster.cli();
    let new_key = |file: &Path| cli.ok(&["signing-key", file.to_str().unwrap()]).trim().to_owned();
    let (our_signer, their_signer) = (new_key(&ours), new_key(&theirs));

    let unsigned = [home.path().join("ticker.wasm"), home.path().join("leader.wasm")];
    for file in &unsigned {
        fs::copy(guest("witness"), file).unwrap();
    }
    let jobs = [ticking(&unsigned[0]), leading(&unsigned[1])];
    cluster.apply_all(&jobs);
    cluster.await_run("a tick while nobody has to sign", TICKER, SOON, succeeded);
    cluster.await_leader("a leader while nobody has to sign", LEADER, SOON, |leader| leader.leader);

    let told = cli.ok(&["tenant", "acme", "--signer", &our_signer]);
    assert!(told.contains(&format!("signers: {our_signer}")), "{told}");
    await_refusal(&mut cluster, "what is stored and isn't signed");
    let refused = cli.run(&["apply", job_file(home.path(), &jobs[0]).to_str().unwrap()]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.err.contains(&our_signer) && refused.err.contains("bears no signature"), "{refused:#?}");

    // Nothing else is made of what isn't signed: not even to find that it is no WebAssembly.
    let junk = home.path().join("junk.wasm");
    fs::write(&junk, "#!/bin/sh").unwrap();
    let refused = cli.run(&["apply", job_file(home.path(), &ticking(&junk)).to_str().unwrap()]);
    assert!(refused.err.contains(&our_signer) && !refused.err.contains("no WebAssembly"), "{refused:#?}");

    for file in &unsigned {
        let signed = cli.ok(&["sign", file.to_str().unwrap(), "--key", ours.to_str().unwrap()]);
        assert!(signed.contains(&our_signer), "{signed}");
    }
    cluster.apply_all(&jobs);
    await_acceptance(&mut cluster, "what we signed");
    // Over a restart, whose host knows only what is written down.
    cluster.hosts()[0].restart();
    await_acceptance(&mut cluster, "what we signed, after a restart");

    let cli = cluster.cli();
    cli.ok(&["tenant", "acme", "--signer", &their_signer]);
    await_refusal(&mut cluster, "what is signed by others than who may");
    cli.ok(&["tenant", "acme", "--signer", &their_signer, "--signer", &our_signer]);
    await_acceptance(&mut cluster, "what one of two signed");
}

/// The leader job leads nothing, and the ticks of the other are accounted for with the reason.
fn await_refusal(cluster: &mut Cluster, what: &str) {
    let cli = cluster.cli();
    let refused =
        |run: &RunRow| run.outcome.as_deref() == Some("skipped") && run.detail.contains("has to be signed by one of");
    await_value(&format!("a skipped tick: {what}"), SOON, || {
        let newest = cli.runs(TICKER)?.into_iter().next();
        if newest.as_ref().is_some_and(refused) { Ok(()) } else { Err(format!("{newest:#?}")) }
    });
    await_told(&format!("no leader: {what}"), SOON, || cli.contenders(LEADER), Vec::is_empty);
}

fn await_acceptance(cluster: &mut Cluster, what: &str) {
    let since = cluster.cli().runs(TICKER).unwrap().into_iter().next().unwrap().started;
    cluster.await_run(&format!("a tick: {what}"), TICKER, SOON, |run| succeeded(run) && run.started > since);
    cluster.await_leader(&format!("a leader: {what}"), LEADER, SOON, |leader| leader.leader);
}

fn succeeded(run: &RunRow) -> bool {
    run.outcome.as_deref() == Some("succeeded")
}

fn ticking(component: &Path) -> String {
    format!(
        "tenant = 'acme'\nname = 'ticker'\ncomponent = {component:?}\ntrigger = 'schedule'\nschedule = '@every 1s'\n"
    )
}

fn leading(component: &Path) -> String {
    format!("tenant = 'acme'\nname = 'witness'\ncomponent = {component:?}\ntrigger = 'leader'\n")
}

fn job_file(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("job.toml");
    fs::write(&file, text).unwrap();
    file
}

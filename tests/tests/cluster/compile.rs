//! Components are compiled apart from the host, within bounds, and once.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use silverback_tests::bomb;
use silverback_tests::cli::JobRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::place::guest;

const WITNESS: &str = "acme/witness";

#[test]
fn code_is_kept_over_a_restart_and_made_anew_where_somebody_changed_it() {
    let mut cluster = Cluster::embedded();
    cluster.apply(&job::leading_witness(""));
    let first = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    let made = code(&cluster);
    assert_eq!(made.len(), 1, "{made:?}");

    cluster.host("solo").restart();
    let second = cluster.await_leader("a leader after the restart", WITNESS, SOON, |leader| leader.token > first.token);
    assert_eq!(code(&cluster), made, "it was compiled again");

    cluster.host("solo").kill9();
    let (path, _) = &made[0];
    let mut bytes = fs::read(path).unwrap();
    let (right, middle) = (bytes.clone(), bytes.len() / 2);
    bytes[middle] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    cluster.host("solo").restart();
    cluster.await_leader("a leader that runs what was compiled anew", WITNESS, SOON, |next| next.token > second.token);
    assert!(fs::read(path).unwrap() == right, "it is what it was");
    let log = cluster.host("solo").log();
    assert!(log.contains("compiled anew") && log.contains("not what this host wrote"), "{log}");
}

/// A component may be as hard to compile as its author likes, and be none of wasmtime's faults.
#[test]
fn a_component_that_takes_too_much_to_compile_is_refused_and_the_host_goes_on() {
    let mut cluster = Cluster::embedded_with(&["--compile-time", "3s", "--compile-memory", "256MiB"]);
    cluster.apply(&job::leading_witness(""));
    let leader = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    let well = fs::read(guest("nothing")).unwrap();
    for (name, bytes, said) in [
        ("slow", bomb::long_to_compile(&well), "compiling the component takes more than 3 s of processor time"),
        ("hungry", bomb::large_to_compile(&well), "compiling the component takes more than 256 MiB of memory"),
    ] {
        let file = cluster.dir().join(format!("{name}.wasm"));
        fs::write(&file, bytes).unwrap();
        let text = job::ticking("bomb").replace(&guest("witness").display().to_string(), &file.display().to_string());
        let job_toml = cluster.dir().join("bomb.toml");
        fs::write(&job_toml, text).unwrap();
        let answer = cluster.cli().run(&["apply", &job_toml.display().to_string()]);
        assert!(answer.code == Some(1) && answer.err.contains(said), "{name}: {answer:#?}");
    }
    let jobs: Vec<JobRow> = cluster.cli().rows(&["jobs"]).unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:#?}");
    assert_eq!(code(&cluster).len(), 1, "nothing is kept of it");
    let rest: Vec<PathBuf> = files(&cluster).into_iter().filter(|file| file.is_file()).collect();
    assert_eq!(rest, [folder(&cluster).join("key")], "no file is left behind");
    let still = cluster.await_leader("the leader", WITNESS, SOON, |_| true);
    assert_eq!(still.token, leader.token, "the host went on");
}

fn folder(cluster: &Cluster) -> PathBuf {
    cluster.dir().join("solo/compiled")
}

fn files(cluster: &Cluster) -> Vec<PathBuf> {
    fs::read_dir(folder(cluster)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The files of code, with what tells one from another that took its place.
fn code(cluster: &Cluster) -> Vec<(PathBuf, u64)> {
    let kinds = files(cluster).into_iter().filter(|path| path.is_dir());
    let found = kinds.flat_map(|kind| fs::read_dir(kind).unwrap().map(|entry| entry.unwrap().path()));
    let code = found.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"));
    code.map(|path| (path.clone(), fs::metadata(&path).unwrap().ino())).collect()
}

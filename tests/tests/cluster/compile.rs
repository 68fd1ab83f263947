//! Components are compiled apart from the host, within bounds, and once.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use silverback_tests::bomb;
use silverback_tests::cli::{Answer, JobRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::place::guest;
use silverback_tests::process::children;
use silverback_tests::wait::await_value;

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
        let job_toml = job_with(&cluster, &bytes);
        // On a machine under full load the compiler may get too little of the processor, and it may be sent again.
        let tried = || cluster.cli().run(&["apply", &job_toml]);
        let starved = |answer: &Answer| answer.err.contains("too little processor time");
        let answer = std::iter::repeat_with(tried).take(20).find(|answer| !starved(answer));
        let answer = answer.expect("the compiler gets too little of the processor for ever");
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

/// By no fault of its own: it may be sent again.
#[test]
fn a_component_whose_compiler_gets_no_processor_is_not_waited_for_and_leaves_nothing() {
    let mut cluster = Cluster::embedded_with(&["--compile-time", "2s"]);
    let bytes = bomb::long_to_compile(&fs::read(guest("nothing")).unwrap());
    let job_toml = job_with(&cluster, &bytes);
    let (cli, host) = (cluster.cli(), cluster.host("solo").pid());
    let applying = thread::spawn(move || cli.run(&["apply", &job_toml]));
    let compiler = await_value("a compiler", SOON, || match compilers(host)[..] {
        [compiler] => Ok(compiler),
        ref others => Err(others.to_vec()),
    });
    kill_process(Pid::from_raw(compiler as i32).unwrap(), Signal::STOP).unwrap();
    let answer = applying.join().unwrap();
    let said = "this host had too little processor time for the component: it was not done with it after 8 s";
    assert!(answer.code == Some(1) && answer.err.contains(said), "{answer:#?}");

    await_value("the compiler's end", SOON, || match children(host).unwrap()[..] {
        [] => Ok(()),
        ref others => Err(others.to_vec()),
    });
    let rest: Vec<PathBuf> = files(&cluster).into_iter().filter(|file| file.is_file()).collect();
    assert_eq!(rest, [folder(&cluster).join("key")], "no file is left behind");
    cluster.apply(&job::leading_witness(""));
    cluster.await_leader("a leader", WITNESS, SOON, |_| true);
}

/// The error says more than an exit status.
#[test]
fn w4_a_compiler_that_is_killed_is_told_with_its_signal() {
    let mut cluster = Cluster::embedded();
    let bytes = bomb::long_to_compile(&fs::read(guest("nothing")).unwrap());
    let job_toml = job_with(&cluster, &bytes);
    for (signal, told) in [
        (
            Signal::KILL,
            "its process was killed (signal: 9 (SIGKILL)), as the kernel does when the machine has no memory left",
        ),
        (Signal::ABORT, "its process was ended by a signal (signal: 6 (SIGABRT))"),
    ] {
        let (cli, host, job_toml) = (cluster.cli(), cluster.host("solo").pid(), job_toml.clone());
        let applying = thread::spawn(move || cli.run(&["apply", &job_toml]));
        let compiler = await_value("a compiler", SOON, || match compilers(host)[..] {
            [compiler] => Ok(compiler),
            ref others => Err(others.to_vec()),
        });
        kill_process(Pid::from_raw(compiler as i32).unwrap(), signal).unwrap();
        let answer = applying.join().unwrap();
        let told = format!("the compiler failed: {told}");
        assert!(answer.code == Some(1) && answer.err.contains(&told), "{answer:#?}");
    }
}

/// Writes a job of this component, and gives where.
fn job_with(cluster: &Cluster, component: &[u8]) -> String {
    let [file, job_toml] = ["bomb.wasm", "bomb.toml"].map(|name| cluster.dir().join(name));
    fs::write(&file, component).unwrap();
    let text = job::ticking("bomb").replace(&guest("witness").display().to_string(), &file.display().to_string());
    fs::write(&job_toml, text).unwrap();
    job_toml.display().to_string()
}

/// The children of a host that compile.
fn compilers(host: u32) -> Vec<u32> {
    let command = |child: &u32| fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
    children(host).unwrap().into_iter().filter(|child| command(child).contains("compile-component")).collect()
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

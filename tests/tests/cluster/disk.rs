//! A disk that is full: a host says so, and goes on by itself when there is room again.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use silverback_tests::cli::{Answer, JobRow, RunRow};
use silverback_tests::cluster::SOON;
use silverback_tests::host::{Host, HostSettings};
use silverback_tests::job;
use silverback_tests::place::silverback;
use silverback_tests::port::free_port;
use silverback_tests::process::Process;
use silverback_tests::small_disk::SmallDisk;
use silverback_tests::wait::await_value;
use silverback_tests::zookeeper::ZooKeeperServer;
use tempfile::TempDir;

const TICKER: &str = "acme/ticker";
const DISK: SmallDisk = SmallDisk { mebibytes: 24 };
const FULL: &str = "No space left on device";

/// A host with a disk of its own, and a job that ticks.
fn host_that_ticks(zookeeper: Option<String>) -> (TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let settings = HostSettings { disk: Some(DISK), zookeeper, ..HostSettings::embedded("solo") };
    let host = Host::start(settings, dir.path());
    let file = dir.path().join("job.toml");
    fs::write(&file, job::ticking_witness("@every 1s")).unwrap();
    host.cli().ok(&["apply", file.to_str().unwrap()]);
    await_success_from_now_on(&host);
    (dir, host)
}

/// Waits for a run that succeeds and whose tick is yet to come. The host may be unable to tell of its runs at first.
#[track_caller]
fn await_success_from_now_on(host: &Host) {
    let now = Timestamp::now();
    await_value("a run that succeeds from now on", SOON, || {
        let runs = host.cli().runs(TICKER)?;
        let is_new = |run: &RunRow| run.tick > Some(now) && run.outcome.as_deref() == Some("succeeded");
        if runs.iter().any(is_new) { Ok(()) } else { Err(format!("{runs:#?}")) }
    });
}

/// Writes large values to the job's state until the disk takes no more, and gives what was said then.
fn write_until_refused(host: &Host) -> Answer {
    // About as much as an argument may have.
    let value = "x".repeat(100 * 1024);
    (0..200)
        .map(|key| host.cli().run(&["state", "set", TICKER, &format!("k{key}"), &value]))
        .find(|answer| answer.code != Some(0))
        .expect("there is no room for so much")
}

#[test]
fn w5_an_embedded_host_goes_on_when_its_disk_has_room_again() {
    let (_dir, mut host) = host_that_ticks(None);
    host.cli().ok(&["state", "set", TICKER, "kept", "before"]);
    host.disk().fill();
    let refused = write_until_refused(&host);
    assert!(refused.code == Some(1) && refused.err.contains("coordinator.redb"), "{refused:#?}");
    let said = await_value("the reason in what a command says", SOON, || {
        let answer = host.cli().run(&["jobs"]);
        if answer.err.contains(FULL) { Ok(answer) } else { Err(answer) }
    });
    assert!(said.code == Some(1) && said.err.contains("coordinator.redb"), "{said:#?}");
    assert!(said.err.contains("free some space"), "{said:#?}");
    assert!(host.runs(), "it waits for room:\n{}", host.log());
    let told = |level: &str| host.log().lines().any(|line| line.contains(level) && line.contains(FULL));
    assert!(told("ERROR") && told("WARN"), "{}", host.log());

    host.disk().free();
    await_success_from_now_on(&host);
    assert_eq!(host.cli().state(TICKER, "kept").as_deref(), Some("before"));
    let jobs: Vec<JobRow> = host.cli().rows(&["jobs"]).unwrap();
    assert_eq!(jobs.len(), 1);
    host.cli().ok(&["state", "set", TICKER, "kept", "after"]);
    assert_eq!(host.cli().state(TICKER, "kept").as_deref(), Some("after"));
    assert_eq!(host.sigterm().code(), Some(0));
}

#[test]
fn w5_a_coordinator_file_that_is_gone_ends_the_host() {
    let (_dir, mut host) = host_that_ticks(None);
    let file = host.disk().path("coordinator/coordinator.redb");
    // Its blocks stay in use until the host lets go of the file.
    fs::remove_file(&file).unwrap();
    host.disk().fill();
    write_until_refused(&host);
    let status = host.await_end();
    let log = host.log();
    assert_eq!(status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("silverback: ") && last.contains("coordinator.redb"), "{log}");
}

#[test]
fn w5_a_host_on_zookeeper_keeps_its_history_over_a_full_disk() {
    let server = ZooKeeperServer::start().unwrap();
    let (_dir, host) = host_that_ticks(Some(server.connect_string()));
    let before = host.cli().runs(TICKER).unwrap();
    host.disk().fill();
    await_value("the history's failure in the log", SOON, || {
        let log = host.log();
        if log.contains("the history store failed") && log.contains(FULL) { Ok(()) } else { Err(log) }
    });
    for _ in 0..3 {
        await_success_from_now_on(&host);
    }
    let meanwhile = host.cli().runs(TICKER).unwrap();
    host.disk().free();
    await_success_from_now_on(&host);
    // What ended while the disk was full was written when it had room, and nothing is gone that was there before.
    let journal = host.disk().path("store/journal/solo");
    let all = before.iter().chain(&meanwhile).filter(|run| run.outcome.is_some());
    for run in all.map(|run| format!("\"{}\"", run.run)) {
        await_value("the record of a run in the store", SOON, || {
            let segments = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
            let mut texts = segments.map(|segment| fs::read_to_string(segment).unwrap_or_default());
            if texts.any(|text| text.contains(&run)) { Ok(()) } else { Err(run.clone()) }
        });
    }
    assert!(!host.log().contains("the record of a run is lost"), "{}", host.log());
}

#[test]
fn w11_a_first_start_on_a_full_disk_spoils_no_later_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("solo");
    // Starts that find no room, little, and a little more are refused. Then there is room.
    let before = "for room in 0 8 40; do \
                      cat /dev/zero >\"$folder/ballast\"; \
                      truncate -s -${room}K \"$folder/ballast\"; \
                      setpriv --pdeathsig KILL -- \"$@\"; [ $? = 1 ] || exit 3; \
                      rm \"$folder/ballast\"; \
                  done && ";
    let args = ["up", "--listen", &format!("127.0.0.1:{}", free_port()), "--data", data.to_str().unwrap()];
    let args = args.map(str::to_owned).to_vec();
    let (program, args) = SmallDisk { mebibytes: 8 }.run(&data, before, &silverback(), args);
    let mut process = Process::start("solo", &program, &args, dir.path());
    await_value("the host to be ready", Duration::from_secs(60), || {
        assert!(process.exited().is_none(), "{}", process.log());
        if process.out().lines().count() == 1 { Ok(()) } else { Err(process.log()) }
    });
    let refusals = process.log().lines().filter(|line| line.starts_with("silverback: ")).count();
    assert_eq!(refusals, 3, "{}", process.log());
    assert!(process.log().contains(FULL), "{}", process.log());
}

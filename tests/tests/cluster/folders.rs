//! What a host finds in the folders that it is given: what it refuses, and what it says then.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::place::silverback;
use silverback_tests::refusal::{last_line, refusal, refusal_of};
use silverback_tests::wait::await_value;
use silverback_tests::zookeeper::ZooKeeperServer;
use silverback_tests::{job, place};
use tempfile::TempDir;

const TICKER: &str = "acme/ticker";
const WITNESS: &str = "acme/witness";
const NOBODY: u32 = 65534;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

/// A folder or file of another user: given away where this user may, and one of the system's otherwise.
fn foreign(path: PathBuf, otherwise: &str) -> PathBuf {
    match chown(&path, Some(NOBODY), None) {
        Ok(()) => path,
        Err(_) => otherwise.into(),
    }
}

/// A key file that this user can read and that belongs to another one, and what the program is started with to see it so. If
/// this user may not give the key away, it is a file of the system's in a user namespace that knows no other user.
fn foreign_key(key: PathBuf) -> (PathBuf, Vec<&'static str>) {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| text(&silverback()).to_owned());
    match chown(&key, Some(NOBODY), None) {
        Ok(()) => (key, vec![&PROGRAM]),
        // Death with the test is asked for again: new credentials forget it.
        Err(_) => {
            let alone = ["unshare", "--map-root-user", "setpriv", "--pdeathsig", "KILL", "--", &PROGRAM];
            ("/etc/passwd".into(), alone.to_vec())
        }
    }
}

/// All files and folders below one.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            all.append(&mut all_below(&entry));
        }
        all.push(entry);
    }
    all
}

fn folder(place: &TempDir, name: &str, mode: u32) -> PathBuf {
    let folder = place.path().join(name);
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, mode);
    folder
}

#[test]
fn s14_a_data_folder_that_others_reach_is_refused_with_the_remedy() {
    let place = tempfile::tempdir().unwrap();
    let open = folder(&place, "open", 0o755);
    let said = refusal(&["--data", text(&open)]);
    assert!(said.contains(&format!("data: `{}` has mode 755", open.display())), "{said}");
    assert!(said.contains(&format!("`chmod 700 {}`", open.display())), "{said}");

    let (own, link) = (folder(&place, "own", 0o700), place.path().join("link"));
    symlink(&own, &link).unwrap();
    for named in [text(&link).to_owned(), format!("{}/", link.display())] {
        let said = refusal(&["--data", &named]);
        assert!(said.contains("is a symbolic link to `") && said.contains("name the folder itself"), "{said}");
    }
    let theirs = foreign(folder(&place, "theirs", 0o700), "/usr");
    let said = refusal(&["--data", text(&theirs)]);
    assert!(said.contains("belongs to user ") && said.contains("`chown "), "{said}");
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let said = refusal(&["--data", text(&file)]);
    assert!(said.contains(&format!("`{}` is no folder", file.display())), "{said}");
    assert_eq!(fs::read_dir(&open).unwrap().count() + fs::read_dir(&own).unwrap().count(), 0, "nothing is left there");
}

#[test]
fn s14_a_store_that_others_may_write_to_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    for mode in [0o777, 0o770, 0o702] {
        let store = folder(&place, &format!("store-{mode:o}"), mode);
        let said = refusal(&["--data", text(&data), "--store", text(&store)]);
        assert!(said.contains(&format!("store: `{}` has mode {mode:o}", store.display())), "{said}");
        assert!(said.contains("can write to it") && said.contains("`chmod 700 "), "{said}");
    }
    let theirs = foreign(folder(&place, "theirs", 0o755), "/usr");
    let said = refusal(&["--data", text(&data), "--store", text(&theirs)]);
    assert!(said.contains("store: `") && said.contains("belongs to user "), "{said}");
    let link = place.path().join("link");
    symlink(folder(&place, "own", 0o700), &link).unwrap();
    let said = refusal(&["--data", text(&data), "--store", text(&link)]);
    assert!(said.contains("is a symbolic link to `"), "{said}");
}

#[test]
fn s14_a_key_file_of_another_user_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (data, key) = (place.path().join("data"), place.path().join("key"));
    let made = std::process::Command::new(silverback()).args(["secret", "key"]).arg(&key).output().unwrap();
    assert!(made.status.success());
    set_mode(&key, 0o640);
    let said = refusal(&["--data", text(&data), "--secrets-key", text(&key)]);
    assert!(said.contains("secrets-key: `") && said.contains("`chmod 600 "), "{said}");
    set_mode(&key, 0o600);
    let (key, started) = foreign_key(key);
    let component = place::guest("nothing");
    let up = ["up", "--listen", "127.0.0.1:0", "--data", text(&data), "--secrets-key", text(&key)];
    let sign = ["sign", text(&component), "--output", text(&data), "--key", text(&key)];
    for command in [&up[..], &sign] {
        let words = [&started[..], command].concat();
        let said = refusal_of(Path::new(words[0]), &words[1..]);
        assert!(last_line(&said).contains(&format!("belongs to user {NOBODY}")), "{said:#?}");
    }
}

#[test]
fn s14_nobody_else_can_use_what_a_host_makes() {
    // The folders above the data aren't the host's to close.
    let mut cluster = Cluster::embedded();
    cluster.apply(&job::ticking_witness("@every 1s"));
    cluster.await_run("a run", TICKER, SOON, |run| run.outcome.is_some());
    // A host that runs makes files and removes them meanwhile.
    assert_eq!(cluster.host("solo").sigterm().code(), Some(0));
    for made in [cluster.dir().join("solo"), cluster.dir().join("store")] {
        assert_eq!(mode(&made), 0o700, "{}", made.display());
        for path in all_below(&made) {
            assert_eq!(mode(&path) & 0o077, 0, "{} has mode {:o}", path.display(), mode(&path));
        }
    }
}

#[test]
fn a_folder_that_a_host_uses_is_refused_to_a_second_one() {
    let mut cluster = Cluster::embedded();
    let (data, pid) = (cluster.host("solo").data(), cluster.host("solo").pid());
    for more in [&[][..], &["--zookeeper", "127.0.0.1:1"]] {
        let said = refusal(&[&["--data", text(&data)], more].concat());
        let wanted = format!("folder `{}` is in use by another host, process {pid}", data.display());
        assert!(said.contains(&wanted), "{said}");
    }
    cluster.host("solo").restart();
}

#[test]
fn a_lost_coordinator_file_beside_records_is_no_fresh_start() {
    let mut cluster = Cluster::embedded();
    cluster.apply(&job::ticking_witness("@every 1s"));
    let run = cluster.await_run("a run", TICKER, SOON, |run| run.outcome.is_some());
    let (data, store) = (cluster.host("solo").data(), cluster.dir().join("store"));
    assert_eq!(cluster.host("solo").sigterm().code(), Some(0));
    let file = data.join("coordinator/coordinator.redb");
    let up = ["--data", text(&data), "--store", text(&store)];
    let said = refusal(&[&up[..], &["--new"]].concat());
    assert!(said.contains("has a coordinator.redb that can be used: leave out `--new`"), "{said}");

    fs::remove_file(&file).unwrap();
    let said = refusal(&up);
    assert!(said.contains("has no coordinator.redb") && said.contains("has records of runs"), "{said}");
    assert!(
        said.contains("which ticks are done would be forgotten") && said.contains("`silverback up --new`"),
        "{said}"
    );
    assert!(!file.exists());

    let mut cluster = restart_with(cluster, "--new");
    assert!(file.exists());
    cluster.apply(&job::ticking_witness("@every 1s"));
    let again = cluster.cli().runs(TICKER).unwrap();
    assert!(again.iter().any(|told| told.run == run.run), "what was recorded is still there: {again:#?}");
}

/// Starts the only host of a cluster again with another option.
fn restart_with(mut cluster: Cluster, option: &str) -> Cluster {
    cluster.host("solo").settings_mut().options.push(option.to_owned());
    cluster.host("solo").restart();
    cluster.host("solo").settings_mut().options.pop();
    cluster
}

#[test]
fn a_damaged_coordinator_file_is_named_with_the_remedy() {
    let mut cluster = Cluster::embedded();
    cluster.apply(&job::ticking_witness("@every 1s"));
    let (data, store) = (cluster.host("solo").data(), cluster.dir().join("store"));
    assert_eq!(cluster.host("solo").sigterm().code(), Some(0));
    let file = data.join("coordinator/coordinator.redb");
    let whole = fs::read(&file).unwrap();
    let half = whole.len() / 2;
    let zeroed = |from: usize, to: usize| [&whole[..from], &vec![0; to - from], &whole[to..]].concat();
    let noise: Vec<u8> = (0..whole.len()).map(|at| (at * at % 251) as u8).collect();
    let damaged = [
        ("its end zeroed", zeroed(half, whole.len())),
        ("all but its first page zeroed", zeroed(4096, whole.len())),
        ("its beginning zeroed", zeroed(0, 512)),
        ("half of it gone", whole[..half].to_vec()),
        ("a few bytes left", whole[..100].to_vec()),
        ("noise", noise),
        ("nothing in it", Vec::new()),
    ];
    let up = ["--data", text(&data), "--store", text(&store)];
    for (what, bytes) in damaged {
        fs::write(&file, bytes).unwrap();
        let said = refusal(&up);
        assert!(said.contains(&format!("file `{}`: it is damaged: ", file.display())), "{what}: {said}");
        assert!(said.contains("from a backup") && said.contains("`silverback up --new`"), "{what}: {said}");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let said = refusal(&up);
    assert!(said.contains(&format!("file `{}`", file.display())) && said.contains("Is a directory"), "{said}");
    fs::remove_dir(&file).unwrap();

    fs::write(&file, &whole[..half]).unwrap();
    let mut cluster = restart_with(cluster, "--new");
    assert_eq!(fs::read(file.with_added_extension("damaged-1")).unwrap(), whole[..half], "it is kept");
    assert_eq!(cluster.cli().ok(&["jobs", "--output", "json"]).trim(), "[]");
}

#[test]
fn an_unusable_key_of_compiled_code_is_made_anew() {
    let mut cluster = Cluster::embedded();
    cluster.apply(&job::ticking_witness("@every 1s"));
    cluster.await_run("a run", TICKER, SOON, |run| run.outcome.is_some());
    let key = cluster.host("solo").data().join("compiled/key");
    assert_eq!(cluster.host("solo").sigterm().code(), Some(0));
    fs::write(&key, "").unwrap();
    cluster.host("solo").restart();
    assert_eq!(fs::read(&key).unwrap().len(), 32);
    let log = cluster.host("solo").log();
    assert!(log.contains("WARN") && log.contains("compiled/key`: it has 0 bytes and not 32"), "{log}");
    let before = cluster.cli().runs(TICKER).unwrap().len();
    await_value("another run", SOON, || {
        let runs = cluster.cli().runs(TICKER)?;
        if runs.len() > before && runs[0].outcome.is_some() { Ok(()) } else { Err(format!("{runs:#?}")) }
    });
}

#[test]
fn records_of_a_renamed_host_are_told_by_every_host() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start_apart(&server.connect_string(), Duration::from_secs(4), &["a"]);
    cluster.apply(&job::ticking_witness("@every 1s"));
    cluster.apply(&job::leading_witness(""));
    let run = cluster.await_run("a run", TICKER, SOON, |run| run.outcome.is_some());
    let line = await_value("a line of a leader", SOON, || {
        cluster.cli().logs(WITNESS)?.first().cloned().ok_or("none".to_owned())
    });
    for job in [TICKER, WITNESS] {
        cluster.cli().ok(&["pause", job]);
    }
    assert_eq!(cluster.host("a").sigterm().code(), Some(0));
    fs::rename(cluster.dir().join("a"), cluster.dir().join("renamed")).unwrap();
    cluster.join("renamed");
    cluster.join("other");
    // Another host may have the name by now, with a folder of its own.
    cluster.join("a");
    for asked in ["renamed", "other", "a"] {
        let cli = cluster.hosts().iter_mut().rfind(|host| host.name() == asked).unwrap().cli();
        let runs = cli.runs(TICKER).unwrap();
        let told: Vec<_> = runs.iter().filter(|told| told.run == run.run).collect();
        assert_eq!((told.len(), told[0].host.as_str()), (1, "a"), "{asked}: {runs:#?}");
        let lines = cli.logs(WITNESS).unwrap();
        let said = lines.iter().filter(|said| said.message == line.message && said.host == "a").count();
        assert_eq!(said, 1, "{asked}: {lines:#?}");
    }
}

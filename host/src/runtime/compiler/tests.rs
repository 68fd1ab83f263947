//! What is kept, and whose code is loaded.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

use super::kept::{CodeFolder, KEY_BYTES, LoadError};
use super::*;
use crate::clock;
use crate::registry::Digest;
use crate::runtime::engine;
use crate::runtime::tests::{OK, guest};

/// A host's own folder.
fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(place: &TempDir) -> CodeFolder {
    CodeFolder::open(&place.path().join("compiled"), clock::system()).unwrap()
}

/// Keeps what it compiles to, as a child would have written it.
fn keep(folder: &CodeFolder, engine: &Engine, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    let code = NamedTempFile::new_in(folder.path()).unwrap();
    fs::write(code.path(), engine.precompile_component(bytes).unwrap()).unwrap();
    folder.keep(engine, &digest, code).unwrap();
    digest
}

fn others() -> (Vec<u8>, Vec<u8>) {
    (guest(OK), guest(&format!("(drop (i32.const 7)) {OK}")))
}

fn copy(from: &Path, to: &Path) {
    fs::remove_file(to).unwrap();
    fs::copy(from, to).unwrap();
}

#[test]
fn what_is_kept_is_there_for_the_next_life_of_the_host() {
    let (place, engine) = (place(), engine::pooled(1, 0).unwrap());
    let bytes = guest(OK);
    let digest = keep(&open(&place), &engine, &bytes);
    let again = open(&place);
    assert!(again.load(&engine, &digest).unwrap().is_some());
    assert!(again.load(&engine, &Digest::of(b"other")).unwrap().is_none());
}

/// A component that is run with and without a limit of fuel.
#[test]
fn the_code_of_all_engines_is_kept() {
    let (place, plain, metered) = (place(), engine::pooled(1, 0).unwrap(), engine::on_demand(true).unwrap());
    let (folder, bytes) = (open(&place), guest(OK));
    let digest = keep(&folder, &plain, &bytes);
    assert!(folder.load(&metered, &digest).unwrap().is_none(), "the one's is not the other's");
    keep(&folder, &metered, &bytes);
    for engine in [&plain, &metered, &engine::on_demand(false).unwrap()] {
        assert!(folder.load(engine, &digest).unwrap().is_some(), "terms run the code of runs");
    }
}

#[test]
fn what_a_killed_life_left_half_done_is_gone_with_the_next() {
    let (place, engine) = (place(), engine::pooled(1, 0).unwrap());
    let folder = open(&place);
    let digest = keep(&folder, &engine, &guest(OK));
    let (_, scrap) = NamedTempFile::new_in(folder.path()).unwrap().keep().unwrap();
    assert!(open(&place).load(&engine, &digest).unwrap().is_some(), "what is whole stays, and so does the key");
    assert!(!scrap.exists());
}

#[test]
fn code_that_another_host_made_is_none() {
    let (ours, theirs, engine) = (place(), place(), engine::pooled(1, 0).unwrap());
    let bytes = guest(OK);
    let (folder, other) = (open(&ours), open(&theirs));
    let digest = keep(&folder, &engine, &bytes);
    keep(&other, &engine, &bytes);
    let (from, to) = (other.files(&engine, &digest), folder.files(&engine, &digest));
    copy(&from.0, &to.0);
    copy(&from.1, &to.1);
    assert!(matches!(folder.load(&engine, &digest), Err(LoadError::Changed)));
    assert!(folder.load(&engine, &digest).unwrap().is_none(), "it is gone");
}

#[test]
fn code_of_another_component_is_none() {
    let (place, engine) = (place(), engine::pooled(1, 0).unwrap());
    let (one, two) = others();
    let folder = open(&place);
    let (one, two) = (keep(&folder, &engine, &one), keep(&folder, &engine, &two));
    let (from, to) = (folder.files(&engine, &one), folder.files(&engine, &two));
    copy(&from.0, &to.0);
    copy(&from.1, &to.1);
    assert!(matches!(folder.load(&engine, &two), Err(LoadError::Changed)));
    assert!(folder.load(&engine, &one).unwrap().is_some(), "the other is as it was");
}

#[test]
fn code_without_its_seal_is_none() {
    let (place, engine) = (place(), engine::pooled(1, 0).unwrap());
    let folder = open(&place);
    let digest = keep(&folder, &engine, &guest(OK));
    let (_, seal) = folder.files(&engine, &digest);
    File::create(&seal).unwrap();
    assert!(matches!(folder.load(&engine, &digest), Err(LoadError::Changed)));
    keep(&folder, &engine, &guest(OK));
    fs::remove_file(&seal).unwrap();
    assert!(folder.load(&engine, &digest).unwrap().is_none());
}

#[test]
fn a_folder_that_others_may_enter_is_refused() {
    let place = place();
    fs::set_permissions(place.path(), Permissions::from_mode(0o750)).unwrap();
    let handle = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let limits = CompileLimits { cpu_seconds: 1, memory_bytes: 1 << 30 };
    let refused = Compiler::apart(place.path(), limits, clock::system(), handle.handle().clone()).unwrap_err();
    let path = place.path().display();
    let said = format!(
        "the folder of compiled code `{path}` can't be used: `{path}` has mode 750, with which other users can get into it: \
         `chmod 700 {path}`"
    );
    assert_eq!(refused.to_string(), said);
}

#[test]
fn a_folder_that_is_elsewhere_is_refused() {
    let place = place();
    drop(open(&place));
    let (folder, elsewhere) = (place.path().join("compiled"), place.path().join("elsewhere"));
    fs::rename(&folder, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &folder).unwrap();
    let refusal = CodeFolder::open(&folder, clock::system()).unwrap_err().to_string();
    assert!(refusal.contains("/compiled` is a symbolic link to "), "{refusal}");
}

#[test]
fn w11_a_key_that_cannot_be_used_is_made_anew_and_code_with_it() {
    let (place, engine) = (place(), engine::pooled(1, 0).unwrap());
    let key = place.path().join("compiled/key");
    let spoil: [&dyn Fn(); 4] = [
        &|| fs::write(&key, b"").unwrap(),
        &|| fs::write(&key, [7; KEY_BYTES + 1]).unwrap(),
        &|| fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap(),
        &|| {
            fs::remove_file(&key).unwrap();
            std::os::unix::fs::symlink("/nowhere", &key).unwrap();
        },
    ];
    for spoil in spoil {
        let digest = keep(&open(&place), &engine, &guest(OK));
        let before = fs::read(&key).unwrap();
        spoil();
        let folder = open(&place);
        assert!(folder.load(&engine, &digest).unwrap().is_none(), "nothing is kept under the old key");
        let now = key.symlink_metadata().unwrap();
        assert_eq!((now.len(), now.permissions().mode() & 0o777), (KEY_BYTES as u64, 0o600));
        assert_ne!(fs::read(&key).unwrap(), before);
    }
}

#[test]
fn half_of_what_was_kept_stands_in_nobodys_way() {
    let (place, engine) = (place(), engine::pooled(1, 0).unwrap());
    let (one, two) = others();
    let room_for_one = engine.precompile_component(&one).unwrap().len() as u64 + 1024;
    let folder = open(&place).holding(room_for_one);
    let old = keep(&folder, &engine, &one);
    // As if the host had been killed in between.
    fs::remove_file(folder.files(&engine, &old).1).unwrap();
    let new = keep(&folder, &engine, &two);
    assert!(folder.load(&engine, &new).unwrap().is_some());
    assert!(!folder.files(&engine, &old).0.exists(), "there was too much of it");
}

#[test]
fn what_was_used_longest_ago_goes_where_there_is_too_much() {
    let (place, engine) = (place(), engine::pooled(1, 0).unwrap());
    let clock = clock::SetClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let (one, two) = others();
    let room_for_two = 2 * engine.precompile_component(&one).unwrap().len() as u64 + 1024;
    let folder = CodeFolder::open(&place.path().join("compiled"), clock.clone()).unwrap().holding(room_for_two);
    let used = |digest: &Digest, at: &str| {
        clock.set(format!("2026-01-01T{at}Z").parse().unwrap());
        folder.load(&engine, digest).unwrap().is_some()
    };
    let one = keep(&folder, &engine, &one);
    let two = keep(&folder, &engine, &two);
    // Both before the third is written, whose time is the machine's.
    assert!(used(&two, "00:00:01") && used(&one, "00:00:02"));
    let three = keep(&folder, &engine, &guest(&format!("(drop (i32.const 8)) {OK}")));
    assert!(used(&three, "00:00:03") && used(&one, "00:00:03"));
    assert!(!used(&two, "00:00:04"), "it was used longest ago");
}

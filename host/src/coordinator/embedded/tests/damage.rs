//! Files that aren't whole.

use std::fs;

use super::*;

/// A folder with a coordinator that has something in it, and the bytes of its file.
async fn coordinator() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let (embedded, session) = open(dir.path()).await;
    session.create("/a", &[7; 20_000], CreateMode::Persistent).await.unwrap();
    for child in 0..50 {
        session.create(&format!("/a/{child}"), &[child; 100], CreateMode::Persistent).await.unwrap();
    }
    drop((embedded, session));
    let bytes = fs::read(store::file_in(dir.path())).unwrap();
    (dir, bytes)
}

/// A page is noticed whatever it is of, or else nothing needed it.
#[tokio::test]
async fn a_damaged_page_is_never_taken_for_another_tree() {
    const PAGE: usize = 4096;
    let (dir, whole) = coordinator().await;
    let mut refused = 0;
    for page in 0..whole.len() / PAGE {
        let mut bytes = whole.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        fs::write(store::file_in(dir.path()), &bytes).unwrap();
        match reopened(dir.path()).await {
            Err(OpenError::Damaged { file, .. }) => {
                assert_eq!(file, store::file_in(dir.path()));
                refused += 1;
            }
            Err(other) => panic!("page {page}: {other}"),
            Ok(embedded) => {
                let session = embedded.connect(PATIENCE).await.unwrap();
                assert_eq!(session.list("/a").await.unwrap().len(), 50, "page {page}");
                assert_eq!(session.get("/a").await.unwrap().0, [7; 20_000], "page {page}");
            }
        }
    }
    assert!(refused >= 7, "a value alone has five pages: {refused} of {} were missed", whole.len() / PAGE);
}

#[tokio::test]
async fn w11_what_an_unfinished_start_left_keeps_nobody_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let unfinished = dir.path().join("coordinator.redb.new");
    fs::write(&unfinished, b"half a database").unwrap();
    let (_embedded, session) = open(dir.path()).await;
    session.create("/a", b"", CreateMode::Persistent).await.unwrap();
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_file_that_is_removed_in_use_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (embedded, session) = open(&dir.path().join("below")).await;
    session.create("/before", b"1", CreateMode::Persistent).await.unwrap();
    session.create("/ephemeral", b"", CreateMode::Ephemeral).await.unwrap();
    fs::remove_dir_all(dir.path().join("below")).unwrap();
    session.create("/before/after", b"2", CreateMode::Persistent).await.unwrap();
    let stat = session.stat("/before").await.unwrap();
    drop((embedded, session));
    let (_embedded, later) = open(&dir.path().join("below")).await;
    assert_eq!(later.list("/").await.unwrap(), ["before"]);
    assert_eq!(later.stat("/before").await.unwrap(), stat);
    assert_eq!(later.get("/before/after").await.unwrap().0, b"2");
}

#[tokio::test]
async fn a_file_that_is_replaced_in_use_is_kept_aside_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (embedded, session) = open(dir.path()).await;
    session.create("/before", b"1", CreateMode::Persistent).await.unwrap();
    let (file, copy) = (store::file_in(dir.path()), dir.path().join("copy"));
    fs::copy(&file, &copy).unwrap();
    fs::rename(&copy, &file).unwrap();
    session.create("/after", b"2", CreateMode::Persistent).await.unwrap();
    drop((embedded, session));
    let (_embedded, later) = open(dir.path()).await;
    assert_eq!(later.list("/").await.unwrap(), ["after", "before"]);
    assert!(dir.path().join("coordinator.redb.replaced").exists());
}

#[tokio::test]
async fn a_file_that_is_gone_or_set_aside_makes_room_for_a_new_one() {
    let (dir, whole) = coordinator().await;
    let file = store::file_in(dir.path());
    fs::write(&file, &whole[..100]).unwrap();
    let first = Embedded::set_aside(dir.path()).unwrap();
    assert!(!Embedded::is_in(dir.path()));
    let (embedded, session) = open(dir.path()).await;
    assert!(session.list("/").await.unwrap().is_empty() && Embedded::is_in(dir.path()));
    drop((embedded, session));
    let second = Embedded::set_aside(dir.path()).unwrap();
    assert_eq!(fs::read(&first).unwrap(), whole[..100], "nothing is written over what was set aside before");
    assert_ne!(first, second);
}

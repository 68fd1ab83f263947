//! What holds of nodes and their values.

use silverback::clock;
use silverback::coordinator::{
    CreateMode, Error, MAX_MULTI_OPS, MAX_PATH_BYTES, MAX_VALUE_BYTES, MultiError, Op, ensure_path,
};

use crate::ground::{Ground, check};

pub(crate) async fn values_come_back_byte_for_byte(ground: Ground) {
    let session = ground.session().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    for (name, data) in [("empty", &b""[..]), ("bytes", &every_byte)] {
        let path = session.create(&ground.path(name), data, CreateMode::Persistent).await.unwrap();
        assert_eq!(session.get(&path).await.unwrap().0, data);
    }
}

pub(crate) async fn a_stat_tells_birth_changes_and_children(ground: Ground) {
    let session = ground.session().await;
    let path = session.create(&ground.path("a"), b"", CreateMode::Persistent).await.unwrap();
    let born = session.stat(&path).await.unwrap().unwrap();
    assert_eq!((born.version, born.ephemeral_owner, born.num_children), (0, 0, 0));
    assert_eq!((born.mzxid, born.mtime_ms), (born.czxid, born.ctime_ms));
    let now_ms = clock::system().wall().as_millisecond();
    assert!((now_ms - born.ctime_ms).abs() < 60_000, "born at {} ms, now {now_ms} ms", born.ctime_ms);
    session.create(&ground.path("a/b"), b"", CreateMode::Persistent).await.unwrap();
    let set = session.set(&path, b"x", None).await.unwrap();
    assert_eq!((set.version, set.czxid, set.num_children), (1, born.czxid, 1));
    assert!(set.mzxid > born.mzxid);
    assert_eq!(session.get(&path).await.unwrap(), (b"x".to_vec(), set));
}

pub(crate) async fn a_create_needs_a_persistent_parent_and_a_new_name(ground: Ground) {
    let session = ground.session().await;
    let (missing, taken, below) = (ground.path("no/child"), ground.path("e"), ground.path("e/child"));
    session.create(&taken, b"", CreateMode::Ephemeral).await.unwrap();
    let attempt = async |path: &str| session.create(path, b"", CreateMode::Persistent).await.unwrap_err();
    assert_eq!(attempt(&missing).await, Error::NoNode { path: missing });
    assert_eq!(attempt(&taken).await, Error::NodeExists { path: taken });
    assert_eq!(attempt(&below).await, Error::ParentEphemeral { path: below });
}

pub(crate) async fn a_delete_needs_a_node_without_children(ground: Ground) {
    let session = ground.session().await;
    let (parent, child) = (ground.path("a"), ground.path("a/b"));
    ensure_path(&*session, &child).await.unwrap();
    assert_eq!(session.delete(&parent, None).await, Err(Error::NotEmpty { path: parent.clone() }));
    session.delete(&child, None).await.unwrap();
    session.delete(&parent, None).await.unwrap();
    assert_eq!(session.delete(&parent, None).await, Err(Error::NoNode { path: parent.clone() }));
    assert_eq!(session.get(&parent).await, Err(Error::NoNode { path: parent.clone() }));
    assert_eq!(session.list(&parent).await, Err(Error::NoNode { path: parent.clone() }));
    assert_eq!(session.set(&parent, b"", None).await, Err(Error::NoNode { path: parent.clone() }));
    assert_eq!(session.stat(&parent).await, Ok(None));
}

pub(crate) async fn a_write_at_another_version_is_refused(ground: Ground) {
    let session = ground.session().await;
    let path = session.create(&ground.path("a"), b"", CreateMode::Persistent).await.unwrap();
    let refused = Error::BadVersion { path: path.clone() };
    assert_eq!(session.set(&path, b"", Some(1)).await, Err(refused.clone()));
    assert_eq!(session.set(&path, b"", Some(0)).await.unwrap().version, 1);
    assert_eq!(session.set(&path, b"", Some(0)).await, Err(refused.clone()));
    assert_eq!(session.delete(&path, Some(0)).await, Err(refused));
    session.delete(&path, Some(1)).await.unwrap();
}

pub(crate) async fn sequence_numbers_rise_and_count_every_child(ground: Ground) {
    let session = ground.session().await;
    session.create(&ground.path("plain"), b"", CreateMode::Persistent).await.unwrap();
    let first = session.create(&ground.path("n-"), b"", CreateMode::PersistentSequential).await.unwrap();
    assert_eq!(first, ground.path("n-0000000001"));
    session.delete(&first, None).await.unwrap();
    let second = session.create(&ground.path("m-"), b"", CreateMode::EphemeralSequential).await.unwrap();
    assert_eq!(second, ground.path("m-0000000002"));
    let third = session.create(&ground.path(""), b"", CreateMode::EphemeralSequential).await.unwrap();
    assert_eq!(third, ground.path("0000000003"));
    assert_eq!(session.list(&ground.root).await.unwrap(), ["0000000003", "m-0000000002", "plain"]);
}

pub(crate) async fn czxids_rise_from_birth_to_birth(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    let path = ground.path("a");
    let mut last = 0;
    for session in [&session, &other, &session] {
        session.create(&path, b"", CreateMode::Ephemeral).await.unwrap();
        let stat = session.stat(&path).await.unwrap().unwrap();
        assert!(stat.czxid > last, "{} after {last}", stat.czxid);
        last = stat.czxid;
        session.delete(&path, None).await.unwrap();
    }
}

pub(crate) async fn a_list_is_sorted(ground: Ground) {
    let session = ground.session().await;
    for name in ["b", "a10", "ä", "a9", "B"] {
        session.create(&ground.path(name), b"", CreateMode::Persistent).await.unwrap();
    }
    assert_eq!(session.list(&ground.root).await.unwrap(), ["B", "a10", "a9", "b", "ä"]);
    let (names, _watch) = session.list_and_watch(&ground.root).await.unwrap();
    assert_eq!(names, ["B", "a10", "a9", "b", "ä"]);
}

pub(crate) async fn a_list_comes_with_the_stat_of_one_child(ground: Ground) {
    let session = ground.session().await;
    for name in ["b", "a"] {
        session.create(&ground.path(name), b"", CreateMode::Ephemeral).await.unwrap();
    }
    let stat = session.stat(&ground.path("a")).await.unwrap();
    assert!(stat.is_some());
    let both = ["a".to_owned(), "b".to_owned()].to_vec();
    assert_eq!(session.list_and_stat(&ground.root, "a").await, Ok((both.clone(), stat)));
    assert_eq!(session.list_and_stat(&ground.root, "c").await, Ok((both, None)));
    let nowhere = ground.path("c");
    assert_eq!(session.list_and_stat(&nowhere, "a").await, Err(Error::NoNode { path: nowhere }));
    assert!(session.list_and_stat("/", "zookeeper").await.is_ok());
}

pub(crate) async fn many_nodes_are_read_at_once_and_missing_ones_are_none(ground: Ground) {
    let session = ground.session().await;
    let paths: Vec<String> = (0..100).map(|number| ground.path(&format!("node-{number}"))).collect();
    for path in paths.iter().step_by(2) {
        session.create(path, path.as_bytes(), CreateMode::Persistent).await.unwrap();
    }
    let found = session.get_each(&paths).await.unwrap();
    assert_eq!(found.len(), paths.len());
    for (number, (path, found)) in paths.iter().zip(found).enumerate() {
        let alone = session.get(path).await.ok();
        assert_eq!((found.is_some(), &found), (number % 2 == 0, &alone), "{path}");
    }
    assert_eq!(session.get_each(&[]).await, Ok(Vec::new()));
}

pub(crate) async fn ensure_path_makes_what_is_missing_and_nothing_twice(ground: Ground) {
    let session = ground.session().await;
    let path = ground.path("a/b/c/d");
    for _ in 0..2 {
        ensure_path(&*session, &path).await.unwrap();
        assert_eq!(session.get(&path).await.unwrap().0, b"");
    }
    ensure_path(&*session, "/").await.unwrap();
    let invalid = ensure_path(&*session, "a/b").await.unwrap_err();
    assert!(matches!(invalid, Error::InvalidPath { .. }), "{invalid}");
}

pub(crate) async fn the_root_is_there_and_stays(ground: Ground) {
    let session = ground.session().await;
    assert!(session.stat("/").await.unwrap().is_some());
    let made = session.create("/", b"", CreateMode::Persistent).await;
    assert_eq!(made, Err(Error::NodeExists { path: "/".to_owned() }));
    assert!(matches!(session.delete("/", None).await, Err(Error::InvalidPath { .. })));
}

pub(crate) async fn names_of_any_script_are_kept(ground: Ground) {
    let session = ground.session().await;
    let path = ground.path("Größe 名前 %20");
    assert_eq!(session.create(&path, b"", CreateMode::Persistent).await.unwrap(), path);
    assert_eq!(session.list(&ground.root).await.unwrap(), ["Größe 名前 %20"]);
}

pub(crate) async fn invalid_paths_are_refused_and_the_session_goes_on(ground: Ground) {
    let session = ground.session().await;
    for bad in ["", ".", "b/c", "b\u{0}"] {
        let refused = session.list_and_stat("/a", bad).await;
        assert!(matches!(refused, Err(Error::InvalidPath { .. })), "{bad:?}: {refused:?}");
    }
    for bad in ["", "relative", "/a//b", "/a/", "/a/../b", "/a/.", "/a\u{0}b", "/a\u{1f98d}"] {
        let refused = [
            session.create(bad, b"", CreateMode::Persistent).await.err(),
            session.get(bad).await.err(),
            session.stat(bad).await.err(),
            session.set(bad, b"", None).await.err(),
            session.delete(bad, None).await.err(),
            session.list(bad).await.err(),
            session.list_and_stat(bad, "a").await.err(),
            session.get_each(&["/a".to_owned(), bad.to_owned()]).await.err(),
            session.sync(bad).await.err(),
            session.get_and_watch(bad).await.err(),
            session.stat_and_watch(bad).await.err(),
            session.list_and_watch(bad).await.err(),
            session.multi(vec![check(bad, None)]).await.err().map(MultiError::into_error),
        ];
        for error in refused {
            assert!(matches!(error, Some(Error::InvalidPath { .. })), "{bad:?}: {error:?}");
        }
    }
    assert!(session.stat(&ground.root).await.unwrap().is_some());
}

pub(crate) async fn what_is_too_large_is_refused_before_it_is_sent(ground: Ground) {
    let session = ground.session().await;
    let path = session.create(&ground.path("a"), b"", CreateMode::Persistent).await.unwrap();
    let largest = vec![7; MAX_VALUE_BYTES];
    session.set(&path, &largest, None).await.unwrap();
    assert_eq!(session.get(&path).await.unwrap().0, largest);
    let larger = vec![7; MAX_VALUE_BYTES + 1];
    let too_large = |error: Option<Error>| assert!(matches!(error, Some(Error::TooLarge { .. })), "{error:?}");
    too_large(session.set(&path, &larger, None).await.err());
    too_large(session.create(&ground.path("b"), &larger, CreateMode::Persistent).await.err());
    too_large(session.stat(&format!("/{}", "x".repeat(MAX_PATH_BYTES))).await.err());
    let both = [&path, &path].map(|path| Op::Set { path: path.clone(), data: largest.clone(), version: None });
    too_large(session.multi(both.into()).await.err().map(MultiError::into_error));
    let many = vec![check(&path, None); MAX_MULTI_OPS + 1];
    let refused = session.multi(many.clone()).await.unwrap_err();
    assert_eq!(refused, MultiError::Whole(Error::TooManyOps { count: MAX_MULTI_OPS + 1, limit: MAX_MULTI_OPS }));
    assert_eq!(session.multi(many[1..].to_vec()).await.unwrap().len(), MAX_MULTI_OPS);
    assert_eq!(session.stat(&path).await.unwrap().unwrap().version, 1, "a refused write was done");
}

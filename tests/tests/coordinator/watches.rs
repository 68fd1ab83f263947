//! What holds of watches.

use silverback::coordinator::{CreateMode, Error};

use crate::ground::{Ground, create, fired, quiet, set};

pub(crate) async fn a_watch_fires_at_a_change_of_the_value_and_at_the_delete(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    let path = session.create(&ground.path("a"), b"1", CreateMode::Persistent).await.unwrap();
    let (found, mut got) = session.get_and_watch(&path).await.unwrap();
    assert_eq!(found.unwrap().0, b"1");
    let (_, mut seen) = session.stat_and_watch(&path).await.unwrap();
    quiet(&*session, &mut got).await;
    other.set(&path, b"2", None).await.unwrap();
    fired(&mut got).await;
    fired(&mut seen).await;
    fired(&mut seen).await; // Has fired: returns at once.

    let (found, mut got) = session.get_and_watch(&path).await.unwrap();
    assert_eq!(found.unwrap().0, b"2");
    let (_, mut seen) = session.stat_and_watch(&path).await.unwrap();
    other.create(&ground.path("a/child"), b"", CreateMode::Persistent).await.unwrap();
    other.delete(&ground.path("a/child"), None).await.unwrap();
    session.sync(&path).await.unwrap();
    quiet(&*session, &mut got).await;
    other.delete(&path, None).await.unwrap();
    fired(&mut got).await;
    fired(&mut seen).await;
}

pub(crate) async fn a_watch_on_a_missing_node_fires_at_its_birth(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    let path = ground.path("a");
    let (found, mut got) = session.get_and_watch(&path).await.unwrap();
    assert_eq!(found, None);
    let (stat, mut seen) = session.stat_and_watch(&path).await.unwrap();
    assert_eq!(stat, None);
    quiet(&*session, &mut got).await;
    other.create(&path, b"1", CreateMode::Ephemeral).await.unwrap();
    fired(&mut got).await;
    fired(&mut seen).await;
    assert_eq!(session.get(&path).await.unwrap().0, b"1");
}

pub(crate) async fn a_child_watch_fires_at_births_and_deaths_of_children_only(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    let child = ground.path("child");
    let (names, mut watch) = session.list_and_watch(&ground.root).await.unwrap();
    assert!(names.is_empty());
    other.set(&ground.root, b"x", None).await.unwrap();
    quiet(&*session, &mut watch).await;
    other.create(&child, b"", CreateMode::Persistent).await.unwrap();
    fired(&mut watch).await;

    let (names, mut watch) = session.list_and_watch(&ground.root).await.unwrap();
    assert_eq!(names, ["child"]);
    other.set(&child, b"x", None).await.unwrap();
    other.create(&ground.path("child/grandchild"), b"", CreateMode::Persistent).await.unwrap();
    other.delete(&ground.path("child/grandchild"), None).await.unwrap();
    quiet(&*session, &mut watch).await;
    let (_, mut of_child) = session.list_and_watch(&child).await.unwrap();
    other.delete(&child, None).await.unwrap();
    fired(&mut watch).await;
    fired(&mut of_child).await; // The watched node itself is gone.
    assert_eq!(session.list_and_watch(&child).await.err(), Some(Error::NoNode { path: child }));
}

pub(crate) async fn a_multi_fires_watches(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    let (a, b) = (ground.path("a"), ground.path("b"));
    session.create(&a, b"", CreateMode::Persistent).await.unwrap();
    let (_, mut changed) = session.stat_and_watch(&a).await.unwrap();
    let (_, mut born) = session.stat_and_watch(&b).await.unwrap();
    let (_, mut children) = session.list_and_watch(&ground.root).await.unwrap();
    other.multi(vec![set(&a, None), create(&b, CreateMode::Persistent)]).await.unwrap();
    for watch in [&mut changed, &mut born, &mut children] {
        fired(watch).await;
    }
}

pub(crate) async fn a_watch_fires_when_another_session_dies_with_the_node(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    let path = other.create(&ground.path("n-"), b"", CreateMode::EphemeralSequential).await.unwrap();
    let (_, mut watch) = session.stat_and_watch(&path).await.unwrap();
    other.close().await;
    fired(&mut watch).await;
    assert_eq!(session.stat(&path).await, Ok(None));
}

pub(crate) async fn a_watch_fires_when_its_session_is_lost(ground: Ground) {
    let session = ground.session().await;
    let (_, mut node) = session.get_and_watch(&ground.root).await.unwrap();
    let (_, mut children) = session.list_and_watch(&ground.root).await.unwrap();
    session.close().await;
    fired(&mut node).await;
    fired(&mut children).await;
}

pub(crate) async fn a_dropped_watch_takes_no_other_with_it(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    let path = session.create(&ground.path("a"), b"", CreateMode::Persistent).await.unwrap();
    for _ in 0..20 {
        let (_, dropped) = session.stat_and_watch(&path).await.unwrap();
        let (_, mut kept) = session.get_and_watch(&path).await.unwrap();
        drop(dropped);
        other.set(&path, b"", None).await.unwrap();
        fired(&mut kept).await;
    }
}

pub(crate) async fn a_watch_set_while_another_is_dropped_fires(ground: Ground) {
    let (session, other) = (ground.session().await, ground.session().await);
    let path = session.create(&ground.path("a"), b"", CreateMode::Persistent).await.unwrap();
    let (_, mut watch) = session.stat_and_watch(&path).await.unwrap();
    for _ in 0..20 {
        drop(std::mem::replace(&mut watch, session.stat_and_watch(&path).await.unwrap().1));
        other.set(&path, b"", None).await.unwrap();
        fired(&mut watch).await;
        watch = session.stat_and_watch(&path).await.unwrap().1;
    }
}

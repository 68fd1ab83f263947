//! What holds of transactions.

use silverback::coordinator::{CreateMode, Error, MultiError, OpResult};

use crate::ground::{Ground, check, create, delete, quiet, set};

pub(crate) async fn operations_of_a_multi_see_the_earlier_ones(ground: Ground) {
    let session = ground.session().await;
    let (a, b) = (ground.path("a"), ground.path("a/b"));
    let results = session
        .multi(vec![
            create(&a, CreateMode::Persistent),
            check(&a, Some(0)),
            set(&a, Some(0)),
            check(&a, Some(1)),
            create(&b, CreateMode::Persistent),
            delete(&b, Some(0)),
            create(&format!("{a}/n-"), CreateMode::EphemeralSequential),
        ])
        .await
        .unwrap();
    assert_eq!(results[0], OpResult::Created(a.clone()));
    assert_eq!(results[1], OpResult::Checked);
    let OpResult::Set(stat) = results[2] else { panic!("{results:?}") };
    assert_eq!((stat.version, stat.czxid), (1, stat.mzxid));
    assert_eq!(results[5], OpResult::Deleted);
    assert_eq!(results[6], OpResult::Created(format!("{a}/n-0000000001")));
    assert_eq!(session.list(&a).await.unwrap(), ["n-0000000001"]);
    assert_eq!(session.get(&a).await.unwrap().0, b"set");
}

pub(crate) async fn a_failed_multi_leaves_nothing_and_says_where(ground: Ground) {
    let session = ground.session().await;
    let (a, b) = (ground.path("a"), ground.path("b"));
    session.create(&a, b"kept", CreateMode::Persistent).await.unwrap();
    let (before, mut watch) = session.stat_and_watch(&a).await.unwrap();
    let failures = [
        (check(&b, None), Error::NoNode { path: b.clone() }),
        (check(&a, Some(7)), Error::BadVersion { path: a.clone() }),
        (create(&a, CreateMode::Persistent), Error::NodeExists { path: a.clone() }),
        (delete(&ground.root, None), Error::NotEmpty { path: ground.root.clone() }),
    ];
    for (failing, error) in failures {
        let ops = vec![
            set(&a, None),
            create(&ground.path("n-"), CreateMode::EphemeralSequential),
            failing,
            create(&ground.path("after"), CreateMode::Persistent),
        ];
        let failed = session.multi(ops).await.unwrap_err();
        assert!(failed.failed_at(2), "{failed}");
        assert_eq!(failed.into_error(), error);
    }
    assert_eq!(session.stat(&a).await.unwrap(), before);
    assert_eq!(session.get(&a).await.unwrap().0, b"kept");
    assert_eq!(session.list(&ground.root).await.unwrap(), ["a"]);
    quiet(&*session, &mut watch).await;
    let next = session.create(&ground.path("n-"), b"", CreateMode::PersistentSequential).await.unwrap();
    assert_eq!(next, ground.path("n-0000000001"), "a failed multi used up numbers");
}

pub(crate) async fn a_check_without_version_wants_the_node_only(ground: Ground) {
    let session = ground.session().await;
    let (path, missing) = (ground.path("a"), ground.path("b"));
    session.create(&path, b"", CreateMode::Ephemeral).await.unwrap();
    session.set(&path, b"x", None).await.unwrap();
    let checked = session.multi(vec![check(&path, None), check(&path, Some(1))]).await;
    assert_eq!(checked, Ok(vec![OpResult::Checked, OpResult::Checked]));
    let failed = session.multi(vec![check(&missing, None)]).await.unwrap_err();
    assert_eq!(failed, MultiError::Op { index: 0, source: Error::NoNode { path: missing } });
}

pub(crate) async fn a_multi_of_nothing_does_nothing(ground: Ground) {
    let session = ground.session().await;
    assert_eq!(session.multi(vec![]).await, Ok(vec![]));
}

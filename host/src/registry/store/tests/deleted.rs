//! Nodes that somebody deletes by other means than the API.

use super::*;
use crate::registry::news::after;
use crate::telemetry::tests::Captured;

async fn delete_all(session: &dyn Session, path: &str) {
    for name in children(session, path).await.unwrap() {
        Box::pin(delete_all(session, &format!("{path}/{name}"))).await;
    }
    match session.delete(path, None).await {
        // What followers make again meanwhile may stay.
        Ok(()) | Err(Error::NotEmpty { .. } | Error::NoNode { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn exists(session: &dyn Session, path: &str) -> bool {
    session.stat(path).await.unwrap().is_some()
}

/// Waits for a node, for as long as an audit may be away.
async fn appears(session: &dyn Session, path: &str) {
    let there = async {
        loop {
            match session.stat_and_watch(path).await.unwrap() {
                (Some(_), _) => return,
                (None, mut watch) => watch.changed().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), there).await.unwrap_or_else(|_| panic!("{path} does not appear"));
}

#[tokio::test]
async fn w2_every_job_has_a_run_state_from_the_beginning() {
    let place = Place::new().await;
    place.registry.apply(&spec("acme", "publisher", "one")).await.unwrap();
    let (session, path) = (place.session().await, place.layout.run_state("acme", "publisher"));
    assert_eq!(session.get(&path).await.unwrap().0, b"");
}

#[tokio::test]
async fn w2_a_job_deleted_by_hand_is_made_again_when_it_is_missed() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    let followed = place.registry.follow_all().await;
    let before = followed.jobs.borrow()[&job.id].clone();
    let (session, path) = (place.session().await, place.layout.job("acme", "publisher"));
    delete_all(session.as_ref(), &place.layout.jobs("acme")).await;
    followed.missing.report(&job.id);
    appears(session.as_ref(), &path).await;
    let again = place.registry.get(&job.id).await.unwrap();
    assert_eq!((&again.spec, again.born), (&job, before.born));
    assert_eq!(again.ticks_from_ms, Some(before.mtime_ms));
    // Those that others make of it are of the same job, one that is deleted in order and applied again is not.
    place.registry.apply(&spec("acme", "publisher", "two")).await.unwrap();
    assert_eq!(place.registry.get(&job.id).await.unwrap().born, before.born);
    place.registry.delete(&job.id).await.unwrap();
    place.registry.apply(&job).await.unwrap();
    assert_ne!(place.registry.get(&job.id).await.unwrap().born, before.born);
}

#[tokio::test(start_paused = true)]
async fn w2_jobs_and_settings_deleted_by_hand_are_made_again_by_the_audit() {
    let place = Place::new().await;
    let jobs: Vec<JobSpec> = (0..3).map(|number| spec("acme", &format!("job-{number}"), "one")).collect();
    for job in &jobs {
        place.registry.apply(job).await.unwrap();
    }
    place.registry.set_tenant("acme", &TenantSettings { weight: 7, ..TenantSettings::default() }).await.unwrap();
    let followed = place.registry.follow_all().await;
    let session = place.session().await;
    delete_all(session.as_ref(), &place.layout.tenants()).await;
    delete_all(session.as_ref(), &place.layout.tenant_settings()).await;
    for job in &jobs {
        appears(session.as_ref(), &place.layout.job("acme", &job.id.name)).await;
    }
    appears(session.as_ref(), &place.layout.tenant("acme")).await;
    assert_eq!(place.registry.tenant("acme").await.unwrap().weight, 7);
    assert_eq!(followed.jobs.borrow().values().count(), 3);
}

#[tokio::test(start_paused = true)]
async fn w1_all_is_made_again_after_the_whole_root_was_deleted() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    place.registry.set_tenant("acme", &TenantSettings { weight: 7, ..TenantSettings::default() }).await.unwrap();
    let mut followed = place.registry.follow_all().await;
    let session = place.session().await;
    delete_all(session.as_ref(), place.layout.root()).await;
    appears(session.as_ref(), &place.layout.job("acme", "publisher")).await;
    for directory in place.layout.directories() {
        appears(session.as_ref(), &directory).await;
    }
    appears(session.as_ref(), &place.layout.registry()).await;
    assert_eq!(place.registry.tenant("acme").await.unwrap().weight, 7);
    // Followers go on: a job that comes now is seen, and one that goes in order is gone.
    let other = spec("acme", "other", "one");
    place.registry.apply(&other).await.unwrap();
    until(&mut followed.jobs, |jobs| jobs.contains_key(&other.id) && jobs.contains_key(&job.id)).await;
    place.registry.delete(&job.id).await.unwrap();
    until(&mut followed.jobs, |jobs| !jobs.contains_key(&job.id)).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!exists(session.as_ref(), &place.layout.job("acme", "publisher")).await, "a deletion in order was undone");
}

#[tokio::test]
async fn w2_an_unchanged_apply_makes_missing_directories_again() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    let session = place.session().await;
    for directory in [place.layout.runs("acme"), place.layout.state("acme", "publisher")] {
        delete_all(session.as_ref(), &directory).await;
        assert_eq!(place.registry.apply(&job).await, applied(0, Change::Unchanged));
        assert!(exists(session.as_ref(), &directory).await, "{directory}");
    }
}

#[tokio::test]
async fn w2_what_is_left_of_a_job_deleted_while_no_host_ran_is_told() {
    let place = Place::new().await;
    let [left, kept] = ["left", "kept"].map(|name| spec("acme", name, "one"));
    for job in [&left, &kept] {
        place.registry.apply(job).await.unwrap();
    }
    let (session, run_state) = (place.session().await, place.layout.run_state("acme", "left"));
    session.delete(&place.layout.job("acme", "left"), None).await.unwrap();
    let captured = Captured::default();
    let _capturing = captured.start();
    let followed = place.registry.follow_all().await;
    tokio::time::timeout(Duration::from_secs(60), async {
        while !captured.text().contains("this run state has no job") {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{}", captured.text()));
    let told = captured.text();
    assert!(told.contains(&format!("`silverback delete acme/left` job=acme/left node={run_state:?}")), "{told}");
    assert!(!told.contains("kept"), "{told}");
    drop(followed);
    // What it asks for does away with it.
    place.registry.delete(&left.id).await.unwrap();
    assert!(!exists(session.as_ref(), &run_state).await);
    assert!(matches!(place.registry.delete(&left.id).await, Err(RegistryError::NoJob(_))));
}

/// As somebody's change a moment ago and a deletion by hand right after it, with nobody reading in between.
#[tokio::test]
async fn w2_what_was_deleted_by_hand_right_after_a_change_is_not_forgotten() {
    let place = Place::new().await;
    let job = spec("acme", "publisher", "one");
    place.registry.apply(&job).await.unwrap();
    place.registry.set_tenant("acme", &TenantSettings { weight: 7, ..TenantSettings::default() }).await.unwrap();
    let followed = place.registry.follow_all().await;
    let session = place.session().await;
    let node = place.layout.registry();
    let (said, stat) = session.get(&node).await.unwrap();
    let said = ["acme", "acme/publisher"].iter().fold(said, |said, name| after(&said, name, ChangeKind::Written));
    let delete = |path| Op::Delete { path, version: None };
    let mut ops = vec![delete(place.layout.job("acme", "publisher")), delete(place.layout.tenant("acme"))];
    for change in 0..2 {
        ops.push(Op::Set { path: node.clone(), data: said.clone(), version: Some(stat.version + change) });
    }
    session.multi(ops).await.unwrap();
    appears(session.as_ref(), &place.layout.job("acme", "publisher")).await;
    appears(session.as_ref(), &place.layout.tenant("acme")).await;
    assert!(followed.jobs.borrow().contains_key(&job.id));
    assert_eq!(place.registry.tenant("acme").await.unwrap().weight, 7);
}

/// More changes than the registry tells of.
#[tokio::test]
async fn w2_who_missed_many_changes_forgets_only_what_was_deleted_in_order() {
    for kind in [ChangeKind::Written, ChangeKind::Deleted] {
        let place = Place::new().await;
        let [gone, other] = ["gone", "other"].map(|name| spec("acme", name, "one"));
        for job in [&gone, &other] {
            place.registry.apply(job).await.unwrap();
        }
        let mut followed = place.registry.follow_all().await;
        let session = place.session().await;
        let (mut said, stat) = session.get(&place.layout.registry()).await.unwrap();
        let mut ops = vec![Op::Delete { path: place.layout.job("acme", "gone"), version: None }];
        for change in 0..100 {
            said = if change == 0 { after(&said, "acme/gone", kind) } else { after(&said, "x/y", ChangeKind::Written) };
            ops.push(Op::Set {
                path: place.layout.registry(),
                data: said.clone(),
                version: Some(stat.version + change),
            });
        }
        session.multi(ops).await.unwrap();
        if kind == ChangeKind::Written {
            appears(session.as_ref(), &place.layout.job("acme", "gone")).await;
            assert!(followed.jobs.borrow().contains_key(&gone.id));
        } else {
            until(&mut followed.jobs, |jobs| !jobs.contains_key(&gone.id)).await;
            assert!(!exists(session.as_ref(), &place.layout.job("acme", "gone")).await);
        }
        assert!(followed.jobs.borrow().contains_key(&other.id));
    }
}

#[tokio::test]
async fn w2_hundreds_deleted_by_hand_are_made_again_whatever_else_changes() {
    let place = Place::new().await;
    let jobs: Vec<JobSpec> = (0..200).map(|number| spec("acme", &format!("job-{number}"), "one")).collect();
    for job in &jobs {
        place.registry.apply(job).await.unwrap();
    }
    let followers = [place.registry.follow_all().await, place.registry.follow_all().await];
    let session = place.session().await;
    let delete = |job: &JobSpec| Op::Delete { path: place.layout.job("acme", &job.id.name), version: None };
    session.multi(jobs.iter().map(delete).collect()).await.unwrap();
    for follower in &followers {
        follower.missing.report(&jobs[0].id);
    }
    let changes = async {
        for number in 0..50 {
            place.registry.apply(&spec("acme", "other", &number.to_string())).await.unwrap();
        }
    };
    let mut jobs_seen = followers[0].jobs.clone();
    let never_forgotten = async {
        loop {
            let all = jobs.iter().all(|job| jobs_seen.borrow_and_update().contains_key(&job.id));
            assert!(all, "a follower forgot a job");
            jobs_seen.changed().await.unwrap();
        }
    };
    let all_there = async {
        changes.await;
        for job in &jobs {
            appears(session.as_ref(), &place.layout.job("acme", &job.id.name)).await;
        }
    };
    tokio::select! {
        () = never_forgotten => unreachable!("it ends with a panic only"),
        () = all_there => {}
    }
    for follower in &followers {
        assert_eq!(follower.jobs.borrow().values().filter(|job| job.spec.id.name.starts_with("job-")).count(), 200);
    }
}

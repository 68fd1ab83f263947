//! What a host concludes from what it sees of its cluster.

use std::time::Duration;

use super::*;
use crate::registry::Behind;

fn known(id: &str, position: i64) -> KnownCluster {
    KnownCluster { id: id.to_owned(), birth: 3, position, mark: None }
}

fn node(id: &str, base: i64) -> ClusterNode {
    ClusterNode { id: id.to_owned(), base, ..ClusterNode::new() }
}

fn cluster_is(timeline: &Timeline, node: ClusterNode, birth: i64) {
    timeline.cluster_is(timeline.look(), node, birth);
}

fn behind(seen: i64, found: Evidence) -> TimelineState {
    TimelineState::Behind { seen, found }
}

fn state(timeline: &Timeline) -> TimelineState {
    timeline.follow().borrow().clone()
}

#[test]
fn nothing_is_known_before_the_node_and_a_transaction_are_seen() {
    let timeline = Timeline::new(None);
    assert_eq!(state(&timeline), TimelineState::Unknown);
    timeline.observe(9);
    assert_eq!(state(&timeline), TimelineState::Unknown);
    cluster_is(&timeline, node("x", 0), 3);
    assert_eq!(state(&timeline), TimelineState::Current);
    assert_eq!(timeline.position(), 9);
}

#[test]
fn w7_an_ensemble_that_is_behind_is_led_by_nobody_until_its_base_is_raised() {
    let timeline = Timeline::new(Some(known("x", 153)));
    cluster_is(&timeline, node("x", 0), 3);
    timeline.observe(115);
    assert_eq!(state(&timeline), behind(153, Evidence::Position(115)));
    // Nor once its numbers have caught up with what was seen.
    timeline.observe(400);
    assert_eq!(state(&timeline), behind(153, Evidence::Position(115)));
    assert_eq!(timeline.position(), 153);
    cluster_is(&timeline, node("x", 153), 3);
    assert_eq!(state(&timeline), TimelineState::Current);
    assert!(timeline.token(401) > 153 && timeline.position() == 553);
}

#[test]
fn a_host_without_a_past_is_held_by_what_another_has_seen() {
    let timeline = Timeline::new(None);
    let held = ClusterNode { behind: Some(Behind { host: "a".to_owned(), seen: 153 }), ..node("x", 0) };
    cluster_is(&timeline, held, 3);
    timeline.observe(115);
    assert_eq!(state(&timeline), TimelineState::Held { host: "a".to_owned(), seen: 153 });
    cluster_is(&timeline, node("x", 153), 3);
    assert_eq!(state(&timeline), TimelineState::Current);
}

#[test]
fn the_folder_of_another_cluster_is_refused_until_its_past_is_covered() {
    let timeline = Timeline::new(Some(known("x", 153)));
    cluster_is(&timeline, node("y", 0), 3);
    timeline.observe(500);
    assert!(matches!(state(&timeline), TimelineState::Foreign { .. }));
    cluster_is(&timeline, node("y", 153), 3);
    assert_eq!(state(&timeline), TimelineState::Current);
    assert_eq!(timeline.absent().id, "y");
}

#[test]
fn a_base_that_went_back_with_the_ensemble_is_seen() {
    let timeline = Timeline::new(None);
    cluster_is(&timeline, node("x", 100), 3);
    timeline.observe(500);
    cluster_is(&timeline, node("x", 0), 3);
    assert_eq!(state(&timeline), behind(600, Evidence::Position(500)));
}

#[test]
fn a_coordinator_that_begins_anew_counts_on_from_what_was_seen() {
    let timeline = Timeline::beginning_anew(Some(known("x", 153)));
    let absent = timeline.absent();
    assert!(absent.base == 153 && absent.id != "x");
    cluster_is(&timeline, absent, 3);
    timeline.observe(5);
    assert_eq!((state(&timeline), timeline.position()), (TimelineState::Current, 158));
}

#[tokio::test]
async fn a_position_counts_as_kept_once_it_is_written() {
    let timeline = Timeline::new(None);
    let (written, mut writes) = tokio::sync::mpsc::unbounded_channel();
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let now = fails.clone();
    timeline.keep_with(Arc::new(move |known| {
        written.send(known.position).unwrap();
        if now.load(std::sync::atomic::Ordering::SeqCst) { Err(std::io::Error::other("full")) } else { Ok(()) }
    }));
    cluster_is(&timeline, node("x", 0), 3);
    timeline.observe(9);
    assert_eq!(writes.recv().await, Some(9));
    let mut unkept = timeline.follow_unkept();
    let told = unkept.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(told.contains("can't be kept in the data folder: full; make room there"), "{told}");
    assert!(tokio::time::timeout(Duration::from_millis(20), timeline.kept(9)).await.is_err());
    fails.store(false, std::sync::atomic::Ordering::SeqCst);
    timeline.observe(10);
    timeline.kept(10).await;
    assert_eq!(*unkept.borrow(), None);
}

#[test]
fn an_answer_to_an_older_look_at_the_clusters_node_replaces_no_newer_one() {
    let timeline = Timeline::new(Some(known("x", 153)));
    let (older, newer) = (timeline.look(), timeline.look());
    timeline.observe(115);
    timeline.cluster_is(newer, node("x", 153), 3);
    timeline.cluster_is(older, node("x", 0), 3);
    assert_eq!((state(&timeline), timeline.position()), (TimelineState::Current, 268));
}

/// Of two sessions that hear something at once.
#[test]
fn the_conclusion_that_is_drawn_last_is_the_one_that_is_published() {
    for _ in 0..3000 {
        let timeline = Timeline::new(Some(known("x", 153)));
        timeline.observe(115);
        std::thread::scope(|threads| {
            threads.spawn(|| cluster_is(&timeline, node("x", 0), 3));
            threads.spawn(|| cluster_is(&timeline, node("x", 153), 3));
        });
        assert_eq!(state(&timeline), timeline.view().state());
    }
}

#[test]
fn sessions_that_are_heard_in_another_order_than_they_wrote_are_no_restoration() {
    let timeline = Timeline::new(Some(known("x", 100)));
    cluster_is(&timeline, node("x", 0), 3);
    // One session writes, and before its answer is heard another's later one is.
    let seen = timeline.position();
    timeline.observe(203);
    timeline.answered(seen, 200);
    assert_eq!((state(&timeline), timeline.position()), (TimelineState::Current, 203));
    // Sent after that was heard, it can't be lower.
    timeline.answered(timeline.position(), 150);
    assert_eq!(state(&timeline), behind(203, Evidence::Position(150)));
    cluster_is(&timeline, node("x", 203), 3);
    assert_eq!((state(&timeline), timeline.position()), (TimelineState::Current, 353));
}

/// A node at a version, as the answer to the write that gave it this version.
fn written(czxid: i64, version: i32, mzxid: i64) -> Stat {
    Stat { czxid, mzxid, ctime_ms: 0, mtime_ms: 0, version, ephemeral_owner: 0, num_children: 0 }
}

/// A host whose mark has version 500, and which has seen position 1000.
fn marking() -> Arc<Timeline> {
    let timeline = Timeline::new(None);
    cluster_is(&timeline, node("x", 0), 3);
    let directory = Some(Edition { czxid: 4, version: 2 });
    timeline.marked(&timeline.floor().unwrap(), &written(9, 500, 999), directory);
    timeline.observe(1000);
    timeline
}

#[test]
fn w7_a_tree_that_is_taken_back_is_seen_though_its_numbers_rise() {
    let timeline = marking();
    let floor = timeline.floor().unwrap();
    timeline.observe(9000);
    timeline.marked(&floor, &written(9, 101, 9001), None);
    let found = behind(9000, Evidence::Mark { seen: 500, now: 100 });
    assert_eq!(state(&timeline), found);
    // Nor is it written while this is so: its version would rise above what was seen.
    assert!(timeline.floor().is_none());
    timeline.observe(9002);
    assert_eq!(state(&timeline), found);
    cluster_is(&timeline, node("x", 9000), 3);
    assert_eq!(state(&timeline), TimelineState::Current);
    // An operator's word clears the mark, also for an answer that is still on its way.
    timeline.marked(&floor, &written(9, 102, 9003), None);
    let floor = timeline.floor().unwrap();
    assert!(!floor.has_mark());
    timeline.marked(&floor, &written(9, 103, 9004), Some(Edition { czxid: 4, version: 1 }));
    timeline.marked(&timeline.floor().unwrap(), &written(9, 104, 9005), None);
    assert_eq!(state(&timeline), TimelineState::Current);
}

#[test]
fn marks_that_are_heard_in_another_order_than_they_were_written_are_no_restoration() {
    let timeline = marking();
    let (one, other) = (timeline.floor().unwrap(), timeline.floor().unwrap());
    timeline.marked(&other, &written(9, 502, 1002), None);
    timeline.marked(&one, &written(9, 501, 1001), None);
    assert_eq!(state(&timeline), TimelineState::Current);
    timeline.marked(&timeline.floor().unwrap(), &written(9, 502, 1003), None);
    assert!(matches!(state(&timeline), TimelineState::Behind { .. }), "version 502 was seen before this was sent");
}

#[test]
fn a_mark_that_somebody_deleted_proves_nothing_and_one_that_is_yet_to_be_made_does() {
    let timeline = marking();
    let floor = timeline.floor().unwrap();
    let directory = |czxid, version| Some(Edition { czxid, version });
    for somebodys in [directory(4, 2), directory(4, 7), directory(70, 0), None] {
        assert!(!timeline.is_taken_back_without_mark(&floor, somebodys), "{somebodys:?}");
    }
    timeline.marked(&floor, &written(80, 1, 1001), directory(4, 8));
    assert_eq!(state(&timeline), TimelineState::Current);
    assert!(timeline.is_taken_back_without_mark(&timeline.floor().unwrap(), directory(4, 7)));
    assert_eq!(state(&timeline), behind(1000, Evidence::NoMark));
}

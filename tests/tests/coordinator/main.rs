//! One suite for every coordinator: what the recipes above rely on, each a sentence. Run on the embedded coordinator in
//! memory and on disk, and on a real ZooKeeper server; beside it, what only ZooKeeper can do to us.

mod connect;
mod ground;
mod multis;
mod nodes;
mod sessions;
mod watches;
mod zookeeper;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use silverback::coordinator::{Coordinator, Embedded, ZooKeeper};
use silverback_tests::zookeeper::ZooKeeperServer;
use tokio::time::timeout;

use crate::ground::{Ground, PATIENCE};

/// The session timeout that is asked for where it doesn't matter.
const T: Duration = Duration::from_secs(4);

type Property = fn(Ground) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each property a test on the embedded coordinator, and all of them in one list for a server that takes a second to
/// start.
macro_rules! properties {
    ($($file:ident { $($name:ident,)* })*) => {
        const PROPERTIES: &[(&str, Property)] =
            &[$($((stringify!($name), |ground| Box::pin($file::$name(ground))),)*)*];

        mod in_memory {
            $($(#[tokio::test] async fn $name() {
                super::$file::$name(super::Ground::new(super::in_memory()).await).await;
            })*)*
        }

        mod on_disk {
            $($(#[tokio::test] async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                let coordinator = super::on_disk(dir.path());
                super::$file::$name(super::Ground::new(coordinator).await).await;
            })*)*
        }
    };
}

properties! {
    nodes {
        values_come_back_byte_for_byte,
        a_stat_tells_birth_changes_and_children,
        a_create_needs_a_persistent_parent_and_a_new_name,
        a_delete_needs_a_node_without_children,
        a_write_at_another_version_is_refused,
        sequence_numbers_rise_and_count_every_child,
        czxids_rise_from_birth_to_birth,
        a_list_is_sorted,
        a_list_comes_with_the_stat_of_one_child,
        ensure_path_makes_what_is_missing_and_nothing_twice,
        the_root_is_there_and_stays,
        many_nodes_are_read_at_once_and_missing_ones_are_none,
        names_of_any_script_are_kept,
        invalid_paths_are_refused_and_the_session_goes_on,
        what_is_too_large_is_refused_before_it_is_sent,
    }
    multis {
        operations_of_a_multi_see_the_earlier_ones,
        a_failed_multi_leaves_nothing_and_says_where,
        a_check_without_version_wants_the_node_only,
        a_multi_of_nothing_does_nothing,
    }
    watches {
        a_watch_fires_at_a_change_of_the_value_and_at_the_delete,
        a_watch_on_a_missing_node_fires_at_its_birth,
        a_child_watch_fires_at_births_and_deaths_of_children_only,
        a_multi_fires_watches,
        a_watch_fires_when_another_session_dies_with_the_node,
        a_watch_fires_when_its_session_is_lost,
        a_dropped_watch_takes_no_other_with_it,
        a_watch_set_while_another_is_dropped_fires,
    }
    sessions {
        an_ephemeral_goes_with_its_session,
        a_closed_session_is_lost,
        a_dropped_session_ends,
        a_session_reads_what_it_wrote_and_after_a_sync_what_others_wrote,
        many_requests_at_once_are_all_answered,
    }
}

fn in_memory() -> Arc<dyn Coordinator> {
    Arc::new(Embedded::in_memory(silverback::clock::system(), T))
}

fn on_disk(dir: &std::path::Path) -> Arc<dyn Coordinator> {
    Arc::new(Embedded::open(dir, silverback::clock::system()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn zookeeper_has_every_property() {
    let server = ZooKeeperServer::start().unwrap();
    let coordinator: Arc<dyn Coordinator> = Arc::new(ZooKeeper::new(&server.connect_string(), T).unwrap());
    let mut failed = Vec::new();
    for (name, property) in PROPERTIES {
        let ground = Ground::new(Arc::clone(&coordinator)).await;
        if timeout(PATIENCE * 2, tokio::spawn(property(ground))).await.is_ok_and(|joined| joined.is_ok()) {
            continue;
        }
        failed.push(*name);
    }
    assert!(failed.is_empty(), "on ZooKeeper fail: {failed:?}");
}

//! Hosts without a shared folder: what one was handed, the others have when it is gone.

use std::path::Path;
use std::time::Duration;

use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::wait::await_that;
use silverback_tests::zookeeper::ZooKeeperServer;

const TICKER: &str = "acme/ticker";

#[test]
fn a_scheduled_job_goes_on_when_the_host_that_it_was_handed_to_is_gone() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start_apart(&server.connect_string(), Duration::from_secs(4), &["a", "b", "c"]);
    cluster.apply(&job::ticking_witness("@every 1s"));
    let first =
        cluster.await_run("a tick that succeeded", TICKER, SOON, |run| run.outcome.as_deref() == Some("succeeded"));
    for host in ["b", "c"] {
        let components = cluster.dir().join(host).join("store/components");
        await_that("the component to be kept by the others", SOON, || count(&components), |count| *count == 1);
    }

    // `a` was handed the job. Whoever leads its group goes too; at least one host is left.
    cluster.host("a").kill9();
    if first.host != "a" {
        cluster.host(&first.host).kill9();
    }
    cluster.await_run("a tick of a host that is left", TICKER, SOON, |run| {
        run.host != "a" && run.host != first.host && run.outcome.as_deref() == Some("succeeded")
    });
}

fn count(folder: &Path) -> usize {
    folder.read_dir().map_or(0, Iterator::count)
}

//! Nodes that somebody deletes by hand, or with a clean-up tool: they are made again, or it is said what is missing, and what
//! was scheduled goes on.

use std::time::Duration;

use jiff::Timestamp;
use silverback_tests::cli::JobRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::tree::Tree;
use silverback_tests::wait::{await_that, await_told, await_value};
use silverback_tests::zookeeper::ZooKeeperServer;

const TICKER: &str = "acme/ticker";
const WITNESS: &str = "acme/witness";
const TIMEOUT: Duration = Duration::from_secs(4);
/// Longer than a host's audit of what there should be.
const AUDITED: Duration = Duration::from_secs(120);

struct Place {
    tree: Tree,
    cluster: Cluster,
    _server: ZooKeeperServer,
}

/// Hosts that run a job every second.
fn ticking(names: &[&str]) -> Place {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), TIMEOUT, names);
    cluster.apply(&job::ticking_witness("@every 1s"));
    let mut place = Place { tree: Tree::of(server.connect_string()), cluster, _server: server };
    place.await_fresh_runs();
    place
}

impl Place {
    /// Waits for two runs that succeed and whose ticks come from now on.
    #[track_caller]
    fn await_fresh_runs(&mut self) {
        let now = Timestamp::now();
        await_value("runs that succeed from now on", SOON, || {
            let runs = self.cluster.cli().runs(TICKER)?;
            let is_fresh = |run: &&_| {
                let run: &silverback_tests::cli::RunRow = run;
                run.tick.is_some_and(|tick| tick > now) && run.outcome.as_deref() == Some("succeeded")
            };
            if runs.iter().filter(is_fresh).count() >= 2 { Ok(()) } else { Err(format!("{:#?}", runs.first())) }
        });
    }

    /// How much each host has logged so far.
    fn logged(&mut self) -> Vec<usize> {
        self.cluster.hosts().iter().map(|host| host.log().len()).collect()
    }

    /// What they have logged since then.
    fn log_since(&mut self, logged: &[usize]) -> String {
        let hosts = self.cluster.hosts().iter().zip(logged);
        hosts.map(|(host, from)| host.log().get(*from..).unwrap_or_default().to_owned()).collect()
    }

    /// Deletes a node, and waits until all is as before and it was told at warn.
    #[track_caller]
    fn survives_without(&mut self, node: &str) {
        let path = format!("/silverback/{node}");
        let path = path.trim_end_matches('/');
        let logged = self.logged();
        self.tree.delete(path);
        self.await_fresh_runs();
        let _made = await_that("the node to be made again", AUDITED, || self.tree.names(path), Option::is_some);
        // It, or what was made again below it.
        let tells = |line: &str| ["WARN", "made again", path].iter().all(|word| line.contains(word));
        await_value("the log to tell of it", SOON, || {
            let log = self.log_since(&logged);
            if log.lines().any(tells) { Ok(()) } else { Err(format!("{node}: {log}")) }
        });
        let _over =
            await_that("the problem to be over", SOON, || self.cluster.cli().problem(TICKER), |told| *told == Ok(None));
    }
}

#[test]
fn w1_a_host_survives_the_deletion_of_the_hosts() {
    ticking(&["a"]).survives_without("hosts");
}

#[test]
fn w2_jobs_run_on_after_the_deletion_of_their_run_states() {
    let mut place = ticking(&["a"]);
    place.survives_without("runs/acme");
    place.survives_without("runs/acme/ticker");
    place.survives_without("runs");
    let run = place.cluster.trigger(TICKER);
    assert!(run.starts_with("acme/ticker/manual-"), "{run}");
}

#[test]
fn w2_every_other_directory_is_made_again_too() {
    let mut place = ticking(&["a", "b"]);
    for node in [
        "state/acme/ticker",
        "state",
        "groups",
        "elections",
        "secrets",
        "sessions",
        "marks/a",
        "marks",
        "tenants",
        "registry",
        "cluster",
    ] {
        place.survives_without(node);
    }
}

#[test]
fn w2_a_job_that_was_deleted_by_hand_is_made_again() {
    let mut place = ticking(&["a", "b"]);
    place.cluster.apply(&job::leading_witness(""));
    place.cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    for node in ["jobs/acme/ticker", "jobs/acme", "jobs"] {
        place.survives_without(node);
    }
    await_value("both jobs to be listed", AUDITED, || {
        let jobs: Vec<JobRow> = place.cluster.cli().rows(&["jobs"])?;
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        if names == ["ticker", "witness"] { Ok(()) } else { Err(format!("{names:?}")) }
    });
    // In order, it stays deleted.
    place.cluster.cli().ok(&["delete", WITNESS]);
    place.survives_without("runs/acme/ticker");
    let jobs: Vec<JobRow> = place.cluster.cli().rows(&["jobs"]).unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:#?}");
}

#[test]
fn w1_everything_deleted_at_once_is_made_again() {
    let mut place = ticking(&["a", "b"]);
    place.cluster.cli().ok(&["tenant", "acme", "--weight", "3"]);
    place.cluster.apply(&job::leading_witness(""));
    let before = place.cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    place.survives_without("");
    let after = place.cluster.await_leader("a leader again", WITNESS, SOON, |_| true);
    assert!(after.token > before.token, "{after:?} after {before:?}");
    let tenants = place.cluster.cli().ok(&["tenants", "--output", "json"]);
    assert!(tenants.contains("\"weight\": 3"), "{tenants}");
}

#[test]
fn w2_an_unchanged_apply_makes_a_jobs_directories_again() {
    let mut place = ticking(&["a"]);
    place.cluster.apply(&job::leading_witness(""));
    for directory in ["state/acme/witness", "runs/acme"] {
        place.tree.delete(&format!("/silverback/{directory}"));
        place.cluster.apply(&job::leading_witness(""));
        assert!(place.tree.names(&format!("/silverback/{directory}")).is_some(), "{directory}");
    }
}

#[test]
fn an_election_that_may_not_be_listed_or_written_is_told_to_its_tenant() {
    let server = ZooKeeperServer::start().unwrap();
    let tree = Tree::of(server.connect_string());
    let mut cluster = Cluster::start(&server.connect_string(), TIMEOUT, &["a"]);
    // Nobody may list it: who stood there would hold up all others.
    for (permissions, word) in [("cd", "list"), ("rd", "stand in")] {
        tree.allow("/elsewhere", permissions);
        cluster.apply(&job::leading_witness("election = \"/elsewhere\"\n"));
        let told = await_value("the problem", SOON, || cluster.cli().problem(WITNESS)?.ok_or("none".to_owned()));
        let expected = format!("on a: this host can't {word} its election `/elsewhere`: access to `/elsewhere");
        assert!(told.starts_with(&expected), "{told}");
        let by_host = cluster.cli().contender_problems(WITNESS);
        assert!(by_host.as_ref().is_ok_and(|rows| rows.len() == 1 && rows[0].0 == "a"), "{by_host:#?}");
        await_told("nobody in the queue", SOON, || server.four_letter("dump"), |dump| !dump.contains("/elsewhere/"));
        tree.allow("/elsewhere", "cdrwa");
        cluster.await_leader("a leader once access is granted", WITNESS, SOON, |_| true);
        assert_eq!(cluster.cli().problem(WITNESS), Ok(None));
        cluster.cli().ok(&["delete", WITNESS]);
    }
}

#[test]
fn a_job_whose_node_holds_something_else_is_listed_with_the_reason() {
    let mut place = ticking(&["a"]);
    place.tree.set("/silverback/jobs/acme/ticker", "{\"half\": ");
    let told = await_value("the problem", SOON, || place.cluster.cli().problem(TICKER)?.ok_or("none".to_owned()));
    assert!(
        told.contains("what is stored as job `acme/ticker` is no job") && told.contains("apply it again"),
        "{told}"
    );
    place.cluster.apply(&job::ticking_witness("@every 1s"));
    place.await_fresh_runs();
}

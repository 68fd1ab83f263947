//! Begins and ends of runs that are on their way when their host is deposed: they are refused, and who takes over settles
//! the runs as if they had not been sent.

use std::time::Duration;

use jiff::Timestamp;
use silverback::history::Outcome;
use silverback_tests::chores::Chore;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::ledger::{Ledger, Story};
use silverback_tests::proxy::{Mode, Proxy};
use silverback_tests::soak;
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::zookeeper::ZooKeeperServer;

const ROOT: &str = "/silverback";
const NAMES: [&str; 2] = ["a", "b"];
/// Of each request and each answer, so that some are on their way at any time.
const SLOW: Duration = Duration::from_millis(200);

/// The session lives and the lease is not over, so nothing but the multi's own conditions keeps them out.
#[test]
fn what_a_deposed_host_has_sent_of_its_runs_is_refused() {
    let server = ZooKeeperServer::start().unwrap();
    let proxies = NAMES.map(|_| Proxy::start(server.address()).unwrap());
    let ways: Vec<(&str, String)> = NAMES.into_iter().zip(proxies.each_ref().map(Proxy::connect_string)).collect();
    let mut cluster = Cluster::start_through(ROOT, Duration::from_secs(10), &ways);
    let keys = ["", "delivery = \"at-least-once\""].map(|delivery| format!("schedule = \"@every 1s\"\n{delivery}"));
    let chores: Vec<Chore> =
        (0..24).map(|at| Chore::new("acme", &format!("chore-{at}"), &keys[at % keys.len()])).collect();
    cluster.apply_all(&chores.iter().map(Chore::toml).collect::<Vec<_>>());
    for _ in 0..soak::times(3, 30) {
        let leader = cluster.await_leader("a leader", &chores[0].id(), SOON, |_| true).identifier;
        let host = NAMES.iter().position(|name| *name == leader).expect("it is one of ours");
        let cli = cluster.host(NAMES[1 - host]).cli();
        proxies[host].set(Mode::Delay(SLOW));
        for_a_while(4 * SLOW, || {});
        for chore in &chores {
            // Where the other leads, this one's contender only waits.
            cli.run(&["evict", &chore.id(), &leader, "--group"]);
        }
        for_a_while(2 * SLOW, || {});
        proxies[host].set(Mode::Pass);
    }
    let until = Timestamp::now();
    let ledger = await_value("all ticks to come to their end", SOON, || {
        let ledger = Ledger::read(ROOT, &server.transactions().unwrap());
        let open = ledger.stories.values().find(|story| !story.is_settled(until)).map(ToString::to_string);
        open.map_or(Ok(ledger), Err)
    });
    let verdict = ledger.verdict(until);
    println!("{verdict}");
    verdict.assert_kept();
    let lost: usize = ledger.stories.values().map(|story: &Story| story.ended_as(Outcome::Unknown)).sum();
    assert!(lost > 0, "no end was on its way, so nothing was tried");
}

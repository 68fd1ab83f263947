//! Groups of scheduled jobs over four hosts: three stand for each, leadership is spread, and a host's death moves its own
//! groups alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use silverback::candidacy::{CONTENDERS, Placement};
use silverback::registry::{DEFAULT_GROUPS, JobId, group_of};
use silverback_tests::cli::{HostRow, RunRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::queues::{Queues, Stander};
use silverback_tests::wait::{await_that, await_value, for_a_while};
use silverback_tests::zookeeper::ZooKeeperServer;

const HOSTS: [&str; 4] = ["a", "b", "c", "d"];
const JOBS: usize = 48;
const TIMEOUT: Duration = Duration::from_secs(4);
/// How long hosts that came wait for others before they take their places, and a bit.
const SETTLE: Duration = Duration::from_secs(2);
const HOLD: Duration = Duration::from_secs(1);

/// Four hosts that have settled with their jobs.
struct Troop {
    cluster: Cluster,
    server: ZooKeeperServer,
    used: BTreeSet<String>,
}

fn names() -> Vec<String> {
    (0..JOBS).map(|at| format!("ticker-{at}")).collect()
}

impl Troop {
    fn start() -> Self {
        let server = ZooKeeperServer::start().unwrap();
        let mut cluster = Cluster::start_holding(&server.connect_string(), TIMEOUT, HOLD, &HOSTS);
        for_a_while(SETTLE, || {});
        cluster.apply_all(&names().iter().map(|name| job::ticking(name)).collect::<Vec<_>>());
        let group = |name: &String| group_of(&JobId::new("acme", name).unwrap(), DEFAULT_GROUPS);
        let used = names().iter().map(|name| format!("{:04}", group(name))).collect();
        Troop { cluster, server, used }
    }

    fn queues(&self) -> Queues {
        Queues::of(&self.server).expect("the server answers")
    }

    /// Waits until three of these hosts stand for each used group, and nobody stands for another.
    #[track_caller]
    fn await_queues(&self, hosts: &[&str]) -> Queues {
        let settled = await_that(
            "the queues",
            SOON,
            || self.queues(),
            |queues| {
                let live = |one: &Stander| hosts.contains(&one.host.as_str());
                queues.groups.keys().eq(&self.used)
                    && queues.lengths() == (CONTENDERS, CONTENDERS)
                    && queues.groups.values().flatten().all(live)
            },
        );
        assert!(settled.ephemerals <= CONTENDERS * self.used.len() + HOSTS.len(), "{settled:#?}");
        settled
    }

    /// Waits until this many groups are led by each host, as the hosts themselves say.
    #[track_caller]
    fn await_told(&mut self, queues: &Queues) {
        await_value("the hosts to tell what they lead", SOON, || {
            let rows: Vec<HostRow> = self.cluster.cli().rows(&["hosts"])?;
            let stood =
                |host: &str| queues.groups.values().filter(|queue| queue.iter().any(|one| one.host == host)).count();
            let told = |row: &HostRow| {
                row.groups_led as usize == queues.led_by(&row.host).len()
                    && row.groups as usize == stood(&row.host)
                    && (row.jobs_led, row.elections_led) == (0, row.groups_led)
            };
            if rows.iter().all(told) { Ok(()) } else { Err(format!("{rows:#?}")) }
        });
    }
}

/// The leaders of all groups but these.
fn others(queues: &Queues, but: &BTreeSet<String>) -> BTreeMap<String, Stander> {
    queues.leaders().into_iter().filter(|(group, _)| !but.contains(group)).collect()
}

#[test]
fn three_hosts_stand_for_each_group_and_a_host_that_dies_moves_its_own_groups_alone() {
    let mut troop = Troop::start();
    let before = troop.await_queues(&HOSTS);
    let part = Placement::bound(troop.used.len(), HOSTS.len());
    for host in HOSTS {
        let led = before.led_by(host).len();
        assert!((1..=part).contains(&led), "{host} leads {led} of {} groups: {before:#?}", troop.used.len());
    }
    troop.await_told(&before);

    let dead = HOSTS[1];
    let its_own = before.led_by(dead);
    troop.cluster.host(dead).kill9();
    let left: Vec<&str> = HOSTS.into_iter().filter(|host| *host != dead).collect();
    let after = troop.await_queues(&left);
    assert_eq!(others(&after, &its_own), others(&before, &its_own), "a group that was not its own has another leader");
    troop.await_told(&after);
}

#[test]
fn a_host_that_is_back_gets_its_groups_again_and_no_tick_is_lost_or_doubled_by_it() {
    let mut troop = Troop::start();
    let before = troop.await_queues(&HOSTS);
    let back = HOSTS[2];
    let its_own = before.led_by(back);
    troop.cluster.host(back).kill9();
    let left: Vec<&str> = HOSTS.into_iter().filter(|host| *host != back).collect();
    let without = troop.await_queues(&left);

    let started = Timestamp::now();
    troop.cluster.host(back).restart();
    let led_again = |queues: &Queues| queues.led_by(back) == its_own;
    await_that("it to lead its groups again", SOON, || troop.queues(), led_again);
    let again = troop.await_queues(&HOSTS);
    assert_eq!(again.led_by(back), its_own);
    assert_eq!(others(&again, &its_own), others(&without, &its_own), "a group that was not its own has another leader");
    let settled = Timestamp::now();
    for name in names() {
        let job = format!("acme/{name}");
        let runs = await_value("a run of the time after", SOON, || {
            let runs = troop.cluster.cli().runs(&job)?;
            let over = |run: &RunRow| run.tick.is_some_and(|tick| tick > settled) && run.outcome.is_some();
            if runs.iter().any(over) { Ok(runs) } else { Err(format!("{runs:#?}")) }
        });
        each_tick_is_there_once(&runs, started, settled);
    }
}

/// Of each second between these times. If a run takes longer, as it may on a busy machine, the tick after it is skipped.
#[track_caller]
fn each_tick_is_there_once(runs: &[RunRow], from: Timestamp, to: Timestamp) {
    for second in from.as_second() + 1..=to.as_second() {
        let at = |run: &&RunRow| run.tick.is_some_and(|tick| tick.as_second() == second);
        let fine = |run: &RunRow| match run.outcome.as_deref() {
            Some("succeeded") => run.attempt == 1,
            Some("skipped") => run.detail.contains("the run before was still under way"),
            _ => false,
        };
        let of_second: Vec<&RunRow> = runs.iter().filter(at).collect();
        assert!(of_second.len() == 1 && fine(of_second[0]), "second {second}: {of_second:#?} of {runs:#?}");
    }
}

//! Programs of kazoo in one queue with hosts: who leads is agreed by all.

use std::time::Duration;

use silverback_tests::cli::ContenderRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::kazoo::{self, KazooContender};
use silverback_tests::terms::Sighting;
use silverback_tests::wait::await_value;
use silverback_tests::witness::{Witnesses, assert_one_leader};
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/witness";
const PATH: &str = "/electionpath";
const HANDOVERS: usize = 30;

#[test]
fn kazoo_programs_and_hosts_lead_in_turn_and_see_one_queue() {
    let server = ZooKeeperServer::start().unwrap();
    let servers = server.connect_string();
    let mut cluster = Cluster::start(&servers, Duration::from_secs(6), &["a", "b"]);
    let mut witnesses = Witnesses::of(JOB);
    cluster.apply(&job::leading_witness(&format!("election = \"{PATH}\"\n")));
    let dir = cluster.dir().to_owned();
    let programs =
        ["k1", "k2"].map(|name| KazooContender::start(name, &servers, PATH, Duration::from_millis(100), &dir));
    let mut queues_compared = 0;

    await_value(&format!("{HANDOVERS} handovers"), Duration::from_secs(180), || {
        let handovers = terms_begun(&mut witnesses, &mut cluster, &programs).saturating_sub(1);
        if handovers >= HANDOVERS {
            return Ok(());
        }
        // A host leads until it is told to resign, and until then the queue stands still.
        if let Some(leader) = leading_host(&mut cluster) {
            witnesses.await_life(&mut cluster, leader.token, 1);
            if queues_compared < 2 {
                compare_queues(&mut cluster, &servers);
                queues_compared += 1;
            }
            cluster.cli().ok(&["resign", JOB]);
            await_value("the leader to resign", SOON, || {
                if leading_host(&mut cluster).is_none_or(|now| now.token != leader.token) {
                    Ok(())
                } else {
                    Err(&leader)
                }
            });
        }
        Err(handovers)
    });

    let terms = assert_one_leader(&sightings(&mut witnesses, &mut cluster, &programs));
    for who in ["a", "b", "k1", "k2"] {
        let led = terms.iter().filter(|term| term.who == who).count();
        assert!(led >= 3, "{who} led {led} times in {} terms", terms.len());
    }
    assert_eq!(queues_compared, 2);
}

fn sightings(witnesses: &mut Witnesses, cluster: &mut Cluster, programs: &[KazooContender]) -> Vec<Sighting> {
    witnesses.look(cluster);
    let mut all = witnesses.sightings();
    all.extend(programs.iter().flat_map(KazooContender::sightings));
    all
}

fn terms_begun(witnesses: &mut Witnesses, cluster: &mut Cluster, programs: &[KazooContender]) -> usize {
    assert_one_leader(&sightings(witnesses, cluster, programs)).len()
}

fn leading_host(cluster: &mut Cluster) -> Option<ContenderRow> {
    let queue = cluster.cli().contenders(JOB).ok()?;
    queue.into_iter().find(|contender| contender.leader && contender.host.is_some())
}

#[track_caller]
fn compare_queues(cluster: &mut Cluster, servers: &str) {
    let ours = await_value("all four to stand in the queue", SOON, || {
        let queue = cluster.cli().contenders(JOB)?;
        if queue.len() == 4 { Ok(queue) } else { Err(format!("{queue:#?}")) }
    });
    let identifiers: Vec<&str> = ours.iter().map(|contender| contender.identifier.as_str()).collect();
    assert_eq!(kazoo::contenders(servers, PATH), identifiers);
    for contender in &ours {
        let of_ours = contender.host.as_deref() == Some(contender.identifier.as_str());
        assert_eq!(of_ours, ["a", "b"].contains(&contender.identifier.as_str()), "{contender:?}");
    }
}

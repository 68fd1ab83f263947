//! Programs of Curator and of kazoo in one queue with hosts, while processes are killed and sessions are ended from
//! outside: exactly one leads at any time, and each library lists all.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use silverback_tests::cli::ContenderRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::curator::{self, CuratorContender};
use silverback_tests::end_session::end_session;
use silverback_tests::job;
use silverback_tests::kazoo::{self, KazooContender};
use silverback_tests::soak;
use silverback_tests::terms::{Sighting, Term};
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::witness::{Witnesses, assert_one_leader};
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/witness";
const PATH: &str = "/electionpath";
const TERM: Duration = Duration::from_millis(100);
/// Two hosts, two Curator programs, two of kazoo.
const ALL: usize = 6;

#[test]
fn curator_kazoo_and_hosts_lead_one_at_a_time_while_sessions_end_and_processes_die() {
    let mut company = Company::start();
    company.compare_queues();
    let until = Instant::now() + soak::span(Duration::from_secs(45), Duration::from_secs(600));
    let mut injuries = 0;
    while Instant::now() < until {
        for_a_while(Duration::from_secs(2), || company.go_on());
        match injuries % 4 {
            0 | 2 => company.end_the_session_of_one_that_waits(injuries / 2),
            1 => company.kill_curator(),
            _ => company.kill_kazoo(),
        }
        injuries += 1;
    }
    company.compare_queues();
    let terms = company.terms();
    for who in ["a", "b", "c1", "k1"] {
        let led = terms.iter().filter(|term| term.who == who).count();
        assert!(led >= 2, "{who} led {led} times in {} terms", terms.len());
    }
    println!("{} terms, one at a time, through {injuries} deaths of sessions and processes", terms.len());
}

struct Company {
    // Dropped before the server: fields go in order.
    cluster: Cluster,
    witnesses: Witnesses,
    curators: Vec<CuratorContender>,
    kazoos: Vec<KazooContender>,
    server: ZooKeeperServer,
}

impl Company {
    fn start() -> Self {
        let server = ZooKeeperServer::start().unwrap();
        let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(6), &["a", "b"]);
        cluster.apply(&job::leading_witness(&format!("election = \"{PATH}\"\nnames = \"curator\"\n")));
        let witnesses = Witnesses::of(JOB);
        let mut company = Company { cluster, witnesses, curators: Vec::new(), kazoos: Vec::new(), server };
        for _ in 0..2 {
            company.join_curator();
            company.join_kazoo();
        }
        company
    }

    fn join_curator(&mut self) {
        let (name, dir) = (format!("c{}", self.curators.len() + 1), self.cluster.dir().to_owned());
        self.curators.push(CuratorContender::start(&name, &self.server.connect_string(), PATH, TERM, &dir));
    }

    fn join_kazoo(&mut self) {
        let (name, dir, servers) =
            (format!("k{}", self.kazoos.len() + 1), self.cluster.dir().to_owned(), self.server.connect_string());
        self.kazoos.push(KazooContender::start_beside_curator(&name, &servers, PATH, TERM, &dir));
    }

    /// The queue moves on: a host leads until it is told to resign.
    fn go_on(&mut self) {
        if self.leading_host().is_some() {
            // It may have resigned by itself meanwhile, or lost its session: then this fails, and need not succeed.
            self.cluster.cli().run(&["resign", JOB]);
        }
    }

    fn queue(&mut self) -> Vec<ContenderRow> {
        self.cluster.cli().contenders(JOB).unwrap_or_default()
    }

    fn leading_host(&mut self) -> Option<ContenderRow> {
        self.queue().into_iter().find(|contender| contender.leader && contender.host.is_some())
    }

    /// Waits until a host leads, which keeps the queue as it is, and all others wait: who died is gone, who is new has come.
    fn stand_still(&mut self) -> Vec<ContenderRow> {
        // Of each library the last program is another's heir.
        let (curator, kazoo) = (format!("c{}", self.curators.len()), format!("k{}", self.kazoos.len()));
        let living: BTreeSet<&str> = ["a", "b", "c1", "k1", &curator, &kazoo].into();
        assert_eq!(living.len(), ALL);
        await_value("a host to lead all others", SOON, || {
            let queue = self.queue();
            let names: BTreeSet<&str> = queue.iter().map(|contender| contender.identifier.as_str()).collect();
            let still = queue.len() == ALL && names == living && queue[0].leader && queue[0].host.is_some();
            if still { Ok(queue) } else { Err(queue) }
        })
    }

    /// Ends the session of one that waits, a different one each time; it stands again, at the end.
    ///
    /// Of one that leads, nobody could: its nodes are gone before anybody can tell it, and what it does meanwhile is only
    /// held back by fencing.
    fn end_the_session_of_one_that_waits(&mut self, turn: usize) {
        let queue = self.stand_still();
        let victim = &queue[1 + turn % (ALL - 1)];
        let session = self.server.owner(&format!("{PATH}/{}", victim.znode)).expect("it stands, since a host leads");
        end_session(self.server.address(), session).unwrap();
        await_value(&format!("{} to stand again", victim.identifier), SOON, || {
            let queue = self.queue();
            let again = |row: &ContenderRow| row.identifier == victim.identifier && row.znode != victim.znode;
            if queue.iter().any(again) { Ok(()) } else { Err(queue) }
        });
    }

    fn kill_curator(&mut self) {
        self.curators.last_mut().expect("there are two").kill9();
        self.join_curator();
    }

    fn kill_kazoo(&mut self) {
        self.kazoos.last_mut().expect("there are two").kill9();
        self.join_kazoo();
    }

    /// All libraries list the same queue.
    fn compare_queues(&mut self) {
        let queue = self.stand_still();
        let ours: Vec<String> = queue.iter().map(|contender| contender.identifier.clone()).collect();
        let servers = self.server.connect_string();
        assert_eq!(kazoo::contenders(&servers, PATH), ours, "kazoo lists others than we do");
        assert_eq!(curator::participants(&servers, PATH), ours, "Curator lists others than we do");
        for contender in &queue {
            let of_ours = ["a", "b"].contains(&contender.identifier.as_str());
            assert_eq!(contender.host.is_some(), of_ours, "{contender:?}");
        }
    }

    /// The terms of all.
    #[track_caller]
    fn terms(&mut self) -> Vec<Term> {
        self.witnesses.look(&mut self.cluster);
        let mut all: Vec<Sighting> = self.witnesses.sightings();
        all.extend(self.curators.iter().flat_map(CuratorContender::sightings));
        all.extend(self.kazoos.iter().flat_map(KazooContender::sightings));
        assert_one_leader(&all)
    }
}

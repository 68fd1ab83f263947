//! Hosts that are killed, frozen and cut off, one after the other and at the same time, while a guest that listens to
//! nobody writes as fast as it can: the order of what got through agrees with the order of tokens.

use std::time::{Duration, Instant};

use silverback_tests::chance::Chance;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::proxy::{Mode, Proxy};
use silverback_tests::scribe::{self, assert_agree};
use silverback_tests::soak;
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/scribe";
const TIMEOUT: Duration = Duration::from_secs(2);
const NAMES: [&str; 3] = ["a", "b", "c"];
const WRITES_AFTER: usize = 50;
/// A host in trouble can't always be asked for its end of the log at once.
const SETTLED: Duration = Duration::from_secs(60);

#[test]
fn through_kills_freezes_and_broken_networks_effects_keep_the_order_of_tokens() {
    let span = soak::span(Duration::from_secs(30), Duration::from_secs(600));
    let mut chaos = Chaos::start(Chance::new());
    let until = Instant::now() + span;
    let mut faults = 0;
    while Instant::now() < until {
        chaos.one_or_two_faults();
        faults += 1;
    }
    let server = &chaos.server;
    let writes = |token: i64| {
        let effects = scribe::effects(JOB, &server.transactions().unwrap());
        effects.iter().filter(|effect| effect.token == token).count()
    };
    let cluster = &mut chaos.cluster;
    await_value("a leader that writes, with all faults over", SETTLED, || {
        let queue = cluster.cli().contenders(JOB)?;
        let leader = queue.iter().find(|contender| contender.leader).ok_or_else(|| format!("{queue:#?}"))?;
        let count = writes(leader.token);
        if count >= WRITES_AFTER && queue.len() == NAMES.len() { Ok(()) } else { Err(format!("{count}, {queue:#?}")) }
    });
    let summary = assert_agree(&scribe::effects(JOB, &server.transactions().unwrap()));
    assert!(summary.tokens.len() > faults / 4, "{faults} rounds of faults made {} terms", summary.tokens.len());
    let mut witnesses = Witnesses::of(JOB);
    witnesses.look(cluster);
    witnesses.terms();
    println!("{faults} rounds of faults: {} effects of {} terms", summary.effects, summary.tokens.len());
}

/// What may happen to a host.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Freeze,
    Network(Mode),
}

const FAULTS: [Fault; 6] = [
    Fault::Kill,
    Fault::Freeze,
    Fault::Network(Mode::Hole),
    Fault::Network(Mode::Cut),
    Fault::Network(Mode::Mute),
    Fault::Network(Mode::Delay(Duration::from_millis(700))),
];

struct Chaos {
    // Dropped in this order: hosts, their proxies, the server.
    cluster: Cluster,
    proxies: [Proxy; NAMES.len()],
    server: ZooKeeperServer,
    chance: Chance,
}

impl Chaos {
    fn start(chance: Chance) -> Self {
        let server = ZooKeeperServer::start().unwrap();
        let proxies = NAMES.map(|_| Proxy::start(server.address()).unwrap());
        let ways: Vec<(&str, String)> =
            NAMES.iter().zip(&proxies).map(|(name, proxy)| (*name, proxy.connect_string())).collect();
        let mut cluster = Cluster::start_through("/silverback", TIMEOUT, &ways);
        cluster.apply(&job::scribe());
        cluster.await_leader("a first leader", JOB, SOON, |_| true);
        Chaos { cluster, proxies, server, chance }
    }

    /// One host is hit for a while, mostly the leader; sometimes a second one meanwhile. A third stays well.
    fn one_or_two_faults(&mut self) {
        let first = self.victim();
        let second = (first + 1 + self.chance.below(2)) % NAMES.len();
        let faults = [(first, self.fault()), (second, self.fault())];
        let faults = &faults[..1 + usize::from(self.chance.below(4) == 0)];
        for (host, fault) in faults {
            println!("  {} to host {}", format_args!("{fault:?}"), NAMES[*host]);
            self.begin(*host, *fault);
        }
        // From hardly noticed to far beyond the session's end.
        let lasts = Duration::from_millis(300 + self.chance.below(4000) as u64);
        for_a_while(lasts, || {});
        for (host, fault) in faults {
            self.end(*host, *fault);
        }
        let rest = Duration::from_millis(self.chance.below(1000) as u64);
        for_a_while(rest, || {});
    }

    fn victim(&mut self) -> usize {
        let any = self.chance.below(NAMES.len());
        if self.chance.below(3) == 0 {
            return any;
        }
        let queue = self.cluster.cli().contenders(JOB).unwrap_or_default();
        let leader = queue.into_iter().find(|contender| contender.leader);
        leader.and_then(|leader| NAMES.iter().position(|name| *name == leader.identifier)).unwrap_or(any)
    }

    fn fault(&mut self) -> Fault {
        FAULTS[self.chance.below(FAULTS.len())]
    }

    fn begin(&mut self, host: usize, fault: Fault) {
        match fault {
            Fault::Kill => self.cluster.host(NAMES[host]).kill9(),
            Fault::Freeze => self.cluster.host(NAMES[host]).sigstop(),
            Fault::Network(mode) => self.proxies[host].set(mode),
        }
    }

    fn end(&mut self, host: usize, fault: Fault) {
        match fault {
            Fault::Kill => self.cluster.host(NAMES[host]).restart(),
            Fault::Freeze => self.cluster.host(NAMES[host]).sigcont(),
            Fault::Network(_) => self.proxies[host].set(Mode::Pass),
        }
    }
}

//! Hosts that are killed, frozen and cut off, one after the other and at the same time, while a guest that listens to
//! nobody writes as fast as it can, to its state and to a target outside: in both, the order of what got through agrees
//! with the order of tokens. What a host has sent to the target when it dies arrives late, and only the target's own
//! comparison keeps it out.

use std::time::{Duration, Instant};

use silverback_tests::chance::Chance;
use silverback_tests::cli::ContenderRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::history_checker::{Violation, effects_agree_with_tokens};
use silverback_tests::job;
use silverback_tests::proxy::{Mode, Proxy};
use silverback_tests::scribe::{self, assert_agree};
use silverback_tests::soak;
use silverback_tests::target::{TOKEN_HEADER, Target};
use silverback_tests::wait::{await_that, await_value, for_a_while};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/scribe";
const TIMEOUT: Duration = Duration::from_secs(2);
const NAMES: [&str; 3] = ["a", "b", "c"];
const WRITES_AFTER: usize = 50;
/// Long enough for the next request of a scribe to have been sent.
const A_REQUEST: Duration = Duration::from_millis(100);
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
    chaos.evict_a_leader_whose_write_is_on_its_way();
    chaos.kill_a_leader_whose_request_is_on_its_way();

    let state = assert_agree(&scribe::effects(JOB, &chaos.server.transactions().unwrap()));
    let outside = assert_agree(&chaos.target.taken());
    for tokens in [&state.tokens, &outside.tokens] {
        assert!(tokens.len() > faults / 4, "{faults} rounds of faults made {} terms", tokens.len());
    }
    let late = chaos.late_requests();
    chaos.witnesses.look(&mut chaos.cluster);
    chaos.witnesses.terms();
    println!("{faults} rounds of faults");
    println!("  state: {} effects of {} terms", state.effects, state.tokens.len());
    println!("  target: {} effects of {} terms, and {late} late ones refused", outside.effects, outside.tokens.len());
}

/// What may happen to a host.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Freeze,
    Network(Mode),
    /// Its contender is removed while its network is slow: its session lives, and its writes are still on their way.
    Evict,
}

const SLOW: Mode = Mode::Delay(Duration::from_millis(700));

const FAULTS: [Fault; 7] = [
    Fault::Kill,
    Fault::Freeze,
    Fault::Evict,
    Fault::Network(Mode::Hole),
    Fault::Network(Mode::Cut),
    Fault::Network(Mode::Mute),
    Fault::Network(SLOW),
];

struct Chaos {
    // Dropped in this order: hosts, their proxies, the server.
    cluster: Cluster,
    proxies: [Proxy; NAMES.len()],
    server: ZooKeeperServer,
    target: Target,
    /// Who looks each round: a host keeps no more than the end of a long log.
    witnesses: Witnesses,
    chance: Chance,
}

impl Chaos {
    fn start(chance: Chance) -> Self {
        let server = ZooKeeperServer::start().unwrap();
        let proxies = NAMES.map(|_| Proxy::start(server.address()).unwrap());
        let ways: Vec<(&str, String)> =
            NAMES.iter().zip(&proxies).map(|(name, proxy)| (*name, proxy.connect_string())).collect();
        let mut cluster = Cluster::start_through("/silverback", TIMEOUT, &ways);
        let target = Target::start(TOKEN_HEADER).unwrap();
        cluster.let_reach_this_machine("acme");
        cluster.apply(&job::sending_scribe(&target.origin(), ""));
        cluster.await_leader("a first leader", JOB, SOON, |_| true);
        Chaos { cluster, proxies, server, target, witnesses: Witnesses::of(JOB), chance }
    }

    /// One host is hit for a while, mostly the leader; sometimes a second one meanwhile. A third stays well. Every other time
    /// a request of the leader is on its way then, and arrives when the faults are over.
    fn one_or_two_faults(&mut self) {
        if self.chance.below(2) == 0 {
            self.target.hold_next();
            for_a_while(A_REQUEST, || {});
        }
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
        self.target.release();
        self.witnesses.look(&mut self.cluster);
    }

    /// With all faults over, all stand and one leads, which writes to both.
    #[track_caller]
    fn await_writes_of_one_of_three(&mut self) -> ContenderRow {
        let Chaos { cluster, server, target, .. } = self;
        await_value("a leader that writes, with all faults over", SETTLED, || {
            let queue = cluster.cli().contenders(JOB)?;
            let leader = queue.iter().find(|row| row.leader).ok_or_else(|| format!("{queue:#?}"))?;
            let effects = [scribe::effects(JOB, &server.transactions().unwrap()), target.taken()];
            let counts = effects.map(|effects| effects.iter().filter(|effect| effect.token == leader.token).count());
            let writes = counts.iter().all(|count| *count >= WRITES_AFTER) && queue.len() == NAMES.len();
            if writes { Ok(leader.clone()) } else { Err(format!("{counts:?}, {queue:#?}")) }
        })
    }

    /// Nothing but the check in the write itself keeps it out.
    fn evict_a_leader_whose_write_is_on_its_way(&mut self) {
        let leader = self.await_writes_of_one_of_three();
        let host = NAMES.iter().position(|name| *name == leader.identifier).expect("it is one of ours");
        self.begin(host, Fault::Evict);
        // Not through the host that is slow, whose connection breaks again and again.
        let cli = self.cluster.host(NAMES[(host + 1) % NAMES.len()]).cli();
        await_value("another leader", SOON, || {
            let queue = cli.contenders(JOB)?;
            let leads = queue.iter().any(|row| row.leader && row.token > leader.token);
            if leads { Ok(()) } else { Err(format!("{queue:#?}")) }
        });
        for_a_while(Duration::from_secs(1), || {});
        self.end(host, Fault::Evict);
    }

    /// The request has left the host, so nothing that the host does could hold it back.
    fn kill_a_leader_whose_request_is_on_its_way(&mut self) {
        let leader = self.await_writes_of_one_of_three();
        self.target.hold_next();
        await_that("a request to be on its way", SOON, || self.target.held(), |held| *held == 1);
        self.cluster.host(&leader.identifier).kill9();
        let newest = || self.target.taken().iter().map(|effect| effect.token).max();
        await_that("the next leader to write to the target", SOON, newest, |token| *token > Some(leader.token));
        let arrived_late = || self.target.arrived().len() - self.target.taken().len();
        let before = arrived_late();
        self.target.release();
        await_that("the request to arrive, and to be refused", SOON, arrived_late, |late| *late > before);
        self.cluster.host(&leader.identifier).restart();
    }

    /// How many requests the target refused. Had it taken all that arrived, each of them would be seen to be out of order.
    fn late_requests(&self) -> usize {
        let arrived = self.target.arrived();
        let late = arrived.len() - self.target.taken().len();
        let violations = effects_agree_with_tokens(&arrived).expect_err("some were late");
        let fell = violations.iter().filter(|violation| matches!(violation, Violation::TokenFell { .. })).count();
        assert_eq!((fell, violations.len()), (late, late), "{violations:#?}");
        late
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
            Fault::Evict => {
                self.proxies[host].set(SLOW);
                let other = self.cluster.host(NAMES[(host + 1) % NAMES.len()]);
                // The other may be in trouble itself, and the first not stand at all: nothing is evicted then.
                if other.answers() {
                    other.cli().run(&["evict", JOB, NAMES[host]]);
                }
            }
        }
    }

    fn end(&mut self, host: usize, fault: Fault) {
        match fault {
            Fault::Kill => self.cluster.host(NAMES[host]).restart(),
            Fault::Freeze => self.cluster.host(NAMES[host]).sigcont(),
            Fault::Network(_) | Fault::Evict => self.proxies[host].set(Mode::Pass),
        }
    }
}

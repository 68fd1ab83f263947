//! Two hundred jobs of every policy while hosts are killed, frozen and cut off, and servers lose their leader: what the
//! servers committed, held against every promise by the oracle.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use silverback::history::Outcome;
use silverback_tests::chance::Chance;
use silverback_tests::chores::Chore;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::ledger::{Ledger, Story};
use silverback_tests::proxy::{Mode, Proxy};
use silverback_tests::soak;
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::zookeeper::Ensemble;

const ROOT: &str = "/silverback";
const TIMEOUT: Duration = Duration::from_secs(4);
const NAMES: [&str; 3] = ["a", "b", "c"];
const SERVERS: usize = 3;
const TENANTS: usize = 10;
/// Until the last tick is decided, with all faults over.
const SETTLED: Duration = Duration::from_secs(90);
/// How many jobs' records are held against the logs.
const COMPARED: usize = 12;

#[test]
fn through_all_faults_the_oracle_finds_nothing_missed_nothing_doubled_and_nothing_silent() {
    let mut chaos = Chaos::start(Chance::new());
    let until = Instant::now() + soak::span(Duration::from_secs(60), Duration::from_secs(600));
    let mut faults = Vec::new();
    while Instant::now() < until {
        faults.push(chaos.one_or_two_faults());
    }
    let until = chaos.settle();
    let ledger = chaos.ledger();
    let verdict = ledger.verdict(until);
    println!("{} rounds of faults: {faults:?}", faults.len());
    println!("{verdict}");
    verdict.assert_kept();
    assert_eq!(verdict.jobs, TENANTS * 20);
    let lost = [Outcome::Unknown, Outcome::LostLeadership].map(|outcome| outcome.to_string());
    assert!(lost.iter().any(|outcome| verdict.ends.contains_key(outcome)), "no run was lost, so nothing was at stake");
    chaos.spans_are_filled_in(&ledger);
    chaos.records_agree(&ledger, until);
}

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    /// For longer than its session lasts.
    Freeze(usize),
    Network(usize, Mode),
    /// Some of its contenders are removed while its network is slow: its session lives, and its writes are on their way.
    Evict(usize),
    /// The ensemble loses its leader.
    Server,
}

/// A span that was to be filled in, of so many ticks: each order has one that no other has.
struct Order {
    job: String,
    first: Timestamp,
    /// Somebody said that it is.
    taken: bool,
}

/// Of jobs that tick each second.
const FILLED_IN: i64 = 20;
const SLOW: Mode = Mode::Delay(Duration::from_millis(700));
/// Of how many jobs' groups a host is evicted at once.
const EVICTED: usize = 6;

struct Chaos {
    // Dropped in this order: hosts, their proxies, the servers.
    cluster: Cluster,
    /// Of each host, one for each server.
    proxies: Vec<[Proxy; SERVERS]>,
    ensemble: Ensemble,
    chores: Vec<Chore>,
    killed_server: Option<usize>,
    orders: Vec<Order>,
    chance: Chance,
}

impl Chaos {
    fn start(chance: Chance) -> Self {
        let ensemble = Ensemble::start(SERVERS).unwrap();
        let proxy = |server| Proxy::start(ensemble.address(server)).unwrap();
        let proxies: Vec<[Proxy; SERVERS]> = NAMES.iter().map(|_| std::array::from_fn(proxy)).collect();
        let way = |proxies: &[Proxy; SERVERS]| proxies.each_ref().map(Proxy::connect_string).join(",");
        let ways: Vec<(&str, String)> = NAMES.iter().zip(&proxies).map(|(name, all)| (*name, way(all))).collect();
        let mut cluster = Cluster::start_through(ROOT, TIMEOUT, &ways);
        let chores = Chore::mixture(TENANTS);
        cluster.apply_all(&chores.iter().map(Chore::toml).collect::<Vec<_>>());
        Chaos { cluster, proxies, ensemble, chores, killed_server: None, orders: Vec::new(), chance }
    }

    /// One host or the ensemble's leader is hit for a while; sometimes both, or a second host. A third stays well.
    fn one_or_two_faults(&mut self) -> String {
        let first = self.chance.below(NAMES.len());
        let second = (first + 1 + self.chance.below(2)) % NAMES.len();
        let well = NAMES.len() - first - second;
        let all = [self.fault(first), self.fault(second)];
        let faults = &all[..1 + usize::from(self.chance.below(4) == 0)];
        for fault in faults {
            self.begin(*fault, well);
        }
        self.fill_in(well);
        let freezes = faults.iter().any(|fault| matches!(fault, Fault::Freeze(_)));
        let longest = if freezes { TIMEOUT + Duration::from_secs(1) } else { Duration::from_millis(200) };
        for_a_while(longest + Duration::from_millis(self.chance.below(3000) as u64), || {});
        for fault in faults {
            self.end(*fault);
        }
        for_a_while(Duration::from_millis(self.chance.below(2000) as u64), || {});
        format!("{faults:?}")
    }

    fn fault(&mut self, host: usize) -> Fault {
        match self.chance.below(9) {
            0 | 1 => Fault::Kill(host),
            2 => Fault::Freeze(host),
            3 => Fault::Network(host, Mode::Hole),
            4 => Fault::Network(host, Mode::Cut),
            5 => Fault::Network(host, Mode::Mute),
            6 => Fault::Network(host, SLOW),
            7 => Fault::Evict(host),
            _ => Fault::Server,
        }
    }

    fn begin(&mut self, fault: Fault, well: usize) {
        match fault {
            Fault::Kill(host) => self.cluster.host(NAMES[host]).kill9(),
            Fault::Freeze(host) => self.cluster.host(NAMES[host]).sigstop(),
            Fault::Network(host, mode) => self.set(host, mode),
            Fault::Evict(host) => {
                self.set(host, SLOW);
                self.evict(host, well);
            }
            Fault::Server if self.killed_server.is_none() => {
                self.killed_server = self.ensemble.leader().ok();
                self.killed_server.into_iter().for_each(|server| self.ensemble.kill(server));
            }
            Fault::Server => {}
        }
    }

    fn set(&self, host: usize, mode: Mode) {
        self.proxies[host].iter().for_each(|proxy| proxy.set(mode));
    }

    /// Through a host that is well: the slow one would take its time.
    fn evict(&mut self, host: usize, well: usize) {
        let cli = self.cluster.host(NAMES[well]).cli();
        for _ in 0..EVICTED {
            let job = self.chores[self.chance.below(self.chores.len())].id();
            // It need not stand there now.
            cli.run(&["evict", &job, NAMES[host], "--group"]);
        }
    }

    /// Has a span of some job filled in that ticks each second. It may be led by nobody now, or be filled in still.
    fn fill_in(&mut self, well: usize) {
        let job = format!("tenant-{}/chore-0", self.chance.below(TENANTS));
        let first = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(self.orders.len() as i64);
        let last = first + SignedDuration::from_secs(FILLED_IN - 1);
        let cli = self.cluster.host(NAMES[well]).cli();
        let answer = cli.run(&["backfill", &job, "--from", &first.to_string(), "--to", &last.to_string()]);
        self.orders.push(Order { job, first, taken: answer.code == Some(0) });
    }

    /// What was to be filled in was, once: at most once, so nothing was tried again.
    fn spans_are_filled_in(&self, ledger: &Ledger) {
        for Order { job, first, taken } in self.orders.iter().filter(|order| order.taken) {
            let ran = &ledger.of(job).beside;
            let times = (0..FILLED_IN).map(|second| *first + SignedDuration::from_secs(second));
            let lacking: Vec<_> = times.filter(|time| !ran.contains_key(&(format!("backfill-{time}"), 1))).collect();
            assert_eq!((lacking, *taken), (vec![], true), "{}", ledger.of(job));
        }
        let taken = self.orders.iter().filter(|order| order.taken).count();
        let again = ledger.stories.values().flat_map(|story| story.beside.keys()).find(|(_, attempt)| *attempt > 1);
        println!("{taken} of {} spans were filled in", self.orders.len());
        assert!(taken > 0 && again.is_none(), "{taken} spans, {again:?} again");
    }

    fn end(&mut self, fault: Fault) {
        match fault {
            // It may find no quorum at first; it tries for as long as it is waited for.
            Fault::Kill(host) => self.cluster.host(NAMES[host]).restart(),
            Fault::Freeze(host) => self.cluster.host(NAMES[host]).sigcont(),
            Fault::Network(host, _) | Fault::Evict(host) => self.set(host, Mode::Pass),
            Fault::Server => {
                let killed = self.killed_server.take();
                killed.into_iter().for_each(|server| self.ensemble.restart(server).unwrap());
            }
        }
    }

    /// With all faults over, what paused itself goes on, and every tick up to then comes to its end. Gives that moment.
    fn settle(&mut self) -> Timestamp {
        let pausing: Vec<String> = self.chores.iter().filter(|chore| chore.pauses()).map(Chore::id).collect();
        for job in &pausing {
            self.asked(&["pause", job]);
            self.asked(&["resume", job]);
        }
        let until = Timestamp::now();
        await_value("every tick to be decided", SETTLED, || {
            let ledger = self.ledger();
            let is_open = |story: &&Story| !story.is_settled(until);
            let open: Vec<String> = ledger.stories.values().filter(is_open).map(ToString::to_string).collect();
            if open.is_empty() { Ok(()) } else { Err(open) }
        });
        until
    }

    /// A command that a host in the middle of its recovery may refuse at first.
    fn asked(&mut self, args: &[&str]) {
        await_value(&format!("{args:?}"), SOON, || {
            let answer = self.cluster.cli().run(args);
            if answer.code == Some(0) { Ok(()) } else { Err(answer) }
        });
    }

    fn ledger(&self) -> Ledger {
        Ledger::read(ROOT, &self.ensemble.transactions().unwrap())
    }

    /// What hosts tell of runs agrees with what was committed: nothing is told to have succeeded that didn't, and nothing
    /// that was never begun is told to have run.
    fn records_agree(&mut self, ledger: &Ledger, until: Timestamp) {
        let stories: Vec<&Story> = ledger.stories.values().collect();
        for _ in 0..COMPARED {
            let story = stories[self.chance.below(stories.len())];
            let job = story.spec.id.to_string();
            for row in self.cluster.cli().runs(&job).unwrap() {
                let (true, Some(outcome)) = (row.tick <= Some(until), row.outcome.as_deref()) else { continue };
                let name = row.run.rsplit('/').next().expect("a run has a name");
                let ended = match story.beside.get(&(name.to_owned(), row.attempt)) {
                    Some(beside) => *beside,
                    None => {
                        let ran = story.runs().find(|ran| name == ran.tick.to_string() && ran.attempt == row.attempt);
                        ran.and_then(|ran| ran.ended).map(|(_, outcome)| outcome)
                    }
                };
                let ended = ended.map(|outcome| outcome.to_string());
                match outcome {
                    "skipped" => assert_eq!(ended, None, "{row:?}: {story}"),
                    "succeeded" => assert_eq!(ended.as_deref(), Some("succeeded"), "{row:?}: {story}"),
                    _ => {}
                }
            }
        }
    }
}

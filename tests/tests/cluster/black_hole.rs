//! A leader that is cut off from the ensemble, in every way a network has, executes its last instruction before its
//! successor executes its first.
//!
//! Nothing but its log can be seen of the guest that is cut off: it says every few milliseconds that it is alive, and its
//! host stamps each line with the clock that all processes of the machine share. The lines are read once the host is back.

use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::proxy::{Mode, Proxy};
use silverback_tests::soak;
use silverback_tests::terms::Term;
use silverback_tests::times::{Times, ms};
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/witness";
const TIMEOUT: Duration = Duration::from_secs(4);
const BEAT: Duration = Duration::from_millis(5);
/// How long a term lasts before it is cut off: a little longer with each try, so that tries begin at different points
/// between two heartbeats.
const CALM: Duration = Duration::from_millis(500);
const CALM_STEP: Duration = Duration::from_millis(97);
/// Pairs of hosts that are tried at the same time.
const PAIRS: usize = 5;

#[test]
fn a_black_holed_leader_executes_its_last_instruction_before_its_successor_executes_its_first() {
    let tries = soak::times(2, 40);
    let pairs = [Mode::Hole; PAIRS];
    let handovers = tried(&pairs, tries);
    assert_eq!(handovers.len(), PAIRS * tries);
    report("black hole", &handovers);
}

#[test]
fn so_does_one_whose_connections_are_cut_muted_or_delayed_beyond_the_lease() {
    let modes = [("cut", Mode::Cut), ("mute", Mode::Mute), ("delay", Mode::Delay(2 * TIMEOUT))];
    let tries = soak::times(1, 20);
    let handovers = tried(&modes.map(|(_, mode)| mode), tries);
    for ((name, _), of_mode) in modes.iter().zip(handovers.chunks(tries)) {
        report(name, of_mode);
    }
}

/// One change of leaders, in times after the connection broke.
#[derive(Clone, Copy, Debug)]
struct Handover {
    /// When the old guest executed last.
    stopped: SignedDuration,
    /// When the new one began.
    started: SignedDuration,
}

impl Handover {
    fn gap(&self) -> SignedDuration {
        self.started - self.stopped
    }
}

/// Breaks the leader's connection `tries` times for each of these modes, each with hosts of its own, all at once on one
/// server; the handovers of the first mode first.
fn tried(modes: &[Mode], tries: usize) -> Vec<Handover> {
    let server = ZooKeeperServer::start().unwrap();
    thread::scope(|scope| {
        let start = |(at, mode): (usize, &Mode)| {
            let (server, mode) = (&server, *mode);
            scope.spawn(move || {
                let mut pair = Pair::start(server, at);
                (0..tries).map(|turn| pair.break_off(mode, turn)).collect::<Vec<_>>()
            })
        };
        let running: Vec<_> = modes.iter().enumerate().map(start).collect();
        running.into_iter().flat_map(|pair| pair.join().expect("a pair's tries hold")).collect()
    })
}

/// Two hosts, each behind a proxy of its own.
struct Pair {
    // Dropped before the proxies: fields go in order.
    cluster: Cluster,
    proxies: [(&'static str, Proxy); 2],
    witnesses: Witnesses,
}

impl Pair {
    fn start(server: &ZooKeeperServer, number: usize) -> Self {
        let proxies = ["a", "b"].map(|name| (name, Proxy::start(server.address()).unwrap()));
        let ways: Vec<(&str, String)> = proxies.iter().map(|(name, proxy)| (*name, proxy.connect_string())).collect();
        let mut cluster = Cluster::start_through(&format!("/pair-{number}"), TIMEOUT, &ways);
        cluster.apply(&job::quick_witness(BEAT));
        Pair { cluster, proxies, witnesses: Witnesses::of(JOB) }
    }

    fn break_off(&mut self, mode: Mode, turn: usize) -> Handover {
        let old = self.cluster.await_leader("a leader, and another that waits", JOB, SOON, |_| true);
        self.await_queue_of_two();
        for_a_while(CALM + CALM_STEP * turn as u32, || {});
        let (at, other) = if old.identifier == "a" { (0, "b") } else { (1, "a") };
        let broken_at = Timestamp::now();
        self.proxies[at].1.set(mode);
        let cli = self.cluster.host(other).cli();
        let new = await_value("the other to lead", SOON, || {
            let queue = cli.contenders(JOB)?;
            let leader = queue.iter().find(|contender| contender.leader && contender.token != old.token).cloned();
            leader.ok_or_else(|| format!("{queue:#?}"))
        });
        self.proxies[at].1.set(Mode::Pass);
        self.await_queue_of_two();

        // Its host is back, and tells what it couldn't tell meanwhile.
        let (old, new) = await_value("both witnesses to have spoken", SOON, || {
            self.witnesses.look(&mut self.cluster);
            let terms = self.witnesses.terms();
            let of = |token| terms.iter().find(|term| term.token == token).cloned();
            of(old.token).zip(of(new.token)).ok_or(terms)
        });
        check(&old, &new, broken_at);
        let since = |time: Timestamp| time.duration_since(broken_at);
        Handover { stopped: since(old.last), started: since(new.begin) }
    }

    #[track_caller]
    fn await_queue_of_two(&mut self) {
        await_value("both to stand", SOON, || {
            let queue = self.cluster.cli().contenders(JOB)?;
            if queue.len() == 2 { Ok(()) } else { Err(format!("{queue:#?}")) }
        });
    }
}

/// That what was seen is what the test is about: [`Witnesses::terms`] has seen to it that the two don't overlap.
#[track_caller]
fn check(old: &Term, new: &Term, broken_at: Timestamp) {
    assert_ne!(old.who, new.who);
    assert!(old.alive >= 20, "the old one was alive before: {old:?}");
    assert!(!old.ended, "it was stopped, not asked: {old:?}");
    assert!(old.last > broken_at, "a term outlives its connection by what is left of its lease: {old:?}");
    assert!(new.begin > old.last, "{old} and {new}");
}

/// Prints where the times lie, for people.
fn report(what: &str, handovers: &[Handover]) {
    let times = |of: fn(&Handover) -> SignedDuration| {
        handovers.iter().map(|handover| Duration::try_from(of(handover)).expect("checked before")).collect::<Times>()
    };
    let line = |times: &Times| {
        format!("p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms", ms(times.p50()), ms(times.p99()), ms(times.max()))
    };
    let smallest = handovers.iter().map(Handover::gap).min().expect("at least one try");
    println!("{what}: {} tries, session timeout {} ms", handovers.len(), TIMEOUT.as_millis());
    println!("  old guest's last sign of life, after the break: {}", line(&times(|handover| handover.stopped)));
    println!("  new guest's first, after the break: {}", line(&times(|handover| handover.started)));
    println!("  smallest gap between the two: {} ms", smallest.as_millis());
}

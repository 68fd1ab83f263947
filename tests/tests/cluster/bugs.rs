//! Faults that others shipped, each a test named after what went wrong there.

use std::time::Duration;

use silverback_tests::cli::{ContenderRow, HostRow};
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::end_session::end_session;
use silverback_tests::job;
use silverback_tests::proxy::{Mode, Proxy};
use silverback_tests::scribe::{self, assert_agree};
use silverback_tests::soak;
use silverback_tests::wait::{await_that, await_value, for_a_while};
use silverback_tests::witness::Witnesses;
use silverback_tests::zookeeper::ZooKeeperServer;

const WITNESS: &str = "acme/witness";
const SCRIBE: &str = "acme/scribe";
const QUEUE: &str = "/silverback/elections/acme/witness/";
const TIMEOUT: Duration = Duration::from_secs(4);

/// kazoo#732, kazoo#760: the delete of a contender failed with the connection, was not tried again, and nobody led any more.
#[test]
fn an_orphaned_contender_when_clean_up_fails() {
    leaves_no_contender(|proxy| proxy.cut_before_request(2, deletes_a_contender), 2);
}

/// CURATOR-678: the release was done, its reply was lost, and it was never known whether it was.
#[test]
fn a_release_that_hits_connection_loss() {
    leaves_no_contender(|proxy| proxy.cut_after_request(1, deletes_a_contender), 1);
}

/// Resigns while the connection breaks on the delete: one contender stands afterwards, a new one, and it leads.
#[track_caller]
fn leaves_no_contender(set_trap: impl Fn(&Proxy), cuts: u64) {
    let server = ZooKeeperServer::start().unwrap();
    let proxy = Proxy::start(server.address()).unwrap();
    let mut cluster = Cluster::start(&proxy.connect_string(), Duration::from_secs(10), &["a"]);
    cluster.apply(&job::leading_witness(""));
    let mut token = cluster.await_leader("a leader", WITNESS, SOON, |_| true).token;
    for round in 1..=3 {
        set_trap(&proxy);
        cluster.cli().run(&["resign", WITNESS]);
        await_that("the delete to be cut off", SOON, || proxy.fired(), |fired| *fired == round * cuts);
        let next = cluster.await_leader("a leader all the same", WITNESS, SOON, |leader| leader.token > token);
        token = next.token;
        let standing = await_that("one contender", SOON, || contenders(&server), |standing| standing.len() == 1);
        assert_eq!(standing, [format!("{QUEUE}{}", next.znode)], "in round {round}");
    }
}

/// kazoo#170, kazoo#116: after a short loss of the connection the waiting ones waited for an event that had passed.
#[test]
fn wedged_after_suspended_to_connected() {
    let mut server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), Duration::from_secs(20), &["a", "b"]);
    let mut witnesses = Witnesses::of(WITNESS);
    cluster.apply(&job::leading_witness(""));
    let first = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    for _ in 0..soak::times(3, 20) {
        server.kill();
        server.restart().unwrap();
        witnesses.await_life(&mut cluster, first.token, 20);
    }
    // The one that waited through it all takes its turn at once.
    cluster.cli().ok(&["resign", WITNESS]);
    let second = cluster.await_leader("the one that waited", WITNESS, SOON, |leader| leader.token > first.token);
    assert_ne!(second.identifier, first.identifier);
    witnesses.await_life(&mut cluster, second.token, 5);
    assert_eq!(witnesses.terms().len(), 2);
}

/// kubernetes#44887, kubernetes#65090: the renewal hung for a minute on a server that accepted and never answered, and the
/// old leader went on while its successor had begun.
#[test]
fn renew_blocks_while_a_successor_wins() {
    let server = ZooKeeperServer::start().unwrap();
    let (mut cluster, proxy) = one_behind_a_proxy(&server);
    let cli = cluster.host("b").cli();
    let old = leads_first(&mut cluster, "a");
    // Every connection stays open, every new one is taken, and nothing is ever answered.
    proxy.set(Mode::Hole);
    let new = await_value("b to lead", SOON, || {
        let queue = cli.contenders(WITNESS)?;
        queue.iter().find(|row| row.leader && row.identifier == "b").cloned().ok_or(format!("{queue:#?}"))
    });
    proxy.set(Mode::Pass);
    let began = cluster.await_run("b's run", WITNESS, SOON, |run| run.token == new.token).started;
    let run =
        cluster.await_run("the end of a's run", WITNESS, SOON, |run| run.token == old.token && run.outcome.is_some());
    assert_eq!(run.outcome.as_deref(), Some("lost-leadership"), "{run:#?}");
    assert!(run.ended.is_some_and(|ended| ended < began), "it ended before {began}: {run:#?}");
}

/// client-go#728: leadership was given up while the function still ran. A function that doesn't listen is stopped first,
/// and its contender stands until then.
#[test]
fn the_lock_is_released_while_the_function_still_runs() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), TIMEOUT, &["a", "b"]);
    cluster.apply(&job::scribe());
    let old = cluster.await_leader("a leader", SCRIBE, SOON, |_| true);
    let written = |token: i64| {
        let effects = scribe::effects(SCRIBE, &server.transactions().unwrap());
        effects.iter().filter(|effect| effect.token == token).count()
    };
    let before = await_that("its writes", SOON, || written(old.token), |count| *count > 20);
    cluster.cli().run(&["resign", SCRIBE]);
    let new = cluster.await_leader("another term", SCRIBE, SOON, |leader| leader.token > old.token);
    await_that("its successor's writes", SOON, || written(new.token), |count| *count > 20);
    assert!(written(old.token) > before, "it went on after it was asked to stop");
    assert_agree(&scribe::effects(SCRIBE, &server.transactions().unwrap()));
    let run = |cluster: &mut Cluster, token: i64| cluster.await_run("a run", SCRIBE, SOON, |run| run.token == token);
    let began = run(&mut cluster, new.token).started;
    let ended =
        cluster.await_run("the end of its run", SCRIBE, SOON, |run| run.token == old.token && run.ended.is_some());
    assert!(ended.ended.is_some_and(|ended| ended <= began), "it ended before {began}: {ended:#?}");
}

/// Clients of etcd: who waited woke up and led on a key whose lease had run out while it was in the queue.
#[test]
fn a_candidate_outlives_its_own_lease_in_the_queue() {
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), TIMEOUT, &["a", "b"]);
    cluster.apply(&job::leading_witness(""));
    let leader = cluster.await_leader("a leader", WITNESS, SOON, |_| true);
    let waiting = await_value("the other to wait", SOON, || waiting(&mut cluster, &leader));
    let session = server.owner(&format!("{QUEUE}{}", waiting.znode)).expect("it stands");
    end_session(server.address(), session).unwrap();
    cluster.host(&leader.identifier).kill9();

    let next = cluster.await_leader("the other", WITNESS, SOON, |next| next.identifier == waiting.identifier);
    assert_ne!(next.znode, waiting.znode, "it stands anew");
    let owner = server.owner(&format!("{QUEUE}{}", next.znode)).expect("it leads");
    assert_ne!(owner, session);
    let hosts: Vec<HostRow> = cluster.cli().rows(&["hosts"]).unwrap();
    let its_own = hosts.iter().find(|host| host.host == next.identifier).map(|host| host.session.clone());
    assert_eq!(its_own, Some(format!("0x{owner:x}")), "it leads on a contender of the session that it has now");
}

/// kuberhealthy#1533: an election that was held once; whoever lost the connection never stood again.
#[test]
fn a_one_shot_election_with_a_zombie_standby() {
    let server = ZooKeeperServer::start().unwrap();
    let (mut cluster, proxy) = one_behind_a_proxy(&server);
    leads_first(&mut cluster, "b");
    for _ in 0..soak::times(50, 500) {
        proxy.set(Mode::Cut);
        for_a_while(Duration::from_millis(30), || {});
        proxy.set(Mode::Pass);
        for_a_while(Duration::from_millis(50), || {});
    }
    // And once for so long that its session is lost.
    proxy.set(Mode::Cut);
    for_a_while(2 * TIMEOUT, || {});
    proxy.set(Mode::Pass);
    cluster.host("b").kill9();
    cluster.await_leader("the one that flapped", WITNESS, SOON, |leader| leader.identifier == "a");
}

/// A gray failure (Huang et al., HotOS 2017): so slow that its lease never vouches, fast enough that its session lives. It
/// stood first in the queue, and nobody led for as long as it was slow.
#[test]
fn a_host_that_is_too_slow_to_lead_lets_the_next_one() {
    let server = ZooKeeperServer::start().unwrap();
    let (mut cluster, proxy) = one_behind_a_proxy(&server);
    cluster.join_through("c", Some(server.connect_string()));
    let standing = |cluster: &mut Cluster| -> Result<Vec<String>, String> {
        let rows = cluster.cli().contenders(WITNESS)?;
        match rows.first() {
            Some(first) if first.leader => Ok(rows.into_iter().map(|row| row.identifier).collect()),
            Some(_) | None => Err(format!("{rows:#?}")),
        }
    };
    let queue = await_value("a to stand between the others", SOON, || {
        let queue = standing(&mut cluster)?;
        if queue.len() == 3 && queue[1] != "a" {
            // To the end.
            cluster.cli().run(&["resign", WITNESS]);
        }
        if queue.len() == 3 && queue[1] == "a" { Ok(queue) } else { Err(format!("{queue:?}")) }
    });
    proxy.set(Mode::Delay(Duration::from_millis(700)));
    cluster.host(&queue[0]).kill9();
    let cli = cluster.host(&queue[2]).cli();
    await_value("the next one to lead while a is slow", SOON, || {
        let rows = cli.contenders(WITNESS)?;
        let leads = rows.first().is_some_and(|first| first.identifier == queue[2] && first.leader);
        if leads { Ok(()) } else { Err(format!("{rows:#?}")) }
    });
    proxy.set(Mode::Pass);
    await_value("a to stand behind it", SOON, || match standing(&mut cluster)? {
        now if now == [queue[2].as_str(), "a"] => Ok(()),
        now => Err(format!("{now:?}")),
    });
}

/// Host `a` behind a proxy, `b` straight at the server, and a witness to lead.
fn one_behind_a_proxy(server: &ZooKeeperServer) -> (Cluster, Proxy) {
    let proxy = Proxy::start(server.address()).unwrap();
    let ways = [("a", proxy.connect_string()), ("b", server.connect_string())];
    let mut cluster = Cluster::start_through("/silverback", TIMEOUT, &ways);
    cluster.apply(&job::leading_witness(""));
    (cluster, proxy)
}

/// Makes this host the leader, with the other waiting.
#[track_caller]
fn leads_first(cluster: &mut Cluster, name: &str) -> ContenderRow {
    await_value(&format!("{name} to lead the other"), SOON, || {
        let queue = cluster.cli().contenders(WITNESS)?;
        match queue.as_slice() {
            [first, _] if first.leader && first.identifier == name => return Ok(first.clone()),
            [first, _] if first.leader => drop(cluster.cli().run(&["resign", WITNESS])),
            _ => {}
        }
        Err(format!("{queue:#?}"))
    })
}

fn waiting(cluster: &mut Cluster, leader: &ContenderRow) -> Result<ContenderRow, String> {
    let queue = cluster.cli().contenders(WITNESS)?;
    queue.iter().find(|row| row.identifier != leader.identifier).cloned().ok_or_else(|| format!("{queue:#?}"))
}

/// The contenders of all sessions, as the server itself tells.
fn contenders(server: &ZooKeeperServer) -> Vec<String> {
    let dump = server.four_letter("dump").unwrap_or_default();
    dump.lines().map(str::trim).filter(|line| line.starts_with(QUEUE)).map(str::to_owned).collect()
}

/// ZooKeeper's request: number, type, then the fields. A delete has the path, a multi has for each of its operations a
/// header (type, not the last one, no error) and then the same.
fn deletes_a_contender(frame: &[u8]) -> bool {
    const DELETE: i32 = 2;
    const MULTI: i32 = 14;
    const HEADER_OF_A_DELETE: [u8; 9] = [0, 0, 0, 2, 0, 0xff, 0xff, 0xff, 0xff];
    const LENGTH_BYTES: usize = 4;
    let path_follows = |rest: &[u8]| rest.get(LENGTH_BYTES..).is_some_and(|path| path.starts_with(QUEUE.as_bytes()));
    let kind = frame.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    match kind {
        Some(DELETE) => path_follows(&frame[8..]),
        Some(MULTI) => {
            (8..frame.len()).any(|at| frame[at..].strip_prefix(&HEADER_OF_A_DELETE).is_some_and(path_follows))
        }
        Some(_) | None => false,
    }
}

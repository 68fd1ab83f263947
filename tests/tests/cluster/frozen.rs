//! A host that is frozen for longer than its session lasts, and thaws: its guest does nothing any more that counts, and the
//! host stands in the queue again.

use std::time::Duration;

use silverback::coordinator::{Coordinator, CreateMode, Op, ZooKeeper};
use silverback_tests::cli::ContenderRow;
use silverback_tests::cluster::{Cluster, SOON};
use silverback_tests::job;
use silverback_tests::proxy::{Mode, Proxy};
use silverback_tests::scribe::{self, assert_agree};
use silverback_tests::soak;
use silverback_tests::target::{TOKEN_HEADER, Target};
use silverback_tests::txn_log::Deed;
use silverback_tests::wait::{await_value, for_a_while};
use silverback_tests::zookeeper::ZooKeeperServer;

const JOB: &str = "acme/scribe";
const TIMEOUT: Duration = Duration::from_secs(4);
/// Made together with the end of a contender, so that its place among the transactions is known.
const DEPOSED: &str = "/deposed";
/// What a scribe gets done before anything happens to it.
const SOME_WRITES: usize = 200;

#[test]
fn a_thawed_leader_writes_nothing_more_and_stands_again() {
    let server = ZooKeeperServer::start().unwrap();
    let target = Target::start(TOKEN_HEADER).unwrap();
    let mut cluster = Cluster::start(&server.connect_string(), TIMEOUT, &["a", "b", "c"]);
    cluster.let_reach_this_machine("acme");
    cluster.apply(&job::sending_scribe(&target.origin(), ""));
    let mut tokens = Vec::new();
    for _ in 0..soak::times(2, 20) {
        let old = cluster.await_leader("a leader", JOB, SOON, |leader| !tokens.contains(&leader.token));
        await_writes(&server, old.token);
        cluster.host(&old.identifier).sigstop();
        let new = cluster.await_leader("another leader", JOB, SOON, |leader| leader.token != old.token);
        await_writes(&server, new.token);
        cluster.host(&old.identifier).sigcont();
        stands_again(&mut cluster, &old);
        let run = cluster
            .await_run("the end of the old term", JOB, SOON, |run| run.token == old.token && run.outcome.is_some());
        assert_eq!(run.outcome.as_deref(), Some("lost-leadership"), "{run:#?}");
        tokens.push(old.token);
    }
    let summary = assert_agree(&scribe::effects(JOB, &server.transactions().unwrap()));
    let outside = assert_agree(&target.taken());
    for summary in [&summary, &outside] {
        assert!(tokens.iter().all(|token| summary.tokens.contains(token)), "{tokens:?} of {summary:?}");
    }
    let late = target.arrived().len() - outside.effects;
    assert!(late <= tokens.len(), "each had at most one request on its way when it froze, and {late} arrived late");
    println!("{} effects of {} terms, in the order of their tokens", summary.effects, summary.tokens.len());
    println!("  and {} at a target, which refused {late} late ones", outside.effects);
}

/// The lease isn't over here and the session lives: what refuses the writes is ZooKeeper itself.
#[tokio::test(flavor = "multi_thread")]
async fn writes_on_their_way_when_the_contender_goes_are_refused_by_zookeeper() {
    let server = ZooKeeperServer::start().unwrap();
    let proxy = Proxy::start(server.address()).unwrap();
    let mut cluster = Cluster::start(&proxy.connect_string(), TIMEOUT, &["a"]);
    cluster.apply(&job::scribe());
    let old = cluster.await_leader("a leader", JOB, SOON, |_| true);
    await_writes(&server, old.token);
    let outside = ZooKeeper::new(&server.connect_string(), TIMEOUT).unwrap().connect(SOON).await.unwrap();

    // Each request now takes so long that one is on its way whenever the contender goes.
    proxy.set(Mode::Delay(Duration::from_millis(200)));
    for_a_while(Duration::from_millis(600), || {});
    let contender = format!("/silverback/elections/{JOB}/{}", old.znode);
    let mark = Op::Create { path: DEPOSED.to_owned(), data: Vec::new(), mode: CreateMode::Persistent };
    outside.multi(vec![Op::Delete { path: contender, version: None }, mark]).await.unwrap();
    let new = cluster.await_leader("the next term", JOB, SOON, |leader| leader.token != old.token);
    proxy.set(Mode::Pass);
    await_writes(&server, new.token);

    let transactions = server.transactions().unwrap();
    let effects = scribe::effects(JOB, &transactions);
    assert_agree(&effects);
    let is_mark = |deed: &Deed| matches!(deed, Deed::Wrote(writes) if writes.iter().any(|write| write.path == DEPOSED));
    let deposed = transactions.iter().find(|transaction| is_mark(&transaction.deed)).expect("it was made").zxid;
    let late: Vec<_> = effects.iter().filter(|effect| effect.token == old.token && effect.order > deposed).collect();
    assert!(late.is_empty(), "the contender was gone at {deposed}, and a deposed leader got through: {late:#?}");
    let first = effects.iter().filter(|effect| effect.token == new.token).map(|effect| effect.order).min().unwrap();
    let refused = transactions
        .iter()
        .filter(|transaction| transaction.deed == Deed::Refused && (deposed..first).contains(&transaction.zxid));
    assert!(refused.count() > 0, "no write was on its way, so nothing was tried");
}

#[track_caller]
fn await_writes(server: &ZooKeeperServer, token: i64) {
    await_value(&format!("{SOME_WRITES} writes of token {token}"), SOON, || {
        let effects = scribe::effects(JOB, &server.transactions().unwrap());
        let count = effects.iter().filter(|effect| effect.token == token).count();
        if count >= SOME_WRITES { Ok(()) } else { Err(count) }
    });
}

#[track_caller]
fn stands_again(cluster: &mut Cluster, old: &ContenderRow) {
    await_value("the thawed host to stand again", SOON, || {
        let queue = cluster.cli().contenders(JOB)?;
        let again =
            queue.iter().any(|contender| contender.identifier == old.identifier && contender.znode != old.znode);
        let gone = queue.iter().all(|contender| contender.znode != old.znode);
        if again && gone { Ok(()) } else { Err(format!("{queue:#?}")) }
    });
}

//! How long it takes to lead where nobody else stands: a candidate against kazoo's lock, on one ZooKeeper server.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use silverback::candidacy::{Candidacy, Candidate, Concern, Duty, Ended, MakesWay, Membership, Served, Timeline};
use silverback::capability::Gate;
use silverback::clock;
use silverback::coordinator::{Coordinator as _, ZooKeeper, ensure_path};
use silverback::registry::{About, Problems};
use silverback_election::{LeaseRule, OnReturn, Report};
use silverback_tests::figure::{Row, Target};
use silverback_tests::kazoo::locks;
use silverback_tests::times::{Times, ms};
use silverback_tests::zookeeper::{TICK, ZooKeeperServer};

/// The two take turns in blocks, so that whatever drifts in the machine drifts for both.
const BLOCKS: usize = 6;
const IN_A_BLOCK: usize = 200;
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// `acquire`: from asking until the duty is served, with nobody else in the queue.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let server = ZooKeeperServer::start()?;
    let servers = server.connect_string();
    let dir = tempfile::tempdir()?;
    // As many threads as a host has for its elections.
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let candidates = threads.block_on(Candidates::join(&servers))?;
    let (mut ours, mut kazoo) = (Times::default(), Times::default());
    for block in 0..=BLOCKS {
        let our_block = threads.block_on(threads.spawn(candidates.clone().acquire()))??;
        let kazoo_block = locks::acquire(&servers, "/bench/kazoo", IN_A_BLOCK, dir.path());
        // The first block warms the server up.
        if block > 0 {
            ours.add(our_block);
            kazoo.add(kazoo_block);
        }
    }
    let row = |name, of: fn(&Times) -> Duration| {
        Row::new(name, ms(of(&ours)), "ms").against("kazoo's Lock.acquire", ms(of(&kazoo)))
    };
    Ok(vec![
        row("acquire, p50 (ask to lead, free election)", Times::p50).target(Target::RatioAtMost(1.0)),
        row("acquire, p99", Times::p99),
    ])
}

/// Candidates on one session.
#[derive(Clone)]
struct Candidates {
    member: Arc<Membership>,
}

impl Candidates {
    async fn join(servers: &str) -> Result<Self> {
        let session = ZooKeeper::new(servers, SESSION_TIMEOUT)?.connect(SESSION_TIMEOUT).await?;
        ensure_path(session.as_ref(), "/bench/ours").await?;
        ensure_path(session.as_ref(), "/bench/hosts").await?;
        let path = "/bench/hosts/a".to_owned();
        let rule = LeaseRule::new(SESSION_TIMEOUT, TICK)?;
        let (clock, value, timeline) = (clock::system(), Arc::new(Vec::new), Timeline::unkept());
        let concern = Concern::new(Problems::default(), About::Cluster, clock.clone());
        let member = Membership::join(session, rule, clock, path, value, timeline, concern).await?;
        Ok(Candidates { member })
    }

    /// Stands, leads and leaves again and again.
    async fn acquire(self) -> Result<Times> {
        let (tell, served) = mpsc::channel();
        let duty = Arc::new(Stamp(tell));
        let mut times = Times::default();
        for _ in 0..IN_A_BLOCK {
            let candidacy = Candidacy {
                election: "/bench/ours".to_owned(),
                names: silverback_election::Names::Kazoo,
                identifier: "bench".to_owned(),
                on_return: OnReturn::Stop,
                max_term: None,
                makes_way: MakesWay::ForNobody,
                problems: Problems::default(),
                about: About::Cluster,
                grace: SESSION_TIMEOUT,
            };
            let begin = Instant::now();
            let candidate = Candidate::stand(self.member.clone(), candidacy, duty.clone());
            let ended = candidate.ended().await;
            ensure!(ended == Ended::Returned, "a candidate ended with {ended:?}");
            times.push(served.try_recv().context("a candidate that returned has led")?.duration_since(begin));
        }
        Ok(times)
    }
}

/// A duty that is done at once, and tells when it was served.
struct Stamp(mpsc::Sender<Instant>);

#[async_trait]
impl Duty for Stamp {
    async fn serve(&self, _gate: Arc<Gate>) -> Served {
        // Who measures may have given up.
        let _ = self.0.send(Instant::now());
        Served::with(Report::Done)
    }
}

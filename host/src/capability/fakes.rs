//! For tests: a clock that stands still, a log that is kept, and one session over a tree in memory whose connection can
//! be cut at a chosen multi.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::capability::{Asking, Contenders, Gate, Grants, Host, HttpReach, Lease, Meter, RunLog, StateMode, Traffic};
use crate::clock::Clock;
use crate::coordinator::{CreateMode, Error, MultiError, Op, OpResult, Session, SessionState, Stat, Watch};
use crate::history::{LogLine, LogSink};
use crate::registry::{Ceilings, HttpGrants, Limits, Ranges};

/// Stands still until it is advanced.
pub(crate) struct FakeClock(Mutex<Duration>);

impl FakeClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(FakeClock(Mutex::new(Duration::from_secs(1000))))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for FakeClock {
    fn boot(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// A sink, and the lines that went into it.
pub(crate) fn collect() -> (LogSink, Arc<Mutex<Vec<LogLine>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    (Arc::new(move |line| kept.lock().unwrap().push(line)), lines)
}

/// Of a run that may use as much as a leader job's may by default.
pub(crate) fn unmetered() -> Arc<Meter> {
    Meter::new(Limits::LEADER.of_run(false, &Ceilings::NONE))
}

/// Of a run that may send requests so.
pub(crate) fn reach(grants: HttpGrants, private: Ranges) -> HttpReach {
    HttpReach { grants, private, connections: Arc::default(), tenant: "acme".into(), max_requests: None }
}

/// Of a tenant that has the coordinator for itself.
pub(crate) fn asking() -> Arc<Asking> {
    Arc::<Traffic>::default().of(&"acme".into())
}

/// A queue of one.
pub(crate) fn alone() -> Contenders {
    Arc::new(|| Box::pin(async { Ok(vec![("host-a".to_owned(), true)]) }))
}

/// Where the fakes' term has its contender.
pub(crate) const CONTENDER: &str = "/election/c-0000000000";
/// The token of that term.
pub(crate) const TOKEN: i64 = 7;

/// An open gate under a lease of `lease`, on a session that holds the contender.
pub(crate) fn term(clock: Arc<dyn Clock>, lease: Duration) -> (Arc<Gate>, Arc<FakeSession>) {
    let session = FakeSession::new();
    session.put(CONTENDER, b"host-a");
    let stop_at = clock.boot() + lease;
    let held = Lease::new(clock);
    held.extend(stop_at);
    (Gate::new(session.clone(), CONTENDER.to_owned(), TOKEN, "host-a".to_owned(), held), session)
}

/// Everything one run can reach, on a clock that stands still under a lease of a minute.
pub(crate) fn host(state_mode: StateMode) -> (Host, Arc<Gate>, Arc<FakeSession>) {
    let (grants, session) = grants(state_mode);
    let gate = grants.gate.clone();
    (Host::new(grants), gate, session)
}

/// What that run is given.
pub(crate) fn grants(state_mode: StateMode) -> (Grants, Arc<FakeSession>) {
    let clock = FakeClock::new();
    let (gate, session) = term(clock.clone(), Duration::from_secs(60));
    let grants = Grants {
        gate,
        state_path: "/state/acme/job".to_owned(),
        state_mode,
        config: BTreeMap::from([("colour".to_owned(), "silver".to_owned())]),
        http: reach(HttpGrants::default(), Ranges::NONE),
        contenders: alone(),
        log: RunLog::new("acme/job/1".to_owned(), 1, collect().0, clock, usize::MAX),
        meter: unmetered(),
        asking: asking(),
    };
    (grants, session)
}

/// What happens to a multi whose connection is cut.
#[derive(Clone, Copy)]
pub(crate) enum Cut {
    /// It never arrived.
    Before,
    /// It was done, and its reply was lost.
    After,
}

/// One session over a tree in memory.
pub(crate) struct FakeSession {
    tree: Mutex<Tree>,
    changes: watch::Sender<u64>,
    state: watch::Sender<SessionState>,
    cuts: Mutex<VecDeque<Cut>>,
    before_multi: Mutex<VecDeque<(String, Vec<u8>)>>,
    watches_full: AtomicBool,
    /// How many multis were refused; None while they are not.
    refusals: watch::Sender<Option<usize>>,
    reads: AtomicUsize,
    /// What reads see of a server that lags behind.
    stale: Mutex<Option<Tree>>,
}

#[derive(Clone, Default)]
struct Tree {
    nodes: BTreeMap<String, (Vec<u8>, Stat)>,
    zxid: i64,
}

impl FakeSession {
    fn new() -> Arc<Self> {
        Arc::new(FakeSession {
            tree: Mutex::default(),
            changes: watch::channel(0).0,
            state: watch::channel(SessionState::Connected).0,
            cuts: Mutex::default(),
            before_multi: Mutex::default(),
            watches_full: AtomicBool::new(false),
            refusals: watch::channel(None).0,
            reads: AtomicUsize::new(0),
            stale: Mutex::default(),
        })
    }

    /// Sets a node, whoever's, and creates what is missing above it.
    pub(crate) fn put(&self, path: &str, data: &[u8]) {
        let mut tree = self.tree.lock().unwrap();
        for end in path.match_indices('/').map(|(at, _)| at).skip(1) {
            let _ = tree.create(&path[..end], b"");
        }
        if tree.create(path, data).is_err() {
            tree.set(path, data, None).unwrap();
        }
        drop(tree);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Removes a node, whoever's.
    pub(crate) fn remove(&self, path: &str) {
        self.tree.lock().unwrap().nodes.remove(path);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// How often a value was read.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    pub(crate) fn value(&self, path: &str) -> Option<Vec<u8>> {
        self.tree.lock().unwrap().nodes.get(path).map(|(data, _)| data.clone())
    }

    /// Cuts the connection at the next multi that isn't cut yet.
    pub(crate) fn cut(&self, cut: Cut) {
        self.cuts.lock().unwrap().push_back(cut);
    }

    /// Breaks the connection.
    pub(crate) fn disconnect(&self) {
        self.state.send_replace(SessionState::Disconnected);
    }

    /// Has the connection again.
    pub(crate) fn reconnect(&self) {
        self.state.send_replace(SessionState::Connected);
    }

    /// Lets somebody else set `path` just before the next multi that isn't raced yet.
    pub(crate) fn race(&self, path: &str, data: &[u8]) {
        self.before_multi.lock().unwrap().push_back((path.to_owned(), data.to_vec()));
    }

    /// Lets values be read as they are now, until a sync.
    pub(crate) fn lag(&self) {
        *self.stale.lock().unwrap() = Some(self.tree.lock().unwrap().clone());
    }

    /// Refuses values and listings with a watch from now on.
    pub(crate) fn fill_watches(&self) {
        self.watches_full.store(true, Ordering::Relaxed);
    }

    /// Refuses multis from now on, as a server does that denies writes. Gives how many it has refused.
    pub(crate) fn refuse_multis(&self) -> watch::Receiver<Option<usize>> {
        self.refusals.send_replace(Some(0));
        self.refusals.subscribe()
    }

    /// Takes multis again.
    pub(crate) fn accept_multis(&self) {
        self.refusals.send_replace(None);
    }

    fn room_for_a_watch(&self, path: &str) -> Result<(), Error> {
        match self.watches_full.load(Ordering::Relaxed) {
            true => Err(Error::TooManyWatches { path: path.to_owned(), size: 2, limit: 1 }),
            false => Ok(()),
        }
    }

    /// Fires at any change: a watcher has to look again anyway.
    fn watch_any(&self) -> Watch {
        let mut changes = self.changes.subscribe();
        Watch::new(async move {
            let _ = changes.changed().await;
        })
    }
}

impl Tree {
    fn found(&mut self, path: &str, version: Option<i32>) -> Result<&mut (Vec<u8>, Stat), Error> {
        let node = self.nodes.get_mut(path).ok_or_else(|| Error::NoNode { path: path.to_owned() })?;
        match version {
            Some(version) if version != node.1.version => Err(Error::BadVersion { path: path.to_owned() }),
            _ => Ok(node),
        }
    }

    fn create(&mut self, path: &str, data: &[u8]) -> Result<(), Error> {
        let parent = &path[..path.rfind('/').unwrap()];
        if self.nodes.contains_key(path) {
            return Err(Error::NodeExists { path: path.to_owned() });
        }
        if !parent.is_empty() {
            self.found(parent, None).map_err(|_| Error::NoNode { path: path.to_owned() })?.1.num_children += 1;
        }
        self.zxid += 1;
        let zxid = self.zxid;
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            ctime_ms: 0,
            mtime_ms: 0,
            version: 0,
            ephemeral_owner: 0,
            num_children: 0,
        };
        self.nodes.insert(path.to_owned(), (data.to_vec(), stat));
        Ok(())
    }

    fn set(&mut self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        let zxid = self.zxid + 1;
        let node = self.found(path, version)?;
        (node.0, node.1.mzxid, node.1.version) = (data.to_vec(), zxid, node.1.version + 1);
        let stat = node.1;
        self.zxid = zxid;
        Ok(stat)
    }

    fn delete(&mut self, path: &str, version: Option<i32>) -> Result<(), Error> {
        self.found(path, version)?;
        self.nodes.remove(path);
        let parent = path[..path.rfind('/').unwrap()].to_owned();
        self.found(&parent, None)?.1.num_children -= 1;
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<OpResult, Error> {
        match op {
            Op::Check { path, version } => self.found(path, *version).map(|_| OpResult::Checked),
            Op::Create { path, data, mode: _ } => self.create(path, data).map(|()| OpResult::Created(path.clone())),
            Op::Set { path, data, version } => self.set(path, data, *version).map(OpResult::Set),
            Op::Delete { path, version } => self.delete(path, *version).map(|()| OpResult::Deleted),
        }
    }
}

fn cut_off() -> Error {
    Error::OutcomeUnknown { detail: "the connection was cut".to_owned() }
}

#[async_trait]
impl Session for FakeSession {
    fn id(&self) -> i64 {
        1
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(6)
    }

    fn opening(&self) -> Duration {
        Duration::ZERO
    }

    fn state(&self) -> watch::Receiver<SessionState> {
        self.state.subscribe()
    }

    async fn create(&self, path: &str, data: &[u8], _: CreateMode) -> Result<String, Error> {
        self.tree.lock().unwrap().create(path, data).map(|()| path.to_owned())
    }

    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let stale = self.stale.lock().unwrap().clone();
        let mut tree = stale.unwrap_or_else(|| self.tree.lock().unwrap().clone());
        tree.found(path, None).cloned()
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        Ok(self.tree.lock().unwrap().nodes.get(path).map(|(_, stat)| *stat))
    }

    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        self.tree.lock().unwrap().set(path, data, version)
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        self.tree.lock().unwrap().delete(path, version)
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let mut tree = self.tree.lock().unwrap();
        tree.found(path, None)?;
        let child = |node: &String| node.strip_prefix(path)?.strip_prefix('/').map(ToOwned::to_owned);
        Ok(tree.nodes.keys().filter_map(child).filter(|name| !name.contains('/')).collect())
    }

    async fn list_and_stat(&self, path: &str, name: &str) -> Result<(Vec<String>, Option<Stat>), Error> {
        Ok((self.list(path).await?, self.stat(&format!("{path}/{name}")).await?))
    }

    async fn multi(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError> {
        let refuses = self.refusals.send_if_modified(|refusals| refusals.as_mut().map(|count| *count += 1).is_some());
        if refuses {
            return Err(MultiError::Whole(Error::Refused { detail: "writes are denied".to_owned() }));
        }
        let race = self.before_multi.lock().unwrap().pop_front();
        race.inspect(|(path, data)| self.put(path, data));
        let cut = self.cuts.lock().unwrap().pop_front();
        if let Some(Cut::Before) = cut {
            return Err(cut_off().into());
        }
        let mut tree = self.tree.lock().unwrap();
        let mut next = tree.clone();
        let mut results = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            results.push(next.apply(op).map_err(|source| MultiError::Op { index, source })?);
        }
        *tree = next;
        drop(tree);
        self.changes.send_modify(|changes| *changes += 1);
        if let Some(Cut::After) = cut { Err(cut_off().into()) } else { Ok(results) }
    }

    async fn get_and_watch(&self, path: &str) -> Result<(Option<(Vec<u8>, Stat)>, Watch), Error> {
        self.room_for_a_watch(path)?;
        let watch = self.watch_any();
        Ok((self.tree.lock().unwrap().nodes.get(path).cloned(), watch))
    }

    async fn stat_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        let watch = self.watch_any();
        Ok((self.stat(path).await?, watch))
    }

    async fn list_and_watch(&self, path: &str) -> Result<(Vec<String>, Watch), Error> {
        self.room_for_a_watch(path)?;
        let watch = self.watch_any();
        Ok((self.list(path).await?, watch))
    }

    async fn sync(&self, _: &str) -> Result<(), Error> {
        *self.stale.lock().unwrap() = None;
        Ok(())
    }

    async fn close(&self) {
        self.state.send_replace(SessionState::Lost);
    }
}

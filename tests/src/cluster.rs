//! Several hosts on one ensemble, with a folder that they share, and what can be seen of them from outside.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::cli::{Cli, ContenderRow, RunRow};
use crate::fake_clock::FakeClock;
use crate::host::{Host, HostSettings, ROOT};
use crate::wait::await_value;

/// How long a change may take that waits for no time-out: ample, since a test machine may be busy.
pub const SOON: Duration = Duration::from_secs(30);

/// Why a trigger may be refused for a moment: it meets the run of a tick, or its group has no leader yet, or one that was
/// started just now.
const REFUSED_FOR_A_MOMENT: [&str; 4] = [
    "a run of this job is under way",
    "does not lead the job's group",
    "nobody leads the election",
    "which is none of our hosts",
];

/// Hosts of one cluster. Those that were killed stay in place, to be started again.
pub struct Cluster {
    // Dropped before the folder: fields go in order.
    hosts: Vec<Host>,
    zookeeper: Option<String>,
    root: String,
    session_timeout: Duration,
    shared_store: bool,
    options: Vec<String>,
    dir: TempDir,
}

impl Cluster {
    /// Starts hosts of these names on an ensemble, and waits until all are ready.
    ///
    /// # Panics
    /// Where one doesn't become ready.
    #[track_caller]
    pub fn start(zookeeper: &str, session_timeout: Duration, names: &[&str]) -> Self {
        let mut cluster = Cluster::empty(Some(zookeeper.to_owned()), session_timeout);
        for name in names {
            cluster.join(name);
        }
        cluster
    }

    /// The same with hosts that hold a group for no longer than this before they make way.
    ///
    /// # Panics
    /// Where one doesn't become ready.
    #[track_caller]
    pub fn start_holding(zookeeper: &str, session_timeout: Duration, group_hold: Duration, names: &[&str]) -> Self {
        let group_hold = format!("{}ms", group_hold.as_millis());
        Self::start_with(zookeeper, session_timeout, &["--group-hold", &group_hold], names)
    }

    /// The same with further options of `up`.
    ///
    /// # Panics
    /// Where one doesn't become ready.
    #[track_caller]
    pub fn start_with(zookeeper: &str, session_timeout: Duration, options: &[&str], names: &[&str]) -> Self {
        let mut cluster = Cluster::empty(Some(zookeeper.to_owned()), session_timeout);
        cluster.options = options.iter().map(|option| (*option).to_owned()).collect();
        for name in names {
            cluster.join(name);
        }
        cluster
    }

    /// The same without a shared folder: each host keeps components and history to itself.
    ///
    /// # Panics
    /// Where one doesn't become ready.
    #[track_caller]
    pub fn start_apart(zookeeper: &str, session_timeout: Duration, names: &[&str]) -> Self {
        let mut cluster = Cluster::empty(Some(zookeeper.to_owned()), session_timeout);
        cluster.shared_store = false;
        for name in names {
            cluster.join(name);
        }
        cluster
    }

    /// Hosts that reach the ensemble each by a way of its own, given with their names. The cluster lives below `root`, so
    /// that several can share an ensemble.
    ///
    /// # Panics
    /// Where one doesn't become ready.
    #[track_caller]
    pub fn start_through(root: &str, session_timeout: Duration, ways: &[(&str, String)]) -> Self {
        let mut cluster = Cluster::empty(None, session_timeout);
        cluster.root = root.to_owned();
        for (name, zookeeper) in ways {
            cluster.join_through(name, Some(zookeeper.clone()));
        }
        cluster
    }

    /// One host on the embedded coordinator, named `solo`.
    ///
    /// # Panics
    /// Where it doesn't become ready.
    #[track_caller]
    pub fn embedded() -> Self {
        Cluster::embedded_with(&[])
    }

    /// The same with further options of `up`.
    ///
    /// # Panics
    /// Where it doesn't become ready.
    #[track_caller]
    pub fn embedded_with(options: &[&str]) -> Self {
        let mut cluster = Cluster::empty(None, Duration::from_secs(4));
        cluster.options = options.iter().map(|option| (*option).to_owned()).collect();
        cluster.join("solo");
        cluster
    }

    /// A cluster on the embedded coordinator that one host is to [join](Cluster::join).
    pub fn embedded_without_hosts() -> Self {
        Cluster::empty(None, Duration::from_secs(4))
    }

    fn empty(zookeeper: Option<String>, session_timeout: Duration) -> Self {
        let dir = tempfile::Builder::new().prefix("silverback-hosts-").tempdir().expect("a temporary folder");
        Cluster {
            hosts: Vec::new(),
            zookeeper,
            root: ROOT.to_owned(),
            session_timeout,
            shared_store: true,
            options: Vec::new(),
            dir,
        }
    }

    /// Starts one more host.
    ///
    /// # Panics
    /// Where it doesn't become ready.
    #[track_caller]
    pub fn join(&mut self, name: &str) {
        self.join_through(name, self.zookeeper.clone());
    }

    /// Starts one more host that reaches the ensemble by another way.
    ///
    /// # Panics
    /// Where it doesn't become ready.
    #[track_caller]
    pub fn join_through(&mut self, name: &str, zookeeper: Option<String>) {
        let settings = HostSettings { zookeeper, ..self.settings(name) };
        self.hosts.push(Host::start(settings, self.dir.path()));
    }

    /// Starts one more host with a wall clock of its own, and gives that: right, until it is set otherwise.
    ///
    /// # Panics
    /// Where it doesn't become ready.
    #[track_caller]
    pub fn join_with_clock(&mut self, name: &str) -> FakeClock {
        let clock = FakeClock::right(self.dir.path().join(format!("{name}.clock")));
        let settings = HostSettings { clock: Some(clock.clone()), ..self.settings(name) };
        self.hosts.push(Host::start(settings, self.dir.path()));
        clock
    }

    fn settings(&self, name: &str) -> HostSettings {
        HostSettings {
            name: name.to_owned(),
            zookeeper: self.zookeeper.clone(),
            root: self.root.clone(),
            session_timeout: self.session_timeout,
            store: self.shared_store.then(|| self.dir.path().join("store")),
            options: self.options.clone(),
            clock: None,
            disk: None,
        }
    }

    /// The folder of this cluster: shared store in `store`, each host's data in a folder of its name.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All hosts, those that were killed too.
    pub fn hosts(&mut self) -> &mut [Host] {
        &mut self.hosts
    }

    /// A host by its name.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn host(&mut self, name: &str) -> &mut Host {
        let found = self.hosts.iter_mut().find(|host| host.name() == name);
        found.unwrap_or_else(|| panic!("no host `{name}` was started"))
    }

    /// The command line, talking to the first host that runs and isn't frozen.
    ///
    /// # Panics
    /// Where none does.
    #[track_caller]
    pub fn cli(&mut self) -> Cli {
        let running = self.hosts.iter_mut().find_map(|host| host.answers().then(|| host.cli()));
        running.expect("a host that answers")
    }

    /// Lets a tenant's jobs send HTTP requests to this machine, where the targets of the tests are.
    ///
    /// # Panics
    /// Where no host answers.
    #[track_caller]
    pub fn let_reach_this_machine(&mut self, tenant: &str) {
        self.cli().ok(&["tenant", tenant, "--private", "127.0.0.1"]);
    }

    /// Registers a job: writes `job.toml` and applies it.
    ///
    /// # Panics
    /// Where it is refused.
    #[track_caller]
    pub fn apply(&mut self, job_toml: &str) {
        let file = self.dir.path().join("job.toml");
        fs::write(&file, job_toml).expect("the folder can be written");
        self.cli().ok(&["apply", &file.display().to_string()]);
    }

    /// Registers many jobs at once.
    ///
    /// # Panics
    /// Where one is refused.
    #[track_caller]
    pub fn apply_all(&mut self, job_tomls: &[String]) {
        let files = job_tomls.iter().enumerate().map(|(at, text)| {
            let file = self.dir.path().join(format!("job-{at}.toml"));
            fs::write(&file, text).expect("the folder can be written");
            file.display().to_string()
        });
        let files: Vec<String> = files.collect();
        let args: Vec<&str> = ["apply"].into_iter().chain(files.iter().map(String::as_str)).collect();
        self.cli().ok(&args);
    }

    /// Waits for a contender of `job` that leads and satisfies `holds`.
    ///
    /// # Panics
    /// When `limit` has passed.
    #[track_caller]
    pub fn await_leader(
        &mut self,
        what: &str,
        job: &str,
        limit: Duration,
        mut holds: impl FnMut(&ContenderRow) -> bool,
    ) -> ContenderRow {
        await_value(what, limit, || {
            let queue = self.cli().contenders(job)?;
            let leader = queue.iter().find(|contender| contender.leader && holds(contender)).cloned();
            leader.ok_or_else(|| format!("{queue:#?}"))
        })
    }

    /// Triggers a run of `job`, as soon as there is room for one, and returns its id.
    ///
    /// # Panics
    /// If it is refused for another reason, or all the time.
    #[track_caller]
    pub fn trigger(&mut self, job: &str) -> String {
        await_value(&format!("a run of {job} to be triggered"), SOON, || {
            let answer = self.cli().run(&["trigger", job]);
            if answer.code == Some(0) {
                let id = answer.out.split_whitespace().find(|word| word.starts_with(&format!("{job}/")));
                return Ok(id.unwrap_or_else(|| panic!("`trigger {job}` names no run: {answer:#?}")).to_owned());
            }
            let passes = REFUSED_FOR_A_MOMENT.iter().any(|why| answer.err.contains(why));
            assert!(passes, "`trigger {job}` is refused: {answer:#?}");
            Err(answer.err)
        })
    }

    /// Triggers a run of `job` and waits until it has an outcome.
    ///
    /// # Panics
    /// As [`Cluster::trigger`], and if the run doesn't end within [`SOON`].
    #[track_caller]
    pub fn run_now(&mut self, job: &str) -> RunRow {
        let id = self.trigger(job);
        self.await_run(&format!("the outcome of {id}"), job, SOON, |run| run.run == id && run.outcome.is_some())
    }

    /// Waits for a run of `job` that satisfies `holds`.
    ///
    /// # Panics
    /// When `limit` has passed.
    #[track_caller]
    pub fn await_run(
        &mut self,
        what: &str,
        job: &str,
        limit: Duration,
        mut holds: impl FnMut(&RunRow) -> bool,
    ) -> RunRow {
        await_value(what, limit, || {
            let runs = self.cli().runs(job)?;
            let found = runs.iter().find(|run| holds(run)).cloned();
            found.ok_or_else(|| format!("{runs:#?}"))
        })
    }
}

//! One host as a real process: started, signalled, killed and started again.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::cli::Cli;
use crate::fake_clock::FakeClock;
use crate::place;
use crate::port::free_port;
use crate::process::Process;
use crate::small_disk::{Disk, SmallDisk};
use crate::wait::await_value;

/// How long a host may take until it is ready; it takes less than a second where the machine is idle.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a drain may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// Where a cluster lives unless it is told otherwise.
pub const ROOT: &str = "/silverback";

/// How a host is started.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Its name, also its identifier in elections.
    pub name: String,
    /// The connect string; None: the embedded coordinator.
    pub zookeeper: Option<String>,
    /// The path below which its cluster lives.
    pub root: String,
    /// The session timeout it asks for.
    pub session_timeout: Duration,
    /// The folder of components and history that the hosts of a cluster share; None: its own.
    pub store: Option<PathBuf>,
    /// Further options of `up`, with their values.
    pub options: Vec<String>,
    /// Its wall clock; None: the machine's.
    pub clock: Option<FakeClock>,
    /// A disk of its own for its data; None: the machine's.
    pub disk: Option<SmallDisk>,
}

impl HostSettings {
    /// A host on the embedded coordinator.
    pub fn embedded(name: &str) -> Self {
        HostSettings {
            name: name.to_owned(),
            zookeeper: None,
            root: ROOT.to_owned(),
            session_timeout: Duration::from_secs(4),
            store: None,
            options: Vec::new(),
            clock: None,
            disk: None,
        }
    }
}

/// A host; killed when dropped.
pub struct Host {
    settings: HostSettings,
    dir: PathBuf,
    address: String,
    process: Process,
    frozen: bool,
}

impl Host {
    /// Starts a host and waits until it is ready. Its data lies in `dir/NAME`, its output beside that.
    ///
    /// # Panics
    /// Where it doesn't become ready.
    #[track_caller]
    pub fn start(settings: HostSettings, dir: &Path) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        // Output is appended: there may be that of an earlier host of this name.
        let ready_before = Process::out_in(dir, &settings.name).lines().count();
        let process = launch(&settings, &address, dir);
        let mut host = Host { settings, dir: dir.to_owned(), address, process, frozen: false };
        host.await_ready(ready_before);
        host
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// How it is started the next time.
    pub fn settings_mut(&mut self) -> &mut HostSettings {
        &mut self.settings
    }

    /// The folder it keeps its own data in.
    pub fn data(&self) -> PathBuf {
        self.dir.join(self.name())
    }

    /// Its disk, where it was given one.
    pub fn disk(&self) -> Disk {
        Disk::of(self.pid(), &self.data())
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it goes on.
    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        self.process.wait(DRAIN_LIMIT)
    }

    /// Where its API listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How much of its memory is resident, in bytes.
    ///
    /// # Errors
    /// Where the system doesn't say; it has ended, say.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.process.resident_bytes()
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The command line, talking to this host.
    pub fn cli(&self) -> Cli {
        Cli::new(format!("http://{}", self.address))
    }

    /// Whether its process runs.
    pub fn runs(&mut self) -> bool {
        self.process.exited().is_none()
    }

    /// Whether it can answer: it runs, and isn't frozen.
    pub fn answers(&mut self) -> bool {
        !self.frozen && self.runs()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// What it wrote to its standard output, over all of its starts.
    pub fn out(&self) -> String {
        self.process.out()
    }

    /// kill -9.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks it to drain, and waits for its end.
    ///
    /// # Panics
    /// Where it doesn't end.
    #[track_caller]
    pub fn sigterm(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.process.wait(DRAIN_LIMIT)
    }

    /// Asks it to drain, and doesn't wait.
    pub fn ask_to_end(&mut self) {
        self.process.signal(Signal::TERM);
    }

    /// Freezes it.
    pub fn sigstop(&mut self) {
        self.frozen = true;
        self.process.signal(Signal::STOP);
    }

    /// Thaws it.
    pub fn sigcont(&mut self) {
        self.process.signal(Signal::CONT);
        self.frozen = false;
    }

    /// Starts it again, with the same data and address, and waits until it is ready.
    ///
    /// # Panics
    /// As [`Host::start`].
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill9();
        let ready_before = self.process.out().lines().count();
        self.frozen = false;
        self.process = launch(&self.settings, &self.address, &self.dir);
        self.await_ready(ready_before);
    }

    /// Waits for its one line on standard output.
    #[track_caller]
    fn await_ready(&mut self, lines_before: usize) {
        let what = format!("host {} to become ready", self.name());
        await_value(&what, START_LIMIT, || {
            if self.process.out().lines().count() > lines_before {
                return Ok(());
            }
            assert!(self.runs(), "host {} ended before it was ready:\n{}", self.name(), self.log());
            Err(self.log())
        });
    }
}

fn launch(settings: &HostSettings, address: &str, dir: &Path) -> Process {
    let data = dir.join(&settings.name);
    let mut args = vec!["up".to_owned()];
    let mut option = |name: &str, value: &str| args.extend([format!("--{name}"), value.to_owned()]);
    option("name", &settings.name);
    option("listen", address);
    option("root", &settings.root);
    option("data", &data.display().to_string());
    option("session-timeout", &format!("{}ms", settings.session_timeout.as_millis()));
    if let Some(servers) = &settings.zookeeper {
        option("zookeeper", servers);
        option("tick-time", &format!("{}ms", crate::zookeeper::TICK.as_millis()));
    }
    if let Some(store) = &settings.store {
        option("store", &store.display().to_string());
    }
    args.extend(settings.options.iter().cloned());
    let (program, args) = match &settings.clock {
        Some(clock) => clock.run(&place::silverback(), args),
        None => (place::silverback(), args),
    };
    let (program, args) = match settings.disk {
        Some(disk) => disk.run(&data, "", &program, args),
        None => (program, args),
    };
    Process::start(&settings.name, &program, &args, dir)
}

//! Real ZooKeeper servers for tests: one, or an ensemble. On 127.0.0.1, data in a temporary directory, gone with the
//! test whatever happens.
//!
//! A tick has 500 ms, so a session may ask for a timeout of 1 s to 60 s. Every four-letter word is allowed.

mod backup;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

pub use self::backup::Backup;
use crate::child::{Child, find_program};
use crate::port::free_port;
use crate::txn_log::{self, Transaction};

/// Length of a tick of these servers.
pub const TICK: Duration = Duration::from_millis(500);

const JAR_DIR: &str = "/usr/share/java";
const JARS: [&str; 3] = ["zookeeper.jar", "slf4j-log4j12.jar", "log4j-1.2.jar"];
const INSTALL: &str = "apt-get install --no-install-recommends zookeeper default-jre-headless";
/// How long a server may take until it serves; it takes about a second where the machine is idle.
const START_LIMIT: Duration = Duration::from_secs(60);
const PROBE_LIMIT: Duration = Duration::from_secs(10);
const PROBE_PAUSE: Duration = Duration::from_millis(20);
const START_TRIES: usize = 5;
/// Lets `super:secret` change what access lists forbid: the digest of that, as ZooKeeper's tools make it.
const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

/// One server on its own.
#[derive(Debug)]
pub struct ZooKeeperServer(Ensemble);

impl ZooKeeperServer {
    /// Starts a server and waits until it serves.
    ///
    /// # Errors
    /// Says what to install where ZooKeeper or Java is missing, and shows the end of the server's log where it doesn't
    /// come up.
    pub fn start() -> Result<Self> {
        Ensemble::start(1).map(ZooKeeperServer)
    }

    /// The same with further lines of its `zoo.cfg`, which go before those of these tests.
    ///
    /// # Errors
    /// As [`ZooKeeperServer::start`].
    pub fn start_with(config: &str) -> Result<Self> {
        Ensemble::start_with(1, config).map(ZooKeeperServer)
    }

    /// `127.0.0.1:PORT`.
    pub fn connect_string(&self) -> String {
        self.0.connect_string()
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.0.address(0)
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.0.kill(0);
    }

    /// Starts it again with the same data on the same port, and waits until it serves.
    ///
    /// # Errors
    /// As [`ZooKeeperServer::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.0.restart(0)
    }

    /// The session that an ephemeral node belongs to; None where there is no such node, or the server doesn't answer.
    pub fn owner(&self, path: &str) -> Option<i64> {
        let dump = self.four_letter("dump").ok()?;
        let mut session = None;
        for line in dump.lines().skip_while(|line| !line.starts_with("Sessions with Ephemerals")) {
            if let Some(id) = line.strip_prefix("0x") {
                session = u64::from_str_radix(id.trim_end_matches(':'), 16).ok();
            } else if line.trim() == path {
                return session.map(|id| id as i64);
            }
        }
        None
    }

    /// All that it has committed, in order.
    ///
    /// # Errors
    /// Where its log can't be read.
    pub fn transactions(&self) -> Result<Vec<Transaction>> {
        self.0.transactions()
    }

    /// The answer to a four-letter word: `srvr`, `dump`, `cons`, `wchs`, `wchc`, `mntr`.
    ///
    /// # Errors
    /// When it doesn't answer in time.
    pub fn four_letter(&self, word: &str) -> Result<String> {
        self.0.four_letter(0, word)
    }

    /// How much of its heap is taken by what it needs, in bytes: after a garbage collection.
    ///
    /// # Errors
    /// Where the JVM's tools don't say.
    pub fn heap_bytes(&self) -> Result<u64> {
        let child = self.0.servers[0].child.as_ref().context("it was killed")?;
        heap_bytes(child.pid())
    }
}

/// Several servers with a quorum between them.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<Server>,
    // Dropped after the servers: fields go in order.
    _dir: TempDir,
}

impl Ensemble {
    /// Starts `count` servers and waits until all serve.
    ///
    /// # Errors
    /// As [`ZooKeeperServer::start`].
    pub fn start(count: usize) -> Result<Self> {
        Ensemble::start_with(count, "")
    }

    fn start_with(count: usize, config: &str) -> Result<Self> {
        check_installed()?;
        let mut last = anyhow!("not tried");
        for _ in 0..START_TRIES {
            match Ensemble::try_start(count, config) {
                Ok(ensemble) => return Ok(ensemble),
                Err(StartError::PortTaken) => last = anyhow!("every port that was tried was taken by another process"),
                Err(StartError::Other(error)) => return Err(error),
            }
        }
        Err(last)
    }

    fn try_start(count: usize, config: &str) -> Result<Self, StartError> {
        let dir = tempfile::Builder::new().prefix("silverback-zookeeper-").tempdir().map_err(anyhow::Error::from)?;
        let ports: Vec<Ports> = (0..count).map(|_| Ports::pick(count > 1)).collect();
        let mut servers = Vec::new();
        for (index, own) in ports.iter().enumerate() {
            let home = dir.path().join(format!("server-{}", index + 1));
            write_config(&home, index, own, &ports, config)?;
            servers.push(Server { home, port: own.client, child: None });
        }
        for server in &mut servers {
            server.launch()?;
        }
        for server in &mut servers {
            server.wait_until_serving()?;
        }
        Ok(Ensemble { servers, _dir: dir })
    }

    /// `127.0.0.1:PORT,127.0.0.1:PORT,…`.
    pub fn connect_string(&self) -> String {
        let all: Vec<String> = self.servers.iter().map(|server| server.address().to_string()).collect();
        all.join(",")
    }

    /// Where clients connect to server `index`, counted from 0.
    pub fn address(&self, index: usize) -> SocketAddr {
        self.servers[index].address()
    }

    /// SIGKILL to server `index`, and waits until it is gone.
    pub fn kill(&mut self, index: usize) {
        self.servers[index].child = None;
    }

    /// Starts server `index` again with the same data on the same ports, and waits until it serves (for which it needs a
    /// quorum).
    ///
    /// # Errors
    /// As [`ZooKeeperServer::start`].
    pub fn restart(&mut self, index: usize) -> Result<()> {
        let server = &mut self.servers[index];
        server.child = None;
        for _ in 0..START_TRIES {
            server.launch()?;
            match server.wait_until_serving() {
                Ok(()) => return Ok(()),
                Err(StartError::PortTaken) => {}
                Err(StartError::Other(error)) => return Err(error),
            }
        }
        bail!("port {} was taken while the server was down", server.port)
    }

    /// The newest transaction that the leader knows.
    ///
    /// # Errors
    /// If no server leads, or it doesn't say.
    pub fn newest_transaction(&self) -> Result<i64> {
        let answer = self.four_letter(self.leader()?, "srvr")?;
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).context("a Zxid")?;
        Ok(i64::from_str_radix(zxid.trim(), 16)?)
    }

    /// Which server leads now, counted from 0. The only one does, where there is one.
    ///
    /// # Errors
    /// When none says that it leads.
    pub fn leader(&self) -> Result<usize> {
        (0..self.servers.len())
            .find(|index| matches!(self.servers[*index].mode().as_deref(), Some("leader" | "standalone")))
            .ok_or_else(|| anyhow!("no server of {} leads", self.connect_string()))
    }

    /// All that stands in the logs of its servers, in order. What was logged last and is not committed may be among it.
    ///
    /// # Errors
    /// Where a log can't be read.
    pub fn transactions(&self) -> Result<Vec<Transaction>> {
        let logs: Vec<PathBuf> = self.servers.iter().map(|server| server.home.join("data/version-2")).collect();
        Ok(txn_log::read_all(logs.iter().map(PathBuf::as_path))?)
    }

    /// The answer of server `index` to a four-letter word.
    ///
    /// # Errors
    /// When it doesn't answer in time.
    pub fn four_letter(&self, index: usize, word: &str) -> Result<String> {
        self.servers[index].four_letter(word)
    }
}

/// Sums what a full collection leaves, class by class.
fn heap_bytes(pid: u32) -> Result<u64> {
    let output = Command::new("jcmd").args([&pid.to_string(), "GC.class_histogram"]).output().context("jcmd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let total =
        text.lines().rev().find(|line| line.starts_with("Total")).with_context(|| format!("a total in {text}"))?;
    Ok(total.split_whitespace().next_back().context("bytes")?.parse()?)
}

#[derive(Debug)]
struct Server {
    home: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Server {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn launch(&mut self) -> Result<()> {
        let jars: Vec<String> = JARS.iter().map(|jar| format!("{JAR_DIR}/{jar}")).collect();
        let mut args: Vec<String> =
            ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "-XX:-UsePerfData"].map(Into::into).into();
        args.push("-Dzookeeper.preAllocSize=1024".to_owned());
        args.push(format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"));
        args.push(format!("-Dlog4j.configuration=file:{}", self.home.join("log4j.properties").display()));
        args.extend(["-cp".to_owned(), jars.join(":")]);
        args.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned());
        args.push(self.home.join("zoo.cfg").display().to_string());
        // What an earlier run of this server said must not be read as this one's.
        let _ = fs::remove_file(self.log());
        self.child = Some(Child::spawn("java", args, &self.log())?);
        Ok(())
    }

    fn wait_until_serving(&mut self) -> Result<(), StartError> {
        let deadline = Instant::now() + START_LIMIT;
        while self.mode().is_none() {
            let ended = match &mut self.child {
                Some(child) => child.exited()?.is_some(),
                None => true,
            };
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            if log.contains("Address already in use") {
                return Err(StartError::PortTaken);
            }
            if ended || Instant::now() > deadline {
                let why = if ended { "ended" } else { "did not serve in time" };
                return Err(anyhow!("the ZooKeeper server on {} {why}: {}", self.address(), tail(&log)).into());
            }
            thread::sleep(PROBE_PAUSE);
        }
        Ok(())
    }

    /// `standalone`, `leader` or `follower`; None while it doesn't serve.
    fn mode(&self) -> Option<String> {
        let answer = self.four_letter("srvr").ok()?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(|mode| mode.trim().to_owned())
    }

    fn four_letter(&self, word: &str) -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address(), PROBE_LIMIT)?;
        stream.set_read_timeout(Some(PROBE_LIMIT))?;
        stream.write_all(word.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).with_context(|| format!("`{word}` to {}", self.address()))?;
        Ok(answer)
    }

    fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }
}

enum StartError {
    PortTaken,
    Other(anyhow::Error),
}

impl From<anyhow::Error> for StartError {
    fn from(error: anyhow::Error) -> Self {
        StartError::Other(error)
    }
}

/// The ports of one server; quorum and election are 0 where it stands alone.
struct Ports {
    client: u16,
    quorum: u16,
    election: u16,
}

impl Ports {
    fn pick(ensemble: bool) -> Self {
        let client = free_port();
        let (quorum, election) = if ensemble { (free_port(), free_port()) } else { (0, 0) };
        Ports { client, quorum, election }
    }
}

fn write_config(home: &Path, index: usize, own: &Ports, all: &[Ports], further: &str) -> Result<()> {
    let data = home.join("data");
    fs::create_dir_all(&data)?;
    let mut config = format!(
        "tickTime={}\ndataDir={}\nclientPortAddress=127.0.0.1\nclientPort={}\nmaxClientCnxns=0\n\
         minSessionTimeout=1000\nmaxSessionTimeout=60000\nadmin.enableServer=false\n4lw.commands.whitelist=*\n",
        TICK.as_millis(),
        data.display(),
        own.client,
    );
    if all.len() > 1 {
        config.push_str("initLimit=20\nsyncLimit=4\n");
        for (at, peer) in all.iter().enumerate() {
            config.push_str(&format!("server.{}=127.0.0.1:{}:{}\n", at + 1, peer.quorum, peer.election));
        }
        fs::write(data.join("myid"), format!("{}\n", index + 1))?;
    }
    // Of a setting that comes twice the last one counts.
    config.push_str(further);
    fs::write(home.join("zoo.cfg"), config)?;
    let log = "log4j.rootLogger=INFO, CONSOLE\nlog4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender\n\
               log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout\n\
               log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} %-5p %c{1} %m%n\n";
    fs::write(home.join("log4j.properties"), log)?;
    Ok(())
}

fn check_installed() -> Result<()> {
    find_program("java").with_context(|| format!("these tests need ZooKeeper: {INSTALL}"))?;
    for jar in JARS {
        let file = Path::new(JAR_DIR).join(jar);
        if !file.exists() {
            bail!("{} is missing; these tests need ZooKeeper: {INSTALL}", file.display());
        }
    }
    Ok(())
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_comes_back_on_its_port_after_a_kill() {
        let mut server = ZooKeeperServer::start().unwrap();
        let address = server.address();
        server.kill();
        assert!(server.four_letter("ruok").is_err(), "a killed server answers");
        server.restart().unwrap();
        assert_eq!(server.address(), address);
        assert_eq!(server.four_letter("ruok").unwrap(), "imok");
    }

    #[test]
    fn an_ensemble_elects_another_leader_when_its_leader_is_killed() {
        let mut ensemble = Ensemble::start(3).unwrap();
        let first = ensemble.leader().unwrap();
        ensemble.kill(first);
        let deadline = Instant::now() + START_LIMIT;
        let second = loop {
            match ensemble.leader() {
                Ok(index) => break index,
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => thread::sleep(PROBE_PAUSE),
            }
        };
        assert_ne!(second, first);
        ensemble.restart(first).unwrap();
    }
}

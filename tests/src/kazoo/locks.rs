//! How long kazoo's bare lock takes: what the bench compares with.

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::python;
use crate::place;
use crate::process::Process;
use crate::times::Times;

/// How long a program may take: ample.
const LIMIT: Duration = Duration::from_secs(120);

/// Acquires a free lock `count` times: from the call of `acquire` until it has returned. `dir` takes the program's output.
///
/// # Panics
/// Where the program fails.
#[track_caller]
pub fn acquire(servers: &str, path: &str, count: usize, dir: &Path) -> Times {
    let nanos: Vec<u64> = Locks::start("kazoo-acquire", &["acquire", servers, path, &count.to_string()], dir).end();
    nanos.into_iter().map(Duration::from_nanos).collect()
}

/// Two programs pass a lock to and fro, `count` times each, holding it for `hold`: from the call of `release` in the one
/// until `acquire` has returned in the other, which waits.
///
/// # Panics
/// Where a program fails, or both hold the lock at once.
#[track_caller]
pub fn pass(servers: &str, path: &str, count: usize, hold: Duration, dir: &Path) -> Times {
    let (count, hold) = (count.to_string(), hold.as_secs_f64().to_string());
    let programs = ["kazoo-a", "kazoo-b"].map(|name| Locks::start(name, &["pass", servers, path, &count, &hold], dir));
    let mut held: Vec<(u64, u64, usize)> = Vec::new();
    for (who, program) in programs.into_iter().enumerate() {
        let times: Vec<(u64, u64)> = program.end();
        held.extend(times.into_iter().map(|(acquired, released)| (acquired, released, who)));
    }
    held.sort_unstable();
    // Nobody waits for the last ones of the slower program: it has the lock to itself.
    let passes = held.windows(2).filter(|pair| pair[0].2 != pair[1].2);
    let took = passes.map(|pair| pair[1].0.checked_sub(pair[0].1).expect("one program holds the lock at a time"));
    took.map(Duration::from_nanos).collect()
}

/// A program of `kazoo/locks.py` under way.
struct Locks(Process);

impl Locks {
    fn start(name: &str, args: &[&str], dir: &Path) -> Self {
        // What an earlier program of this name said is not this one's.
        let _ = std::fs::remove_file(dir.join(format!("{name}.out")));
        let script = place::fixture("kazoo/locks.py").display().to_string();
        let args: Vec<String> = [script.as_str()].iter().chain(args).map(|&arg| arg.to_owned()).collect();
        Locks(Process::start(name, python(), &args, dir))
    }

    /// Waits until it is done, and reads what it found.
    #[track_caller]
    fn end<T: DeserializeOwned>(mut self) -> T {
        let status = self.0.wait(LIMIT);
        assert!(status.success(), "locks.py failed with {status}: {}", self.0.log());
        serde_json::from_str(&self.0.out()).expect("locks.py writes a list")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zookeeper::ZooKeeperServer;

    #[test]
    fn every_acquire_and_every_pass_is_timed() {
        let server = ZooKeeperServer::start().unwrap();
        let (servers, dir) = (server.connect_string(), tempfile::tempdir().unwrap());
        assert_eq!(acquire(&servers, "/free", 10, dir.path()).count(), 10);
        let hold = Duration::from_millis(20);
        let passes = pass(&servers, "/passed", 10, hold, dir.path());
        assert!((5..20).contains(&passes.count()), "{passes:?}");
        assert!(passes.p50() < hold, "who waits is told at once: {passes:?}");
    }
}

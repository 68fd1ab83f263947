//! What stays of a host after a hostile guest: each such test runs in a process of its own, where nobody else takes memory.

use std::any::type_name;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, thread};

/// Set in the process of one test alone.
const ALONE: &str = "SILVERBACK_TEST_ALONE";
/// Whatever a guest does, its host has done with it by then, twice.
const BOUNDED: Duration = Duration::from_secs(120);
/// What is given back on other threads is given back after so many looks at the most.
const LOOKS: usize = 1000;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs the body of the test that calls it twice: once to have been there, and again to see that it ends in a bounded time and
/// that the memory of the process is then as it was before, and a tenth.
///
/// # Panics
/// Where it isn't, and where the body does.
pub(crate) fn gives_back<Body: AsyncFn() + Send + 'static>(body: Body) {
    tried(body).unwrap_or_else(|told| panic!("{told}"));
}

/// What the process of the test said that failed.
fn tried<Body: AsyncFn() + Send + 'static>(body: Body) -> Result<(), String> {
    if env::var_os(ALONE).is_some() {
        watch(body);
        return Ok(());
    }
    let test = name::<Body>();
    let this = env::current_exe().expect("a test knows its own executable");
    let alone = Command::new(this).args([test, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let told = [alone.stdout, alone.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    match alone.status.success() && told.contains("1 passed") {
        true => Ok(()),
        false => Err(format!("{test} alone: {told}")),
    }
}

fn watch<Body: AsyncFn() + Send + 'static>(body: Body) {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let threads = threads.worker_threads(2).enable_all().build().unwrap();
        threads.block_on(body());
        let before = resident_bytes();
        threads.block_on(body());
        done.send(before).expect("it is waited for");
    });
    let before = match is_done.recv_timeout(BOUNDED) {
        Ok(before) => before,
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("{:?}", worker.join().map_err(|_| "as it says above")),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end in {BOUNDED:?}"),
    };
    let is_back = || resident_bytes() <= before + before / 10;
    let looked = (0..LOOKS).any(|_| {
        is_back() || {
            thread::sleep(PAUSE);
            false
        }
    });
    assert!(looked, "{before} bytes were resident before, and {} are after it", resident_bytes());
}

/// The test that a closure stands in, as the harness calls it.
fn name<Body>() -> &'static str {
    let path = type_name::<Body>().split("::{{closure}}").next().expect("a split has a first part");
    path.split_once("::").expect("a test is in a crate").1
}

/// Returns how much of what the process itself wrote is resident: pages of its program come and go with what the system has room
/// for, and say nothing of what a guest left.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kibibytes = |key: &str| -> usize {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    (kibibytes("RssAnon:") + kibibytes("RssShmem:")) * 1024
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static HELD: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    #[test]
    fn a_body_that_takes_and_gives_passes() {
        gives_back(async || drop(std::hint::black_box(vec![1_u8; 64 << 20])));
    }

    #[test]
    fn a_body_that_keeps_what_it_took_does_not() {
        let told = tried(async || HELD.lock().unwrap().push(vec![1_u8; 64 << 20])).unwrap_err();
        assert!(told.contains("bytes were resident before"), "{told}");
    }

    #[test]
    fn a_body_that_fails_says_why() {
        let told = tried(async || panic!("the words of a body that fails")).unwrap_err();
        assert!(told.contains("the words of a body that fails"), "{told}");
    }
}

//! The parts without which a host must not go on: if one of them ends, the host ends with the reason.
//!
//! A host that dies is replaced by others. A host that lives without its heartbeats, say, only looks alive. The end of a
//! part is a fact of the whole process, so it is told in one place, which whoever runs the host waits for.

use std::sync::LazyLock;
use std::thread;

use tokio::sync::watch;
use tracing::error;

use crate::panics;

static FAILURE: LazyLock<Failure> = LazyLock::new(Failure::default);

/// Why the process must end; None as long as it need not.
#[derive(Default)]
struct Failure(watch::Sender<Option<String>>);

impl Failure {
    fn part(&'static self, name: &'static str) -> Part {
        panics::install_hook();
        Part { name, failure: self }
    }

    fn set(&self, reason: String) {
        error!(reason, "this host can't go on");
        self.0.send_if_modified(|failure| failure.is_none() && failure.replace(reason).is_none());
    }

    async fn wait(&self) -> String {
        let mut failure = self.0.subscribe();
        let failed = failure.wait_for(Option::is_some).await;
        failed.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }
}

/// A part of the host that must not panic: a thread or a task holds it for as long as it runs.
#[must_use = "it watches over the scope that it is held in"]
pub struct Part {
    name: &'static str,
    failure: &'static Failure,
}

/// Returns a guard to hold in the body of a thread or a task. If a panic ends that body, the host ends.
pub fn part(name: &'static str) -> Part {
    FAILURE.part(name)
}

impl Drop for Part {
    fn drop(&mut self) {
        if thread::panicking() {
            let why = panics::latest().unwrap_or_else(|| "it is in the log above".to_owned());
            self.failure.set(format!("{} panicked: {why}", self.name));
        }
    }
}

/// Ends the host. Only the first reason is kept.
pub fn fail(reason: String) {
    FAILURE.set(reason);
}

/// Waits until the host must end, and returns the reason.
pub async fn failed() -> String {
    FAILURE.wait().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn w5_a_part_that_panics_ends_the_host_with_the_reason() {
        // Of this test alone: another that fails drops parts of its own while it panics.
        static OWN: LazyLock<Failure> = LazyLock::new(Failure::default);
        tokio::spawn(async { drop(OWN.part("a task that is done")) }).await.unwrap();
        assert_eq!(*OWN.0.borrow(), None);
        let panicked = tokio::spawn(async {
            let _part = OWN.part("the follower");
            tokio::task::yield_now().await;
            panic!("no such key");
        });
        assert!(panicked.await.unwrap_err().is_panic());
        OWN.set("later".to_owned());
        let reason = OWN.wait().await;
        assert!(reason.starts_with("the follower panicked: no such key ("), "{reason}");
    }
}

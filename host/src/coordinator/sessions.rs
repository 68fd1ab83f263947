//! Keeps one session open: opens the next one when it is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Coordinator, Error, Session, SessionState};
use crate::vital;

/// The pause after the first attempt that failed; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(5);

type Current = Option<Arc<dyn Session>>;

/// The host's current session, whichever it is. Clones share it.
#[derive(Clone)]
pub struct Sessions {
    current: watch::Receiver<Current>,
    /// Why the latest attempt to open a session failed; None while there is one.
    trouble: watch::Receiver<Option<Error>>,
    stop: watch::Sender<bool>,
}

impl Sessions {
    /// Opens the first session and keeps one open until [`Sessions::close`], or until nobody follows any more: when it is
    /// lost, another is opened, with back-off while no server answers.
    ///
    /// # Errors
    /// Those of [`Coordinator::connect`] for the first session.
    pub async fn open(coordinator: Arc<dyn Coordinator>, patience: Duration) -> Result<Self, Error> {
        let first = coordinator.connect(patience).await?;
        let (publish, current) = watch::channel(Some(first));
        let (report, trouble) = watch::channel(None);
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(supervise(Supervisor { coordinator, patience, publish, report, stopping }));
        Ok(Sessions { current, trouble, stop })
    }

    /// The session as it is now; None between two.
    pub fn now(&self) -> Option<Arc<dyn Session>> {
        self.current.borrow().clone()
    }

    /// Waits at most `patience` for a session.
    ///
    /// # Errors
    /// If none came, why the latest attempt to open one failed; [`Error::Lost`] if that isn't known.
    pub async fn get(&self, patience: Duration) -> Result<Arc<dyn Session>, Error> {
        let mut current = self.current.clone();
        // Between the loss of a session and the word of it here, the lost one is no answer.
        let usable = |current: &Current| current.as_ref().is_some_and(|session| !is_lost(session));
        match tokio::time::timeout(patience, current.wait_for(usable)).await {
            Ok(Ok(session)) => session.clone().ok_or(Error::Lost),
            Ok(Err(_)) | Err(_) => Err(self.trouble.borrow().clone().unwrap_or(Error::Lost)),
        }
    }

    /// Follows the session: None when it is lost, then a new one. Ends after [`Sessions::close`].
    pub fn follow(&self) -> watch::Receiver<Option<Arc<dyn Session>>> {
        self.current.clone()
    }

    /// Closes the session for good and returns when its ephemeral nodes are gone, or after a bounded time.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        let mut current = self.current.clone();
        while current.changed().await.is_ok() {}
    }
}

fn is_lost(session: &Arc<dyn Session>) -> bool {
    *session.state().borrow() == SessionState::Lost
}

/// What keeps the session open.
struct Supervisor {
    coordinator: Arc<dyn Coordinator>,
    patience: Duration,
    publish: watch::Sender<Current>,
    report: watch::Sender<Option<Error>>,
    stopping: watch::Receiver<bool>,
}

async fn supervise(mut supervisor: Supervisor) {
    let _part = vital::part("the supervisor of a session");
    while let Some(session) = supervisor.current() {
        if supervisor.hold(&session).await == Held::Stopped {
            supervisor.publish.send_replace(None);
            session.close().await;
            return;
        }
        supervisor.publish.send_replace(None);
        info!("the session is lost, opening another");
        let next = supervisor.reopen().await;
        supervisor.publish.send_replace(next);
    }
}

/// How the holding of a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Lost,
    Stopped,
}

impl Supervisor {
    fn current(&self) -> Current {
        self.publish.borrow().clone()
    }

    async fn hold(&mut self, session: &Arc<dyn Session>) -> Held {
        let mut state = session.state();
        tokio::select! {
            // An error: its sender is gone, and the session with it.
            _ = state.wait_for(|state| *state == SessionState::Lost) => Held::Lost,
            () = stopped(&mut self.stopping, &self.publish) => Held::Stopped,
        }
    }

    /// The next session; None where it was told to stop.
    async fn reopen(&mut self) -> Current {
        let Supervisor { coordinator, patience, publish, report, stopping } = self;
        let session = tokio::select! {
            session = connect(coordinator.as_ref(), *patience, report) => session,
            () = stopped(stopping, publish) => return None,
        };
        report.send_replace(None);
        Some(session)
    }
}

/// Returns when it is told to stop, or nobody follows any more.
async fn stopped(stopping: &mut watch::Receiver<bool>, publish: &watch::Sender<Current>) {
    tokio::select! {
        _ = stopping.wait_for(|stop| *stop) => {}
        () = publish.closed() => {}
    }
}

/// Tries until it succeeds, and reports why it didn't.
async fn connect(
    coordinator: &dyn Coordinator,
    patience: Duration,
    report: &watch::Sender<Option<Error>>,
) -> Arc<dyn Session> {
    let mut pause = FIRST_PAUSE;
    loop {
        match coordinator.connect(patience).await {
            Ok(session) => return session,
            Err(error) => {
                warn!(%error, "no session could be opened, trying again");
                report.send_replace(Some(error));
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::clock::system;
    use crate::coordinator::{CreateMode, Embedded};

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Refuses so many attempts after the first.
    struct Flaky {
        embedded: Embedded,
        attempts: AtomicU32,
        refusals: u32,
    }

    #[async_trait]
    impl Coordinator for Flaky {
        async fn connect(&self, patience: Duration) -> Result<Arc<dyn Session>, Error> {
            let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
            if (1..=self.refusals).contains(&attempt) {
                return Err(Error::Refused { detail: "not yet".to_owned() });
            }
            self.embedded.connect(patience).await
        }

        fn describe(&self) -> String {
            "flaky".to_owned()
        }
    }

    fn flaky(refusals: u32) -> Arc<Flaky> {
        let embedded = Embedded::in_memory(system(), PATIENCE);
        Arc::new(Flaky { embedded, attempts: AtomicU32::new(0), refusals })
    }

    #[tokio::test]
    async fn another_session_follows_a_lost_one_however_long_it_takes() {
        let coordinator = flaky(3);
        let sessions = Sessions::open(coordinator.clone(), PATIENCE).await.unwrap();
        let first = sessions.now().unwrap();
        let mut follow = sessions.follow();
        let clock = system();
        let began = clock.boot();
        coordinator.embedded.expire(first.id()).await.unwrap();
        follow.wait_for(Option::is_none).await.unwrap();
        sessions.trouble.clone().wait_for(Option::is_some).await.unwrap();
        assert_eq!(sessions.get(Duration::ZERO).await.err(), Some(Error::Refused { detail: "not yet".to_owned() }));
        let second = follow.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert!(second.id() > first.id());
        assert!(clock.boot() - began >= FIRST_PAUSE * (1 + 2 + 4), "no back-off after three refusals");
        assert_eq!(sessions.get(PATIENCE).await.unwrap().id(), second.id());
    }

    #[tokio::test]
    async fn close_takes_the_ephemerals_and_ends_the_following() {
        let coordinator = flaky(0);
        let sessions = Sessions::open(coordinator.clone(), PATIENCE).await.unwrap();
        let session = sessions.now().unwrap();
        session.create("/e", b"", CreateMode::Ephemeral).await.unwrap();
        sessions.clone().close().await;
        let other = coordinator.connect(PATIENCE).await.unwrap();
        assert_eq!(other.stat("/e").await, Ok(None));
        assert!(sessions.now().is_none());
        assert_eq!(sessions.get(PATIENCE).await.err(), Some(Error::Lost));
        assert!(sessions.follow().wait_for(Option::is_some).await.is_err());
    }

    #[tokio::test]
    async fn nobody_following_ends_the_session() {
        let coordinator = flaky(0);
        let sessions = Sessions::open(coordinator.clone(), PATIENCE).await.unwrap();
        let mut state = sessions.now().unwrap().state();
        drop(sessions);
        state.wait_for(|state| *state == SessionState::Lost).await.unwrap();
    }
}

//! A term under way: its gate, the task that serves it or passes it on, and why it ends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use silverback_election::{Event, Report};
use tokio::task::JoinHandle;
use tracing::{error, info};

use super::courtesy::Successor;
use super::duty::{Duty, Served};
use crate::capability::{Ending, Gate};

/// How long a term's beginning waits for word of those that stand behind its host. A host that can't be seen is no reason
/// not to lead.
const HEIR_PATIENCE: Duration = Duration::from_secs(1);

/// Ends its gate when dropped.
pub(super) struct Term {
    pub gate: Arc<Gate>,
    /// On the boot clock.
    pub granted_at: Duration,
    serving: JoinHandle<Past>,
}

impl Drop for Term {
    fn drop(&mut self) {
        self.gate.end();
    }
}

/// A term that is over.
pub(super) struct Past {
    pub served: Served,
    /// The host that it was passed on to before it began.
    pub passed_to: Option<String>,
}

/// What it takes to pass a term on before it begins.
pub(super) struct Passing {
    pub successor: Successor,
    /// The queue in which this host found itself first.
    pub queue: Vec<String>,
}

impl Term {
    /// Serves a term, from a task of its own.
    pub(super) fn begin(duty: Arc<dyn Duty>, gate: Arc<Gate>, granted_at: Duration, passing: Option<Passing>) -> Self {
        let serving = tokio::spawn(serve(duty, gate.clone(), passing));
        Term { gate, granted_at, serving }
    }

    /// Waits until it is over.
    pub(super) async fn past(&mut self) -> Past {
        match (&mut self.serving).await {
            Ok(past) => past,
            // Only with its runtime, at the end of the process.
            Err(error) => {
                error!(%error, "a duty ended early");
                Past { served: Served::with(Report::Failed), passed_to: None }
            }
        }
    }
}

/// Serves a term to its end, which is when nothing executes under its gate any more: also after a duty that panicked, or
/// returned without waiting for what it had started.
async fn serve(duty: Arc<dyn Duty>, gate: Arc<Gate>, passing: Option<Passing>) -> Past {
    let course = match passing {
        Some(passing) => course(&gate, passing).await,
        None => Course::Begins,
    };
    let serving = async {
        match &course {
            Course::Begins => return duty.serve(gate.clone()).await,
            Course::PassedTo(heir) => {
                info!(token = gate.token(), heir, "a term is passed on before it begins");
                gate.because(Ending::Preferred);
            }
            Course::Ended => {}
        }
        duty.not_begun(&gate).await;
        Served::with(Report::Stopped)
    };
    let served = AssertUnwindSafe(serving).catch_unwind().await;
    gate.end();
    gate.vacated().await;
    let served = served.unwrap_or_else(|_| {
        error!(token = gate.token(), "a duty panicked");
        Served::with(Report::Failed)
    });
    let passed_to = match course {
        Course::PassedTo(heir) => Some(heir),
        Course::Begins | Course::Ended => None,
    };
    Past { served, passed_to }
}

/// What becomes of a term that was granted.
enum Course {
    Begins,
    /// To this host.
    PassedTo(String),
    /// It was to end before it was known whether it begins.
    Ended,
}

async fn course(gate: &Gate, Passing { successor, queue }: Passing) -> Course {
    let mut asked = gate.stop_asked();
    let heir = tokio::select! {
        biased;
        _ = asked.wait_for(|asked| *asked) => return Course::Ended,
        heir = tokio::time::timeout(HEIR_PATIENCE, successor.at_once(queue)) => heir.ok().flatten(),
    };
    match heir {
        _ if gate.is_over() => Course::Ended,
        Some(heir) => Course::PassedTo(heir),
        None => Course::Begins,
    }
}

/// Why a guest is stopped, if it is upon this event.
pub(super) fn ending(event: &Event) -> Option<Ending> {
    match event {
        Event::Resign => Some(Ending::Resigned),
        Event::Leave => Some(Ending::Left),
        Event::Verified(_) => Some(Ending::Evicted),
        Event::LeaseOver => Some(Ending::LeaseOver),
        Event::SessionLost => Some(Ending::SessionLost),
        Event::Stand { .. }
        | Event::Created(_)
        | Event::CreateUnknown
        | Event::CreateRefused
        | Event::Looked(_)
        | Event::Listed { .. }
        | Event::Unvouched
        | Event::WatchFired
        | Event::Deleted
        | Event::DeleteUnknown
        | Event::Disconnected
        | Event::Connected
        | Event::GuestStopped(_) => None,
    }
}

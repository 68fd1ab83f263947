//! A term under way: its gate, the task that serves it or passes it on, and why it ends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use silverback_election::{Event, Report};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::courtesy::Successor;
use super::duty::{Duty, Served};
use super::timeline::Timeline;
use crate::capability::{Ending, Gate};

/// How long a term's beginning waits for word of those that stand behind its host. A host that can't be seen is no reason
/// not to lead.
const HEIR_PATIENCE: Duration = Duration::from_secs(1);

/// How long a term's beginning waits for its token to be kept. Beyond it the disk is full or stuck: another host may lead.
const KEEP_PATIENCE: Duration = Duration::from_secs(2);

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
    pub(super) fn begin(
        duty: Arc<dyn Duty>,
        gate: Arc<Gate>,
        granted_at: Duration,
        passing: Option<Passing>,
        timeline: Arc<Timeline>,
    ) -> Self {
        let serving = tokio::spawn(serve(duty, gate.clone(), passing, timeline));
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
async fn serve(duty: Arc<dyn Duty>, gate: Arc<Gate>, passing: Option<Passing>, timeline: Arc<Timeline>) -> Past {
    let course = match passing {
        Some(passing) => course(&gate, passing).await,
        None => Course::Begins,
    };
    let course = match course {
        Course::Begins if !is_kept(&gate, &timeline).await => Course::Unkept,
        course => course,
    };
    let mut report = Report::Stopped;
    let serving = async {
        match &course {
            Course::Begins => return duty.serve(gate.clone()).await,
            Course::PassedTo(heir) => {
                info!(token = gate.token(), heir, "a term is passed on before it begins");
                gate.because(Ending::Preferred);
            }
            Course::Unkept => {
                let why = timeline.follow_unkept().borrow().clone().unwrap_or_default();
                warn!(contender = gate.contender(), token = gate.token(), why, "a term does not begin");
                gate.because(Ending::Unkept);
                report = Report::Failed;
            }
            Course::Ended => {}
        }
        duty.not_begun(&gate).await;
        Served::with(report)
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
        Course::Begins | Course::Unkept | Course::Ended => None,
    };
    Past { served, passed_to }
}

/// What becomes of a term that was granted.
enum Course {
    Begins,
    /// To this host.
    PassedTo(String),
    /// Its token can't be kept.
    Unkept,
    /// It was to end before it was known whether it begins.
    Ended,
}

/// Waits until the term's token is on this host's disk. A contender's token is the position of its creation, and every heartbeat
/// since then has kept a higher one: it waits only if the contender has just been created. False if it takes too long.
async fn is_kept(gate: &Gate, timeline: &Timeline) -> bool {
    timeline.observe_token(gate.token());
    let kept = tokio::time::timeout(KEEP_PATIENCE, timeline.kept(gate.token())).await.is_ok();
    if !kept && timeline.follow_unkept().borrow().is_none() {
        timeline.cannot_keep(&format_args!("it takes longer than {} ms", KEEP_PATIENCE.as_millis()));
    }
    kept
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
        | Event::ListRefused
        | Event::WatchFired
        | Event::Deleted
        | Event::DeleteUnknown
        | Event::Disconnected
        | Event::Connected
        | Event::GuestStopped(_) => None,
    }
}

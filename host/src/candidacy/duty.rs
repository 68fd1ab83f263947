//! What a term is for.

use std::sync::Arc;

use async_trait::async_trait;
use silverback_election::Report;
use tokio::sync::oneshot;

use crate::capability::Gate;
use crate::coordinator::Op;

/// What is done while this host leads an election: run a leader job, or keep a group's schedule.
#[async_trait]
pub trait Duty: Send + Sync + 'static {
    /// Called once for each term, with its gate. Returns when the duty is done; soon after [`Gate::stop_asked`] it should, and
    /// after [`Gate::end`] it must. When it has returned, nothing that it started executes any more: the contender is
    /// deleted next, and another host may lead at once.
    async fn serve(&self, gate: Arc<Gate>) -> Served;

    /// Called instead of [`Duty::serve`] for a term that ends before it begins, such as one that is passed on to a preferred
    /// host: leaves word of it where word of terms is kept, and starts nothing. [`Gate::ending`] says why.
    async fn not_begun(&self, _gate: &Gate) {}
}

/// How a term was served.
#[derive(Debug)]
pub struct Served {
    /// For the election: back off or not.
    pub report: Report,
    /// Writes to be done in one multi with the release, such as the term's outcome: a handover then takes one round trip, and
    /// either both are done or neither. They are dropped where they can't be done.
    pub last_words: Vec<Op>,
    /// Dropped when the release is done, or is not to be: what has time until then waits for that, and doesn't take
    /// processor and disk from a handover.
    pub released: Option<oneshot::Sender<()>>,
}

impl Served {
    /// Nothing left to write, and nothing that waits for the release.
    pub fn with(report: Report) -> Self {
        Served { report, last_words: Vec::new(), released: None }
    }
}

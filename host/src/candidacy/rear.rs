//! Reads who stands behind a leader in the queue, for whoever looks for a host to make way for.
//!
//! A contender's value is read when it is first seen; while nobody comes or goes, a term costs one watch on the election's
//! path.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use silverback_election::in_order;

use super::preference::Behind;
use super::queue;
use crate::clock::Clock;
use crate::coordinator::{Error, Session, Watch};

/// How often is looked for what can't be watched: the queue where the session watches all that it may already, and hosts
/// of the cluster that may come back into sight. Also between two tries of what is refused.
pub(super) const POLL: Duration = Duration::from_secs(10);
/// The shortest time between two looks: whoever sees many come at once reads the queue once for all of them.
pub(super) const LOOK_GAP: Duration = Duration::from_millis(200);

/// The part of an election's queue that is behind our contender.
#[derive(Clone)]
pub(super) struct Rear {
    pub session: Arc<dyn Session>,
    pub clock: Arc<dyn Clock>,
    pub election: String,
    /// Our contender's name.
    pub me: String,
}

impl Rear {
    /// Brings `behind` up to date, those of the look before. Gives a watch on the queue; None where the session watches all
    /// that it may.
    pub(super) async fn look(&self, behind: &mut Vec<Behind>) -> Result<Option<Watch>, Error> {
        let (children, watch) = match self.session.list_and_watch(&self.election).await {
            Ok((children, watch)) => (children, Some(watch)),
            Err(Error::TooManyWatches { .. }) => (self.session.list(&self.election).await?, None),
            Err(error) => return Err(error),
        };
        *behind = self.read(&children, behind).await?;
        Ok(watch)
    }

    /// Those behind this host, in order. Who is `known` is not read again.
    pub(super) async fn read(&self, children: &[String], known: &[Behind]) -> Result<Vec<Behind>, Error> {
        let queue = in_order(children);
        let behind = queue.iter().skip_while(|contender| contender.name() != self.me).skip(1);
        let now = self.clock.boot();
        let reads = behind.map(|contender| async move {
            if let Some(known) = known.iter().find(|one| one.znode == contender.name()) {
                return Ok(Some(known.clone()));
            }
            let entry = queue::read(self.session.as_ref(), &self.election, contender).await?;
            Ok(entry.map(|entry| Behind { znode: entry.znode, identifier: entry.identifier, since: now }))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }
}

pub(super) async fn fired(watch: Option<Watch>) {
    match watch {
        Some(mut watch) => watch.changed().await,
        None => pending().await,
    }
}

pub(super) async fn passed(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => pending().await,
    }
}

//! Writes this host's mark in the tree, and compares it with what was there before: see `candidacy`'s timeline.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::timeline::{PATIENCE, TimelineKeeper};
use crate::candidacy::{Edition, Floor};
use crate::coordinator::{CreateMode, Error, MultiError, Op, Session, Sessions, Stat, ensure_path, repeat, settled};

impl TimelineKeeper {
    /// Writes this host's mark, and tells the timeline what that proves; nothing if this host leads nothing here already, because
    /// of what it has seen.
    ///
    /// # Errors
    /// What the coordinator says, but for [`Error::OutcomeUnknown`].
    pub(super) async fn mark(&self, session: &dyn Session) -> Result<(), Error> {
        let path = self.layout.mark(&self.host);
        while let Some(floor) = self.timeline.floor() {
            match session.set(&path, b"", None).await {
                Ok(stat) => {
                    let directory = if floor.knows(&stat) { None } else { self.directory_of_marks(session).await? };
                    self.timeline.marked(&floor, &stat, directory.as_ref().map(Edition::of));
                    return Ok(());
                }
                Err(Error::NoNode { .. }) => self.make_mark(session, &floor).await?,
                Err(error) if error.is_unknown() => settled(session).await,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes this host's mark if the ensemble was not restored, with a change of the directory: so the directory's version tells a
    /// mark that somebody deleted from one that was not made yet.
    async fn make_mark(&self, session: &dyn Session, floor: &Floor) -> Result<(), Error> {
        let (directory, path) = (self.layout.marks(), self.layout.mark(&self.host));
        let Some(stat) = self.directory_of_marks(session).await? else {
            return repeat(session, || ensure_path(session, &directory)).await;
        };
        if self.timeline.is_taken_back_without_mark(floor, Some(Edition::of(&stat))) {
            return Ok(());
        }
        let set = Op::Set { path: directory, data: Vec::new(), version: None };
        let create = Op::Create { path: path.clone(), data: Vec::new(), mode: CreateMode::Persistent };
        match session.multi(vec![set, create]).await.map_err(MultiError::into_error) {
            Ok(_) if floor.has_mark() => warn!(node = path, "somebody deleted this host's mark; it is made again"),
            Ok(_) => {}
            // Another session of this host was first, or the directory is gone.
            Err(Error::NodeExists { .. } | Error::NoNode { .. }) => {}
            Err(error) if error.is_unknown() => settled(session).await,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn directory_of_marks(&self, session: &dyn Session) -> Result<Option<Stat>, Error> {
        let directory = self.layout.marks();
        repeat(session, || async {
            session.sync(&directory).await?;
            session.stat(&directory).await
        })
        .await
    }

    /// Writes the mark every `pause` for as long as the host runs. One at a time: while a connection is broken, one waits for it,
    /// so that an ensemble that was restored meanwhile is seen with the first answers.
    pub(super) async fn keep_marking(self, sessions: Sessions, pause: Duration) {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            ticks.tick().await;
            let Ok(session) = sessions.get(PATIENCE).await else { continue };
            match self.mark(session.as_ref()).await {
                Ok(()) => told = None,
                Err(Error::Lost) => {}
                // Said once, not with each try.
                Err(error) if told.as_ref() == Some(&error) => {}
                Err(error) => {
                    let node = self.layout.mark(&self.host);
                    warn!(node, %error, "this host's mark can't be written: it may not see that the ensemble is restored");
                    told = Some(error);
                }
            }
        }
    }
}

//! What keeps a job from going on, as it is told to its tenant: each problem for as long as its cause lasts.

use jiff::Timestamp;
use tracing::warn;

use super::Keeper;
use crate::registry::{About, Raised};
use crate::runtime::ComponentError;
use crate::scheduler::change::Setback;
use crate::scheduler::desk::Desk;
use crate::scheduler::plan::{Ahead, ahead};

/// Each until it is over.
#[derive(Default)]
pub(super) struct KeeperProblems {
    /// Its run state can't be read or written.
    setback: Option<Raised>,
    /// Its component can't be had.
    pub(super) component: Option<Raised>,
    /// It waits for a time that is yet to come.
    ahead: Option<Raised>,
}

impl Keeper {
    fn about(&self) -> About {
        About::Job(self.id().clone())
    }

    /// Its component can't be had.
    pub(super) fn component_fails(&mut self, error: &ComponentError, desk: &Desk) {
        let (about, text) = (self.about(), format!("its component can't run: {error}"));
        if desk.scheduling.problems.set(&mut self.problems.component, about, desk.now(), &text) {
            warn!(job = %self.id(), %error, "a job's component can't run");
        }
    }

    /// Its run state can't be read or written, and that doesn't pass with the next try.
    pub(super) fn set_back(&mut self, setback: &Setback, desk: &Desk) {
        let (about, text) = (self.about(), format!("its schedule can't be kept: {setback}"));
        if desk.scheduling.problems.set(&mut self.problems.setback, about, desk.now(), &text) {
            warn!(job = %self.id(), %setback, "a schedule can't be kept, trying again");
        }
    }

    /// Something was written, or all that is to be written is; or something was read where that had failed. That something could be
    /// read is not enough where a write was refused: each try of that reads first.
    pub(super) fn setback_over(&mut self) {
        self.setbacks = 0;
        self.problems.setback = None;
    }

    /// Tells whether the job waits for a time only because the clock of a host was ahead. Returns that time.
    pub(super) fn look_ahead(&mut self, desk: &Desk) -> Option<Timestamp> {
        let now = desk.now();
        let Some(ahead) = ahead(&self.state, &self.rules(), now) else {
            self.problems.ahead = None;
            return None;
        };
        let (id, about) = (self.id(), self.about());
        let text = match ahead {
            Ahead::Cursor(cursor) => format!(
                "its ticks until {cursor} count as decided, because the clock of a host was ahead: none runs before that; \
                 `silverback set-cursor {id}` lets it tick from now on"
            ),
            Ahead::Paused(at) => format!(
                "it paused itself at {at}, because the clock of a host was ahead: it can't be resumed before that; \
                 `silverback set-cursor {id}` lets it go on from now on"
            ),
            Ahead::Retry(until) => format!(
                "its next attempt waits until {until}, because the clock of a host was ahead; `silverback set-cursor {id}` lets \
                 it begin now, and the job tick from now on"
            ),
        };
        if desk.scheduling.problems.set(&mut self.problems.ahead, about, now, &text) {
            warn!(
                job = %self.id(),
                until = %ahead.until(),
                problem = text,
                "a job waits for a time that is yet to come, because the clock of a host was ahead"
            );
        }
        Some(ahead.until())
    }
}

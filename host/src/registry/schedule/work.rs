//! How much work finding a tick may be. It is counted in steps and not in time, so that it is a function of the schedule and the
//! instant: every host comes to the same end, and a schedule that one of them accepts no other refuses.
//!
//! A step is about as much as asking one cron schedule for its days of one month: some nanoseconds. What takes longer counts as
//! several.

/// The most steps of one search for a tick: about a millisecond. A schedule whose search could take more is refused when it is
/// parsed.
pub(super) const SEARCH_STEPS: u32 = 90_000;
/// How many of them a search may take for intervals; the rest is for cron schedules, which never take more than that: there are no
/// more than 64 of them and of exclusions, and no more than some hundred months that are looked at in vain.
pub(super) const INTERVAL_STEPS: u32 = 25_000;
/// The most steps of parsing a schedule, with the proof that its searches stay below [`SEARCH_STEPS`].
pub(super) const PARSE_STEPS: u32 = 1 << 19;
/// Looking up a change of the clock in a zone.
pub(super) const CHANGE_STEPS: u32 = 16;
/// Turning an instant into local time and back.
pub(super) const CONVERSION_STEPS: u32 = 16;

/// A search was given up: it would have taken more steps than it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// The steps that are left.
#[derive(Debug)]
pub(super) struct Work {
    left: u32,
}

impl Work {
    /// Returns a budget of so many steps.
    pub(super) fn up_to(steps: u32) -> Self {
        Work { left: steps }
    }

    /// Takes steps out of the budget.
    ///
    /// # Errors
    /// [`TooMuch`] if fewer are left; then none is left afterwards.
    pub(super) fn spend(&mut self, steps: u32) -> Result<(), TooMuch> {
        let left = self.left.checked_sub(steps);
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or(TooMuch)
    }

    /// Returns how many steps are left.
    pub(super) fn left(&self) -> u32 {
        self.left
    }
}

/// Returns the steps of looking at so many things that take a few instructions each, such as testing a bit.
pub(super) fn few(things: usize) -> u32 {
    u32::try_from(things / 16 + 1).unwrap_or(u32::MAX)
}

/// Returns the steps of looking at so many things that take a step each.
pub(super) fn each(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}

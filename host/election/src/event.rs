//! What a machine is told, and what it says to do.

/// What follows when a leader function returns while its host still leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReturn {
    /// Stand again, at the end of the queue.
    Requeue,
    /// Stand no more.
    Stop,
}

/// How a guest is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is asked, and has the grace period to return.
    Ask,
    /// It is trapped at its next instruction.
    Now,
}

/// How a guest's function ended, as far as the election cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It did what it was there for.
    Done,
    /// It failed: back off before the next term.
    Failed,
    /// It was stopped.
    Stopped,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Stand, with a contender of this prefix. Also the end of a rest.
    Stand {
        /// From [`crate::lock_prefix`] or [`crate::curator_prefix`], new each time.
        prefix: String,
    },
    /// Answer to [`Action::Create`]: the child's name.
    Created(String),
    /// Answer to [`Action::Create`]: it may or may not have been done.
    CreateUnknown,
    /// Answer to [`Action::Create`]: it was refused, and nothing was made.
    CreateRefused,
    /// Answer to [`Action::Look`]: the children of the election's path.
    Looked(Vec<String>),
    /// Answer to [`Action::List`].
    Listed {
        /// The children of the election's path.
        children: Vec<String>,
        /// Our contender's owner and czxid; None where it does not exist.
        own: Option<(i64, i64)>,
    },
    /// No answer to [`Action::List`]: the session lives, and for as long as its timeout the lease did not vouch for it. On a slow
    /// connection it may never do, and nobody behind us could lead.
    Unvouched,
    /// Answer to [`Action::List`]: the ensemble does not let us see the queue. Who stands in it all the same would lead without
    /// knowing it, and nobody behind could lead.
    ListRefused,
    /// Answer to [`Action::Watch`]: the child changed, or is gone.
    WatchFired,
    /// Answer to [`Action::Verify`]: our contender's owner and czxid; None where it does not exist.
    Verified(Option<(i64, i64)>),
    /// Answer to [`Action::Delete`]: it is gone, by us or otherwise.
    Deleted,
    /// Answer to [`Action::Delete`]: it may or may not have been done.
    DeleteUnknown,
    /// The connection to the ensemble broke; the session may live on.
    Disconnected,
    /// The connection is back, with the same session.
    Connected,
    /// The lease is over: the ensemble may soon let another lead.
    LeaseOver,
    /// The operator wants another to lead: give up the term and stand again.
    Resign,
    /// Stand no more: the host drains, or the job is gone.
    Leave,
    /// The guest has stopped and executes nothing any more.
    GuestStopped(Report),
    /// The session is over. Terminal.
    SessionLost,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create an ephemeral sequential node of this name up to the number. A write.
    Create {
        /// The name up to the number.
        prefix: String,
    },
    /// Catch up with the ensemble (`sync`), then list the children of the election's path: a create's outcome is not known.
    Look,
    /// List the children of the election's path, and with it read the owner and czxid of this child, our own: whoever is
    /// first leads at once. Both once the lease vouches for the session.
    List {
        /// The child's name.
        name: String,
    },
    /// Watch this child: the one ahead, or our own while we lead. It counts as changed if it is gone already.
    Watch {
        /// The child's name.
        name: String,
    },
    /// Read the owner and czxid of our own contender again, after a reconnect or when it changed, once the lease vouches for
    /// the session.
    Verify {
        /// The child's name.
        name: String,
    },
    /// Open the gate and start the guest. Its end comes as [`Event::GuestStopped`].
    Grant {
        /// Our contender's name.
        name: String,
        /// The fencing token.
        token: i64,
    },
    /// Hold the guest's effects back.
    CloseGate,
    /// Let them pass again.
    OpenGate,
    /// Stop the guest.
    StopGuest(How),
    /// Delete this child. A write.
    Delete {
        /// The child's name.
        name: String,
    },
    /// Wait, then [`Event::Stand`] with a new prefix.
    Rest {
        /// How many terms in a row have failed; 0 after one that did not.
        failures: u32,
    },
    /// Nothing more will come. The contender is gone, or goes with its session.
    Finish,
}

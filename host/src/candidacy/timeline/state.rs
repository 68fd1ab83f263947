//! Whether a host may lead, as far as its cluster's timeline goes.

/// Whether this host may lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimelineState {
    /// Not known yet: nothing was heard of this session.
    Unknown,
    /// It may.
    Current,
    /// The ensemble was restored from an older state than this host has seen.
    Behind {
        /// The highest position that was seen.
        seen: i64,
        /// By what it was found so.
        found: Evidence,
    },
    /// Another host has found the ensemble behind.
    Held {
        /// That host.
        host: String,
        /// The highest position that it has seen.
        seen: i64,
    },
    /// This is another cluster than the one that this host's folder belongs to.
    Foreign {
        /// The id of the folder's cluster.
        ours: String,
        /// The id of this one.
        theirs: String,
    },
}

/// What proves that the ensemble was restored from an older state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It is at this position.
    Position(i64),
    /// The node that this host marks has a lower version than it has seen.
    Mark {
        /// The highest version that was seen.
        seen: i32,
        /// The node's.
        now: i32,
    },
    /// It is from before this host first marked its node.
    NoMark,
}

impl Evidence {
    fn in_words(&self, seen: i64) -> String {
        match self {
            Evidence::Position(now) => format!("at position {now}, and this host has seen {seen}"),
            Evidence::Mark { seen, now } => format!("where this host's mark has version {now}, and it has seen {seen}"),
            Evidence::NoMark => "from before this host came to the cluster".to_owned(),
        }
    }
}

impl TimelineState {
    /// Returns why nothing is led, for people, with what to do about it; None if this host may lead, or doesn't know yet.
    pub fn problem(&self) -> Option<String> {
        let remedy = "`silverback cluster resume-after-restore` lets it go on";
        match self {
            TimelineState::Unknown | TimelineState::Current => None,
            TimelineState::Behind { seen, found } => Some(format!(
                "nothing is led: the ensemble was restored from an older state, {}; {remedy}",
                found.in_words(*seen)
            )),
            TimelineState::Held { host, seen } => Some(format!(
                "nothing is led: the ensemble was restored from an older state, and host `{host}` has seen position {seen}; \
                 {remedy}"
            )),
            TimelineState::Foreign { ours, theirs } => Some(format!(
                "nothing is led here: the data folder of this host belongs to cluster `{ours}`, and this is cluster `{theirs}`; \
                 give it a folder of its own, or, if this cluster takes the other's place, {remedy}"
            )),
        }
    }
}

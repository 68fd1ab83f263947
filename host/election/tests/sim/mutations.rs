//! Deliberate faults, each of which an invariant must catch: in the machine (here, around it), in the lease (`setting`,
//! `session`) or in the driver and the gate (`driver`, `term`).

use silverback_election::{Action, Contender, Election, Event, How, OnReturn, State};

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// The lease counts from the newest heartbeat's acknowledgement.
    LeaseFromAcknowledgement,
    /// The newest acknowledged heartbeat vouches, though its touch may still wait at the follower.
    NewestHeartbeatVouches,
    /// A heartbeat vouches with one that was sent a tick later, though it may itself have arrived only just before that one.
    VouchedBySendTimes,
    /// The clock is taken to be right.
    DriftIgnored,
    /// The guest is told to stop when it must have stopped.
    StopBudgetIgnored,
    /// A follower's answer to a session's ping counts as a heartbeat.
    PingsProve,
    /// CURATOR-460: the time to stop counts from the moment the loss of the connection is noticed.
    LeaseFromDisconnect,
    /// Nobody looks at the lease's end.
    LeaseOverIgnored,
    /// The gate stays open while the connection is down.
    GateLeftOpen,
    /// The gate is opened with the connection, before the contender was read again.
    GateOpenedUnseen,
    /// The contender is deleted together with the request to stop.
    DeleteBeforeStop,
    /// CURATOR-696: a contender of an earlier session is believed. The prefix is the host's, made once.
    OwnerNotChecked,
    /// kazoo#730: the digits are compared as text.
    OrderedAsText,
    /// A create whose reply was lost counts as not done.
    BlindRecreate,
    /// The queue is looked at without catching up first.
    LookWithoutSync,
    /// A delete whose reply was lost counts as done.
    DeleteNotRepeated,
    /// A delete is repeated before its answer is known.
    DeleteRepeatedEarly,
    /// kazoo#170: a waiting candidate takes no notice of a reconnect.
    ReconnectNotReevaluated,
    /// A guest that was asked to stop is not stopped when its contender goes.
    StoppingUnwatched,
    /// A guest's write is sent without the check of its contender.
    WriteUnchecked,
    /// The token is the contender's number.
    TokenFromNumber,
    /// CURATOR-367: the loss of the session is taken for an old story.
    SessionLossIgnored,
    /// The machine is done with its session, whether or not its guest is.
    EndsBeforeItsGuest,
    /// The machine goes on after its end.
    GoesOnAfterTheEnd,
}

/// The machine, right or not.
pub(crate) struct Mutant {
    machine: Election,
    session: i64,
    mutation: Option<Mutation>,
}

impl Mutant {
    pub(crate) fn new(session: i64, on_return: OnReturn, mutation: Option<Mutation>) -> Self {
        Mutant { machine: Election::new(session, on_return), session, mutation }
    }

    pub(crate) fn state(&self) -> &State {
        self.machine.state()
    }

    pub(crate) fn step(&mut self, event: Event) -> Vec<Action> {
        let Some(mutation) = self.mutation else { return self.machine.step(event) };
        let Some(event) = self.wrong_event(mutation, event) else { return Vec::new() };
        let actions = self.machine.step(event);
        self.wrong_actions(mutation, actions)
    }

    fn wrong_event(&mut self, mutation: Mutation, event: Event) -> Option<Event> {
        match (mutation, event) {
            (Mutation::BlindRecreate, Event::CreateUnknown) => Some(Event::CreateRefused),
            (Mutation::DeleteNotRepeated, Event::DeleteUnknown) => Some(Event::Deleted),
            (Mutation::ReconnectNotReevaluated, Event::Connected) => {
                (!matches!(self.state(), State::Waiting { .. })).then_some(Event::Connected)
            }
            (Mutation::StoppingUnwatched, Event::WatchFired) => {
                (!matches!(self.state(), State::Stopping { .. })).then_some(Event::WatchFired)
            }
            (Mutation::OwnerNotChecked, Event::Listed { children, own }) => {
                Some(Event::Listed { children, own: own.map(|(_, czxid)| (self.session, czxid)) })
            }
            (Mutation::OwnerNotChecked, Event::Verified(own)) => {
                Some(Event::Verified(own.map(|(_, czxid)| (self.session, czxid))))
            }
            (Mutation::OrderedAsText, Event::Listed { children, own }) => {
                Some(Event::Listed { children: self.not_after_me_as_text(children), own })
            }
            (Mutation::SessionLossIgnored, Event::SessionLost) => None,
            (Mutation::GoesOnAfterTheEnd, _) if *self.state() == State::Gone => {
                self.machine = Election::new(self.session, OnReturn::Requeue);
                Some(Event::Stand { prefix: silverback_election::lock_prefix("again") })
            }
            (_, event) => Some(event),
        }
    }

    fn not_after_me_as_text(&self, mut children: Vec<String>) -> Vec<String> {
        let State::Listing { me } = self.state() else { return children };
        let digits = |contender: &Contender| format!("{:010}", contender.number());
        children.retain(|name| Contender::parse(name).is_some_and(|other| digits(&other) <= digits(me)));
        children
    }

    fn wrong_actions(&mut self, mutation: Mutation, mut actions: Vec<Action>) -> Vec<Action> {
        match mutation {
            Mutation::DeleteBeforeStop if actions.contains(&Action::StopGuest(How::Ask)) => {
                if let State::Stopping { me: Some(me), .. } = self.state() {
                    let name = me.name().to_owned();
                    actions.push(Action::Delete { name });
                }
                actions
            }
            Mutation::EndsBeforeItsGuest if *self.state() == State::Dying => {
                actions.push(Action::Finish);
                actions
            }
            Mutation::TokenFromNumber => actions.into_iter().map(number_for_token).collect(),
            _ => actions,
        }
    }
}

fn number_for_token(action: Action) -> Action {
    match action {
        Action::Grant { name, .. } => {
            let number = Contender::parse(&name).map_or(0, |me| me.number());
            Action::Grant { name, token: i64::from(number) }
        }
        other => other,
    }
}

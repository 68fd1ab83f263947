//! Whom a candidate makes way for: kept from term to term, asked at the beginning of each.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use silverback_election::Event;

use super::hand_back::HandBack;
use super::heirs::Heirs;
use super::preference::{Preference, Trust};
use super::rear::Rear;
use super::seats::Seat;
use super::term::Passing;
use crate::capability::Gate;

/// Which hosts should lead rather than this one.
#[derive(Clone, Debug)]
pub enum MakesWay {
    /// None: whoever leads leads for as long as it can.
    ForNobody,
    /// Those that a leader job prefers: its component is stopped for them.
    ForPreferred(Preference),
    /// The one that the placement has as the first of a group: nothing is stopped for it, the duty is asked to return.
    ForFirst(Seat),
}

/// Who may get a term before it begins.
#[derive(Clone)]
pub(super) enum Successor {
    Preferred(Heirs),
    First(HandBack),
}

impl Successor {
    /// Whom to pass the term on to, among those that stood in the `queue` in which this host was first.
    pub(super) async fn at_once(self, queue: Vec<String>) -> Option<String> {
        match self {
            Successor::Preferred(heirs) => heirs.at_once(queue).await,
            Successor::First(hand_back) => hand_back.at_once(queue).await,
        }
    }
}

/// What a candidate knows of it.
pub(super) struct Courtesy {
    makes_way: MakesWay,
    trust: Trust,
    /// The queue as it was last listed; kept where there is somebody to make way for.
    queue: Vec<String>,
    /// The heir that this term is given up for.
    way_for: Option<String>,
}

/// What one term does about it.
pub(super) struct Manners {
    /// Before it begins.
    pub passing: Passing,
    /// While it lasts: returns whom to resign for, where there is somebody.
    pub heir: BoxFuture<'static, String>,
}

impl Courtesy {
    pub(super) fn new(makes_way: MakesWay) -> Self {
        Courtesy { makes_way, trust: Trust::default(), queue: Vec::new(), way_for: None }
    }

    pub(super) fn note(&mut self, event: &Event) {
        match (&self.makes_way, event) {
            (MakesWay::ForPreferred(_) | MakesWay::ForFirst(_), Event::Listed { children, .. }) => {
                self.queue.clone_from(children);
            }
            (MakesWay::ForNobody | MakesWay::ForPreferred(_) | MakesWay::ForFirst(_), _) => {}
        }
    }

    /// For the term of this gate, which was granted `now`; None where this host makes way for nobody.
    pub(super) fn of_term(&mut self, rear: Rear, gate: &Arc<Gate>, now: Duration) -> Option<Manners> {
        let queue = std::mem::take(&mut self.queue);
        match &self.makes_way {
            MakesWay::ForNobody => None,
            MakesWay::ForPreferred(preference) => {
                self.trust.leads_again(now, preference.after);
                let heirs = Heirs { rear, preference: preference.clone(), trust: self.trust.clone() };
                let passing = Passing { successor: Successor::Preferred(heirs.clone()), queue };
                Some(Manners { passing, heir: heirs.in_time().boxed() })
            }
            MakesWay::ForFirst(seat) => {
                self.trust.leads_again(now, seat.hold);
                let (seat, trust) = (seat.clone(), self.trust.clone());
                let hand_back = HandBack { rear, seat, trust, token: gate.token(), granted_at: now };
                let passing = Passing { successor: Successor::First(hand_back.clone()), queue };
                Some(Manners { passing, heir: hand_back.ask(gate.clone()).boxed() })
            }
        }
    }

    /// The term is being given up for this host.
    pub(super) fn gives_up_for(&mut self, heir: String) {
        self.way_for = Some(heir);
    }

    /// The term of this gate is over, `now`; the host that it was passed on to before it began, if so.
    pub(super) fn served(&mut self, gate: &Gate, passed_to: Option<String>, now: Duration) {
        if let Some(heir) = self.way_for.take().or(passed_to).or_else(|| self.made_way_for(gate)) {
            self.trust.made_way(heir, now);
        }
    }

    /// Whose way the duty was asked to make when it returned.
    fn made_way_for(&self, gate: &Gate) -> Option<String> {
        match &self.makes_way {
            MakesWay::ForFirst(seat) if *gate.way_asked().borrow() => {
                seat.seats.borrow().first_but(&seat.host, seat.group).map(str::to_owned)
            }
            MakesWay::ForFirst(_) | MakesWay::ForPreferred(_) | MakesWay::ForNobody => None,
        }
    }
}

//! Leaders of groups that make way for the host that should lead.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::*;
use crate::candidacy::{LiveHosts, Placement, Seat, Seats};

/// How long a term is held. Some tests wait for it.
const HOLD: Duration = Duration::from_millis(300);
const GROUPS: u32 = 256;

/// The hosts a, b and c, who all look at the same seats of one group.
struct Troop {
    place: Place,
    group: u32,
    seats: watch::Sender<Arc<Seats>>,
}

struct Stander {
    candidate: Candidate,
    ear: Ear,
    host: Host,
}

impl Troop {
    /// Of a group that `a` should lead.
    async fn new() -> Self {
        let place = Place::new(CALM).await;
        let placement = Placement::of(GROUPS, ["a", "b", "c"]);
        let group = (0..GROUPS).find(|group| placement.first(*group) == Some("a")).unwrap();
        let seats = Seats { placement: Arc::new(placement), ..Seats::default() };
        Troop { place, group, seats: watch::Sender::new(Arc::new(seats)) }
    }

    /// These live, and their nodes are so old.
    fn live(&self, hosts: &[(&str, i64)]) {
        let live: LiveHosts =
            Arc::new(hosts.iter().map(|(host, came)| ((*host).to_owned(), *came)).collect::<BTreeMap<_, _>>());
        self.change(|seats| seats.live = live);
    }

    fn change(&self, change: impl FnOnce(&mut Seats)) {
        self.seats.send_modify(|seats| change(Arc::make_mut(seats)));
    }

    /// Stands at the end of the queue, for a duty that returns by itself when way is asked for.
    async fn stand(&self, name: &'static str) -> Stander {
        self.stand_as(name, Manner::MakesWay).await
    }

    async fn stand_as(&self, name: &'static str, manner: Manner) -> Stander {
        self.stand_on(self.place.host(name).await, manner).await
    }

    async fn stand_on(&self, host: Host, manner: Manner) -> Stander {
        let before = self.place.queue().await.len();
        let (duty, ear) = FakeDuty::new(&self.place, manner);
        let seat = Seat { group: self.group, host: host.name.to_owned(), hold: HOLD, seats: self.seats.subscribe() };
        let candidacy = Candidacy { makes_way: MakesWay::ForFirst(seat), ..host.candidacy() };
        let candidate = Candidate::stand(host.member.clone(), candidacy, duty);
        soon("the contender", async {
            while self.place.queue().await.len() == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Stander { candidate, ear, host }
    }
}

fn now() -> Duration {
    clock::system().boot()
}

async fn asked(gate: &Gate, wanted: bool) {
    let mut way = gate.way_asked();
    soon("the asking", way.wait_for(|asked| *asked == wanted)).await.unwrap();
}

#[tokio::test]
async fn a_host_that_is_back_gets_its_group_after_the_hold_through_who_stands_between() {
    let troop = Troop::new().await;
    troop.live(&[("a", 1), ("b", 1), ("c", 1)]);
    let mut second = troop.stand("b").await;
    let gate = second.ear.started().await;
    let granted = now();
    let mut third = troop.stand("c").await;
    let mut first = troop.stand("a").await;
    tokio::time::sleep(HOLD * 2).await;
    assert!(!*gate.way_asked().borrow(), "it was there before, and nobody has a reason to move");

    troop.live(&[("a", gate.token() + 1), ("b", 1), ("c", 1)]);
    asked(&gate, true).await;
    assert!(now() - granted >= HOLD && gate.ending().is_none(), "it is asked, and not stopped");
    assert!(second.ear.stopped().await, "the contender was gone before the duty had returned");
    assert_eq!(third.ear.not_begun().await, Some(Ending::Preferred));
    let gate = first.ear.started().await;
    soon("all behind it", async {
        while troop.place.queue().await.len() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(gate.leads() && second.ear.heard_nothing() && third.ear.heard_nothing());
}

#[tokio::test]
async fn no_way_is_asked_before_the_hold_has_passed_nor_once_the_heir_is_gone() {
    let troop = Troop::new().await;
    troop.live(&[("a", i64::MAX), ("b", 1)]);
    let earliest = now();
    let mut second = troop.stand_as("b", Manner::Obeys).await;
    let gate = second.ear.started().await;
    let first = troop.stand("a").await;
    asked(&gate, true).await;
    assert!(now() - earliest >= HOLD);
    first.candidate.leave();
    asked(&gate, false).await;
    let _again = troop.stand_on(first.host, Manner::MakesWay).await;
    asked(&gate, true).await;
    troop.live(&[("b", 1)]);
    asked(&gate, false).await;
    assert!(gate.leads() && !*gate.stop_asked().borrow());
}

#[tokio::test]
async fn what_is_led_beyond_ones_part_is_handed_over_too_but_not_past_another_librarys_contender() {
    let troop = Troop::new().await;
    troop.live(&[("a", 1), ("b", 1)]);
    let mut second = troop.stand("b").await;
    let gate = second.ear.started().await;
    let (between, _) = troop.place.foreign("9d3f0c6e5b1a4c1f8e7d6c5b4a392817__lock__").await;
    let mut first = troop.stand("a").await;
    let group = troop.group;
    troop.change(|seats| seats.surplus.extend([group]));
    tokio::time::sleep(HOLD * 3).await;
    assert!(!*gate.way_asked().borrow(), "the kazoo program would lead");
    between.close().await;
    asked(&gate, true).await;
    first.ear.started().await;
}

#[tokio::test]
async fn a_group_that_moves_anyway_goes_to_its_first_at_once() {
    let troop = Troop::new().await;
    troop.live(&[("a", 1), ("b", 1), ("c", 1)]);
    let (leader, _) = troop.place.foreign("9d3f0c6e5b1a4c1f8e7d6c5b4a392817__lock__").await;
    let mut second = troop.stand("b").await;
    let mut first = troop.stand("a").await;
    leader.close().await;
    assert_eq!(second.ear.not_begun().await, Some(Ending::Preferred));
    let gate = first.ear.started().await;
    troop.place.until_queue(&["a", "b"]).await;
    assert!(gate.leads() && !*gate.way_asked().borrow(), "the first makes way for nobody");
}

#[tokio::test]
async fn whoever_withdraws_leaves_the_queue_and_goes_on_leading() {
    let troop = Troop::new().await;
    troop.live(&[("a", 1), ("b", 1)]);
    let mut leader = troop.stand("a").await;
    let gate = leader.ear.started().await;
    let waiting = troop.stand("b").await;
    until(&waiting.candidate, waits).await;
    leader.candidate.withdraw();
    waiting.candidate.withdraw();
    assert_eq!(soon("the end", waiting.candidate.ended()).await, crate::candidacy::Ended::Left);
    troop.place.until_queue(&["a"]).await;
    assert!(gate.leads() && leader.ear.heard_nothing());
}

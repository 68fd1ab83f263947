//! Whose run begins next, on a clock that stands still.

use std::sync::Mutex;

use super::*;
use crate::capability::fakes::FakeClock;
use crate::registry::{Ceilings, Ranges, Signers, TenantSettings, Tenants};
use crate::scheduler::plan::Reason;
use crate::scheduler::turns::{Asked, Ticket, Turn};

const PLAIN: TenantSettings = TenantSettings {
    max_running: None,
    runs_per_minute: None,
    max_waiting: None,
    weight: 1,
    limits: Ceilings::NONE,
    private: Ranges::NONE,
    max_requests: None,
    signers: Signers::NONE,
};

struct Host {
    turns: Turns,
    clock: Arc<FakeClock>,
    /// The turns that were given to those who waited, in order.
    given: Arc<Mutex<Vec<(String, Turn)>>>,
}

fn host(runs: u32, tenants: &[(&str, TenantSettings)]) -> Host {
    let tenants: BTreeMap<_, _> =
        tenants.iter().map(|(tenant, settings)| ((*tenant).to_owned(), settings.clone())).collect();
    let tenants: Tenants = Arc::new(tenants);
    let clock = FakeClock::new();
    let turns = Turns::new(runs, watch::channel(tenants).1, clock.clone(), Handle::current());
    Host { turns, clock, given: Arc::default() }
}

impl Host {
    fn ask(&self, tenant: &str) -> Asked {
        let (given, name) = (self.given.clone(), tenant.to_owned());
        self.turns.ask(tenant, move |turn| given.lock().unwrap().push((name, turn)))
    }

    #[track_caller]
    fn gets(&self, tenant: &str) -> Turn {
        match self.ask(tenant) {
            Asked::Given(mut turn) => {
                turn.used();
                turn
            }
            Asked::Waiting(_) => panic!("{tenant} has to wait"),
            Asked::Refused(reason) => panic!("{tenant} is refused: {reason}"),
        }
    }

    #[track_caller]
    fn waits(&self, tenant: &str) -> Ticket {
        match self.ask(tenant) {
            Asked::Waiting(ticket) => ticket,
            Asked::Given(_) => panic!("{tenant} does not wait"),
            Asked::Refused(reason) => panic!("{tenant} is refused: {reason}"),
        }
    }

    /// Who was given a turn since the last look. They begin, and go on.
    fn told(&self) -> Vec<(String, Turn)> {
        let mut given = std::mem::take(&mut *self.given.lock().unwrap());
        given.iter_mut().for_each(|(_, turn)| turn.used());
        given
    }
}

fn names(given: &[(String, Turn)]) -> Vec<&str> {
    given.iter().map(|(tenant, _)| tenant.as_str()).collect()
}

#[tokio::test]
async fn one_tenant_never_takes_all_and_who_comes_first_time_finds_room() {
    let host = host(100, &[]);
    let greedy: Vec<_> = (0..80).map(|_| host.gets("greedy")).collect();
    let _queue: Vec<_> = (0..50).map(|_| host.waits("greedy")).collect();
    let modest: Vec<_> = (0..16).map(|_| host.gets("modest")).collect();
    let third = host.gets("third");
    assert_eq!(host.turns.load(), (97, 50));
    drop((greedy, modest, third));
}

#[tokio::test]
async fn a_turn_that_ends_goes_to_the_tenant_with_the_fewest_runs_for_its_weight() {
    let heavy = TenantSettings { weight: 3, ..PLAIN };
    let host = host(8, &[("heavy", heavy)]);
    let mut first: Vec<_> = (0..6).map(|_| host.gets("light")).collect();
    let _light: Vec<_> = (0..20).map(|_| host.waits("light")).collect();
    let mut heavy = vec![host.gets("heavy")];
    let _heavy: Vec<_> = (0..20).map(|_| host.waits("heavy")).collect();
    // One after another all of the first end: in the end there are about three of the heavy for one of the light, and room
    // for somebody else.
    let mut light = Vec::new();
    while let Some(turn) = first.pop() {
        drop(turn);
        for (tenant, turn) in host.told() {
            if tenant == "heavy" { heavy.push(turn) } else { light.push(turn) }
        }
    }
    assert_eq!((heavy.len(), light.len()), (5, 2));
    drop((heavy, light));
}

#[tokio::test]
async fn a_backlog_is_only_its_tenants_own() {
    let host = host(4, &[]);
    let running = [host.gets("backlog"), host.gets("backlog"), host.gets("backlog")];
    let _queue: Vec<_> = (0..100).map(|_| host.waits("backlog")).collect();
    let other = host.gets("other");
    let _ticket = host.waits("other");
    drop(running);
    let given = host.told();
    assert!(names(&given)[..2].contains(&"other"), "a hundred came before it");
    drop((given, other));
}

#[tokio::test]
async fn no_more_runs_than_a_tenant_may_have_and_no_more_wait() {
    let limits = TenantSettings { max_running: Some(2), max_waiting: Some(1), ..PLAIN };
    let host = host(100, &[("acme", limits)]);
    let (first, second) = (host.gets("acme"), host.gets("acme"));
    let ticket = host.waits("acme");
    assert!(matches!(host.ask("acme"), Asked::Refused(Reason::TooManyWaiting)));
    drop(first);
    assert_eq!(names(&host.told()), ["acme"]);
    drop((second, ticket));
    assert_eq!(host.turns.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn no_more_runs_begin_in_a_minute_than_a_tenant_may_begin() {
    let limits = TenantSettings { runs_per_minute: Some(2), ..PLAIN };
    let host = host(100, &[("acme", limits)]);
    drop((host.gets("acme"), host.gets("acme")));
    let (_second, _third) = (host.waits("acme"), host.waits("acme"));
    assert_eq!(host.told().len(), 0);
    for _ in 0..2 {
        host.clock.advance(Duration::from_secs(31));
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(names(&host.told()), ["acme"]);
    }
    // A turn that nothing came of doesn't count.
    host.clock.advance(Duration::from_secs(31));
    assert!(matches!(host.ask("acme"), Asked::Given(_)));
    drop(host.gets("acme"));
}

#[tokio::test]
async fn who_no_longer_waits_is_passed_over_and_who_is_gone_takes_nothing() {
    let host = host(1, &[]);
    let only = host.gets("a");
    let gone = host.waits("b");
    let deaf = host.turns.ask("c", drop);
    let _last = host.waits("d");
    drop(gone);
    drop(only);
    assert_eq!(names(&host.told()), ["d"]);
    drop(deaf);
}

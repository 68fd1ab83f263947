//! The patient threads, lent out for one turn of a guest at a time: the next is the tenant's whose guests have computed least.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::task::AtomicWaker;

/// How long a guest rests after each turn while others compute on the prompt threads: three times as long as a turn, so that it
/// has a quarter of a processor then. An idle class doesn't keep what it computes from slowing down a processor that it shares a
/// core, or a core's caches, with; with less rest the slowest of a hundred runs still met a turn of it too often.
const REST: Duration = Duration::from_millis(15);
/// Who computed there so lately computes there still.
const LATELY: Duration = Duration::from_millis(100);

/// So many turns at once.
#[derive(Debug)]
pub(super) struct Slots {
    state: Mutex<State>,
    /// When a guest last computed on a prompt thread, in milliseconds of the boot clock; 0 for never.
    prompt_ms: AtomicU64,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Those that wait or have a turn, and those that lately had one.
    tenants: HashMap<Arc<str>, Line>,
}

/// Of one tenant.
#[derive(Debug, Default)]
struct Line {
    /// How much it has computed here. Who comes back begins no lower than the least of those that are there, so calm is no
    /// credit; and no lower than it was.
    computed: Duration,
    turns: usize,
    waiting: VecDeque<Arc<Ticket>>,
}

/// A place in a tenant's line.
#[derive(Debug, Default)]
struct Ticket {
    given: AtomicBool,
    /// Told when it is its turn.
    waker: AtomicWaker,
}

/// A guest's wait for its turn, and its turn.
#[derive(Debug)]
pub(super) struct Place {
    slots: Arc<Slots>,
    tenant: Arc<str>,
    ticket: Arc<Ticket>,
    computed: Duration,
}

impl Slots {
    pub(super) fn new(slots: usize) -> Arc<Self> {
        let state = Mutex::new(State { free: slots, tenants: HashMap::new() });
        Arc::new(Slots { state, prompt_ms: AtomicU64::new(0) })
    }

    /// Waits for a turn.
    pub(super) fn line_up(self: &Arc<Self>, tenant: &Arc<str>) -> Place {
        let ticket = Arc::<Ticket>::default();
        let mut state = self.state();
        let least = state.tenants.values().filter(|line| line.is_active()).map(|line| line.computed).min();
        // What is no more than the least is nothing to remember.
        state.tenants.retain(|_, line| line.is_active() || least.is_some_and(|least| line.computed > least));
        let line = state.tenants.entry(tenant.clone()).or_default();
        if !line.is_active() {
            line.computed = line.computed.max(least.unwrap_or_default());
        }
        line.waiting.push_back(ticket.clone());
        state.give();
        Place { slots: self.clone(), tenant: tenant.clone(), ticket, computed: Duration::ZERO }
    }

    /// Whether somebody waits for a turn.
    pub(super) fn are_wanted(&self) -> bool {
        self.state().tenants.values().any(|line| !line.waiting.is_empty())
    }

    /// A guest computes on a prompt thread.
    pub(super) fn prompt(&self, now: Duration) {
        self.prompt_ms.store(millis(now), Ordering::Relaxed);
    }

    /// How long a guest that wants another turn at once rests before it.
    pub(super) fn rest(&self, now: Duration) -> Option<Duration> {
        let prompt = self.prompt_ms.load(Ordering::Relaxed);
        (prompt > 0 && millis(now).saturating_sub(prompt) <= millis(LATELY)).then_some(REST)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Line {
    fn is_active(&self) -> bool {
        self.turns > 0 || !self.waiting.is_empty()
    }
}

impl State {
    fn give(&mut self) {
        while self.free > 0 {
            let waiting = self.tenants.values_mut().filter(|line| !line.waiting.is_empty());
            let Some(line) = waiting.min_by_key(|line| line.computed) else { return };
            let ticket = line.waiting.pop_front().expect("somebody waits");
            (line.turns, self.free) = (line.turns + 1, self.free - 1);
            ticket.given.store(true, Ordering::Release);
            ticket.waker.wake();
        }
    }
}

impl Place {
    /// Whether it is its turn; `waker` is told where it is not yet.
    pub(super) fn is_given(&self, waker: &std::task::Waker) -> bool {
        self.ticket.waker.register(waker);
        self.ticket.given.load(Ordering::Acquire)
    }

    /// The turn is over, after the guest has computed for so long.
    pub(super) fn end(mut self, computed: Duration) {
        self.computed = computed;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        let Some(line) = state.tenants.get_mut(&self.tenant) else { return };
        if self.ticket.given.load(Ordering::Acquire) {
            line.turns -= 1;
            line.computed += self.computed;
            state.free += 1;
            state.give();
        } else {
            line.waiting.retain(|waiting| !Arc::ptr_eq(waiting, &self.ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn tenants() -> [Arc<str>; 2] {
        ["many".into(), "one".into()]
    }

    fn given(place: &Place) -> bool {
        place.is_given(futures::task::noop_waker_ref())
    }

    /// Each guest waits for its next turn as soon as its last one ends, as one that spins does. Gives how long each tenant
    /// computed.
    fn share(guests: [usize; 2], turn: [Duration; 2], slots: usize) -> [Duration; 2] {
        let (names, slots) = (tenants(), Slots::new(slots));
        let mut computed = [Duration::ZERO; 2];
        let mut places: VecDeque<(usize, Place)> = VecDeque::new();
        for (tenant, count) in guests.into_iter().enumerate() {
            places.extend((0..count).map(|_| (tenant, slots.line_up(&names[tenant]))));
        }
        for _ in 0..10_000 {
            let at = places.iter().position(|(_, place)| given(place)).expect("a slot is lent out");
            let (tenant, place) = places.remove(at).expect("it is there");
            computed[tenant] += turn[tenant];
            place.end(turn[tenant]);
            places.push_back((tenant, slots.line_up(&names[tenant])));
        }
        computed
    }

    #[track_caller]
    fn assert_equal(computed: [Duration; 2]) {
        let [many, one] = computed.map(|computed| computed.as_secs_f64());
        assert!((many / one - 1.0).abs() < 0.05, "{computed:?}");
    }

    #[test]
    fn a_hundred_guests_of_one_tenant_compute_as_much_as_one_of_another() {
        assert_equal(share([100, 1], [5 * MS, 5 * MS], 1));
    }

    #[test]
    fn two_that_are_alone_take_turns() {
        assert_equal(share([1, 1], [5 * MS, 5 * MS], 1));
    }

    #[test]
    fn short_turns_are_made_up_for_by_more_of_them() {
        assert_equal(share([100, 100], [5 * MS, MS], 2));
    }

    #[test]
    fn one_guest_has_one_slot_at_the_most_and_the_others_have_the_rest() {
        let [many, one] = share([100, 1], [5 * MS, 5 * MS], 4);
        assert!(many >= 2 * one && one > Duration::ZERO, "{many:?} {one:?}");
    }

    #[test]
    fn a_guest_rests_between_its_turns_only_while_others_compute() {
        let slots = Slots::new(1);
        assert_eq!(slots.rest(1000 * MS), None, "nobody has");
        slots.prompt(1000 * MS);
        assert_eq!((slots.rest(1000 * MS), slots.rest(1100 * MS)), (Some(REST), Some(REST)));
        assert_eq!(slots.rest(1101 * MS), None);
    }

    #[test]
    fn who_leaves_gives_its_place_or_its_turn_to_the_next() {
        let ([many, one], slots) = (tenants(), Slots::new(1));
        let first = slots.line_up(&many);
        let (second, third) = (slots.line_up(&many), slots.line_up(&one));
        assert!(given(&first) && !given(&second) && !given(&third));
        drop(second);
        drop(first);
        assert!(given(&third));
        drop(third);
        let state = slots.state();
        assert!(state.free == 1 && !state.tenants.values().any(Line::is_active), "{state:?}");
    }

    #[test]
    fn who_comes_late_has_no_credit_for_the_time_before() {
        let ([many, one], slots) = (tenants(), Slots::new(1));
        for _ in 0..100 {
            slots.line_up(&many).end(5 * MS);
        }
        let place = slots.line_up(&many);
        let (late, later, next) = (slots.line_up(&one), slots.line_up(&one), slots.line_up(&many));
        place.end(5 * MS);
        assert!(given(&late), "it has computed nothing since it came");
        late.end(10 * MS);
        assert!(given(&next) && !given(&later), "by now it has computed more");
    }
}

//! Whose run may begin next on this host. All groups of the host ask here before they begin one.
//!
//! Among tenants the one with the fewest runs for its weight comes first, so that a backlog of one is only its own. No tenant
//! takes all there is: its first run begins wherever there is room, another only while it has less than [`SHARE`] times its
//! weight of what would be left free, the rule of dynamic thresholds (Choudhury and Hahne, "Dynamic queue length thresholds
//! for shared-memory packet switches", 1998). So one tenant alone gets four fifths of the host, n greedy ones leave one part
//! in 4 n + 1, and who comes with its first run finds a place at once, however slow the guests of the others are.
//!
//! What waits here is nowhere else: a host that dies leaves a missed tick, and `catch_up` decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::plan::Reason;
use crate::clock::Clock;
use crate::registry::{TenantSettings, Tenants, settings_of};
use crate::vital;

/// How many times what is free a tenant of weight 1 may have.
const SHARE: u64 = 4;
const MINUTE: Duration = Duration::from_secs(60);

/// The host's turns.
#[derive(Clone)]
pub struct Turns(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    tenants: watch::Receiver<Tenants>,
    handle: Handle,
    book: Mutex<Book>,
}

struct Book {
    /// How many more runs may begin.
    free: u32,
    lines: HashMap<String, Line>,
    /// Rises with everyone who waits and with every turn that is given.
    number: u64,
    /// The lines are looked at then, on the boot clock, as somebody waits for a minute to pass.
    look_at: Option<Duration>,
}

/// One tenant's.
#[derive(Default)]
struct Line {
    running: u32,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Tell>,
    /// The number of its last turn.
    served: u64,
    rate: Option<Bucket>,
}

/// How much of a tenant's runs a minute is left.
struct Bucket {
    runs: f64,
    /// On the boot clock.
    at: Duration,
}

type Tell = Box<dyn FnOnce(Turn) + Send>;

/// What who asks is told.
pub(super) enum Asked {
    /// It may begin.
    Given(Turn),
    /// It will be told.
    Waiting(Ticket),
    /// It may not.
    Refused(Reason),
}

/// A place among those who wait; given up when dropped.
pub(super) struct Ticket {
    turns: Turns,
    tenant: String,
    number: u64,
}

/// One run of a tenant, from before it begins until it has ended; over when dropped.
pub(super) struct Turn {
    turns: Turns,
    tenant: String,
    used: bool,
}

impl Turns {
    /// `runs` at once on this host, in all. `handle` is where those who wait for a minute to pass are looked after.
    pub fn new(runs: u32, tenants: watch::Receiver<Tenants>, clock: Arc<dyn Clock>, handle: Handle) -> Self {
        let book = Book { free: runs, lines: HashMap::new(), number: 0, look_at: None };
        Turns(Arc::new(Inner { clock, tenants, handle, book: Mutex::new(book) }))
    }

    /// Asks for a turn for one run of the tenant; `tell` is called with it later, where others come first.
    pub(super) fn ask(&self, tenant: &str, tell: impl FnOnce(Turn) + Send + 'static) -> Asked {
        let settings = self.settings(tenant);
        let mut book = self.book();
        let free = book.free;
        let line = book.lines.entry(tenant.to_owned()).or_default();
        if line.waiting.is_empty() && line.may_begin(free, &settings, self.0.clock.boot()).is_ok() {
            book.begin(tenant);
            return Asked::Given(self.turn(tenant));
        }
        if settings.max_waiting.is_some_and(|most| line.waiting.len() >= most as usize) {
            return Asked::Refused(Reason::TooManyWaiting);
        }
        book.number += 1;
        let number = book.number;
        book.lines.entry(tenant.to_owned()).or_default().waiting.insert(number, Box::new(tell));
        drop(book);
        self.serve();
        Asked::Waiting(Ticket { turns: self.clone(), tenant: tenant.to_owned(), number })
    }

    /// A turn that is free.
    #[cfg(test)]
    pub(super) fn take(&self, tenant: &str) -> Turn {
        match self.ask(tenant, drop) {
            Asked::Given(turn) => turn,
            Asked::Waiting(_) | Asked::Refused(_) => panic!("no turn is free for {tenant}"),
        }
    }

    /// What tenants were set.
    pub fn tenants(&self) -> watch::Receiver<Tenants> {
        self.0.tenants.clone()
    }

    /// How many runs of how many tenants are under way, and how many wait: for people.
    pub fn load(&self) -> (u32, usize) {
        let book = self.book();
        let (running, waiting) = (book.lines.values().map(|line| line.running), book.lines.values());
        (running.sum(), waiting.map(|line| line.waiting.len()).sum())
    }

    /// Gives turns to those who wait, as long as somebody may have one.
    fn serve(&self) {
        while let Some((tell, tenant)) = self.next() {
            // Outside the lock: who is told may be gone, and then the turn is over at once.
            tell(self.turn(&tenant));
        }
    }

    fn next(&self) -> Option<(Tell, String)> {
        let now = self.0.clock.boot();
        let mut book = self.book();
        let found = {
            let tenants = self.0.tenants.borrow();
            book.first(|tenant| settings_of(&tenants, tenant), now)
        };
        match found {
            Ok(tenant) => {
                book.begin(&tenant);
                let tell = book.lines.get_mut(&tenant)?.waiting.pop_first()?.1;
                Some((tell, tenant))
            }
            Err(look_in) => {
                let at = look_in.map(|after| now + after);
                if let Some(at) = at.filter(|at| book.look_at.is_none_or(|planned| *at < planned)) {
                    book.look_at = Some(at);
                    self.look_again(at, at - now);
                }
                None
            }
        }
    }

    fn look_again(&self, at: Duration, after: Duration) {
        let turns = self.clone();
        self.0.handle.spawn(async move {
            let _part = vital::part("the order of tenants' runs");
            tokio::time::sleep(after).await;
            turns.book().look_at.take_if(|planned| *planned == at);
            turns.serve();
        });
    }

    /// What a tenant was set.
    pub(super) fn settings(&self, tenant: &str) -> TenantSettings {
        settings_of(&self.0.tenants.borrow(), tenant)
    }

    fn turn(&self, tenant: &str) -> Turn {
        Turn { turns: self.clone(), tenant: tenant.to_owned(), used: false }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who comes first: the fewest runs for its weight, then who was served longest ago.
struct Standing {
    running: u64,
    weight: u64,
    served: u64,
}

impl Standing {
    fn is_before(&self, other: &Standing) -> bool {
        (self.running * other.weight, self.served) < (other.running * self.weight, other.served)
    }
}

impl Line {
    /// Whether the tenant may begin a run, where so many are free; else after how long it may for all that is known, None where
    /// a run has to end first.
    fn may_begin(&mut self, free: u32, settings: &TenantSettings, now: Duration) -> Result<(), Option<Duration>> {
        let threshold = SHARE * u64::from(settings.weight.max(1)) * u64::from(free.saturating_sub(1));
        let has_its_share = self.running > 0 && u64::from(self.running) >= threshold;
        if free == 0 || has_its_share || self.running >= settings.max_running.unwrap_or(u32::MAX) {
            return Err(None);
        }
        match settings.runs_per_minute {
            None => self.rate = None,
            Some(per_minute) => {
                let bucket = self.rate.get_or_insert(Bucket { runs: per_minute.into(), at: now });
                bucket.fill(per_minute, now);
                bucket.ready_in(per_minute).map_or(Ok(()), |after| Err(Some(after)))?;
            }
        }
        Ok(())
    }

    fn standing(&self, settings: &TenantSettings) -> Standing {
        Standing { running: self.running.into(), weight: settings.weight.max(1).into(), served: self.served }
    }
}

impl Book {
    /// Of the tenants that wait, the one that comes first; else after how long there may be one for all that is known.
    fn first(&mut self, settings: impl Fn(&str) -> TenantSettings, now: Duration) -> Result<String, Option<Duration>> {
        let mut first: Option<(Standing, &str)> = None;
        let mut look_in: Option<Duration> = None;
        for (tenant, line) in self.lines.iter_mut().filter(|(_, line)| !line.waiting.is_empty()) {
            let settings = settings(tenant);
            match line.may_begin(self.free, &settings, now) {
                Ok(()) => {
                    let standing = line.standing(&settings);
                    if first.as_ref().is_none_or(|(best, _)| standing.is_before(best)) {
                        first = Some((standing, tenant));
                    }
                }
                Err(Some(after)) => look_in = Some(look_in.map_or(after, |soonest| soonest.min(after))),
                Err(None) => {}
            }
        }
        first.map(|(_, tenant)| tenant.to_owned()).ok_or(look_in)
    }

    fn begin(&mut self, tenant: &str) {
        self.free -= 1;
        self.number += 1;
        let number = self.number;
        let line = self.lines.entry(tenant.to_owned()).or_default();
        line.running += 1;
        line.served = number;
        if let Some(bucket) = &mut line.rate {
            bucket.runs -= 1.0;
        }
    }

    /// A line that nobody stands in and that remembers nothing is none.
    fn forget(&mut self, tenant: &str) {
        let is_over = |line: &Line| line.running == 0 && line.waiting.is_empty() && line.rate.is_none();
        if self.lines.get(tenant).is_some_and(is_over) {
            self.lines.remove(tenant);
        }
    }
}

impl Bucket {
    /// A minute's runs come back in a minute.
    fn fill(&mut self, per_minute: u32, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64() / MINUTE.as_secs_f64();
        self.runs = (self.runs + passed * f64::from(per_minute)).min(per_minute.into());
        self.at = now;
    }

    /// None where a run may begin now.
    fn ready_in(&self, per_minute: u32) -> Option<Duration> {
        let lacking = 1.0 - self.runs;
        // A little later rather than a little too early: then it would be looked at again.
        (lacking > f64::EPSILON).then(|| MINUTE.mul_f64(lacking / f64::from(per_minute)) + Duration::from_millis(1))
    }
}

impl Turn {
    /// The run has begun: it counts for the tenant's runs a minute.
    pub(super) fn used(&mut self) {
        self.used = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut book = self.turns.book();
        book.free += 1;
        if let Some(line) = book.lines.get_mut(&self.tenant) {
            line.running -= 1;
            if let Some(bucket) = line.rate.as_mut().filter(|_| !self.used) {
                bucket.runs += 1.0;
            }
        }
        book.forget(&self.tenant);
        drop(book);
        self.turns.serve();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut book = self.turns.book();
        let told = book.lines.get_mut(&self.tenant).and_then(|line| line.waiting.remove(&self.number));
        book.forget(&self.tenant);
        drop(book);
        // What it would have told may hold something that asks here when it is dropped.
        drop(told);
    }
}

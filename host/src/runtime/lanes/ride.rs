//! One guest on its way through the lanes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::Patient;
use super::account::Account;
use super::slots::{Place, Slots};
use crate::clock::Clock;
use crate::runtime::cpu_time::CpuTime;

/// A guest, or the wait for what stops it.
pub(super) type Guest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Brings a guest to its end: on a prompt thread itself, and with turns on the patient ones.
pub(super) struct Ride {
    tenant: Arc<str>,
    account: Arc<Account>,
    prompt: Handle,
    patient: Handle,
    slots: Arc<Slots>,
    clock: Arc<dyn Clock>,
    cpu: Arc<CpuTime>,
    stop: Box<dyn Fn() -> Guest + Send>,
    is_to_stop: bool,
    wish: Arc<Wish>,
    at: At,
}

enum At {
    /// It waits, or computes here.
    Here(Guest),
    /// It wants to compute, and waits for its turn or for what stops it.
    InLine {
        guest: Guest,
        place: Place,
        stop: Guest,
    },
    /// It has its turn.
    Away(JoinHandle<Turn>, Place),
    Gone,
}

/// A guest's turn elsewhere is over: it ended, wants nothing for now, or others want the thread.
struct Turn {
    guest: Guest,
    is_over: bool,
    computed: Duration,
}

/// Whether a guest wants to compute: what wakes it says so here, wherever it is.
struct Wish {
    stands: AtomicBool,
    /// It has its turn: nobody need be told before that is over.
    is_away: AtomicBool,
    ride: AtomicWaker,
}

impl Wake for Wish {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.stands.store(true, Ordering::SeqCst);
        if !self.is_away.load(Ordering::SeqCst) {
            self.ride.wake();
        }
    }
}

impl Ride {
    pub(super) fn new(
        guest: Guest,
        stop: Box<dyn Fn() -> Guest + Send>,
        (tenant, account): (Arc<str>, Arc<Account>),
        prompt: Handle,
        patient: &Patient,
        clock: &Arc<dyn Clock>,
        cpu: Arc<CpuTime>,
    ) -> Self {
        let wish = Wish { stands: AtomicBool::new(true), is_away: AtomicBool::new(false), ride: AtomicWaker::new() };
        Ride {
            tenant,
            account,
            prompt,
            patient: patient.threads.clone(),
            slots: patient.slots.clone(),
            clock: clock.clone(),
            cpu,
            stop,
            is_to_stop: false,
            wish: Arc::new(wish),
            at: At::Here(guest),
        }
    }

    fn may_compute_here(&self) -> bool {
        self.is_to_stop || !self.account.owes(self.clock.boot())
    }

    /// One turn of the guest on this thread.
    fn compute_here(&mut self, mut guest: Guest) -> At {
        let waker = Waker::from(self.wish.clone());
        if !self.is_to_stop {
            self.slots.prompt(self.clock.boot());
        }
        let (polled, computed) = self.cpu.turn(|| guest.as_mut().poll(&mut Context::from_waker(&waker)));
        self.account.charge(computed, self.clock.boot());
        if polled.is_ready() { At::Gone } else { At::Here(guest) }
    }

    /// The same on a patient thread, again and again while it wants to compute and nobody else wants the thread; with rests while
    /// others compute on the prompt ones. What it begins to wait for there is seen to here.
    fn send_away(&self, mut guest: Guest) -> JoinHandle<Turn> {
        let (prompt, clock, cpu) = (self.prompt.clone(), self.clock.clone(), self.cpu.clone());
        let (wish, slots) = (self.wish.clone(), self.slots.clone());
        wish.is_away.store(true, Ordering::SeqCst);
        self.patient.spawn(async move {
            let _inside = prompt.enter();
            let waker = Waker::from(wish.clone());
            let (is_over, computed) = cpu.turn(|| {
                loop {
                    wish.stands.store(false, Ordering::SeqCst);
                    if guest.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                        break true;
                    }
                    if !wish.stands.load(Ordering::SeqCst) || slots.are_wanted() {
                        break false;
                    }
                    if let Some(rest) = slots.rest(clock.boot()) {
                        std::thread::sleep(rest);
                    }
                }
            });
            Turn { guest, is_over, computed }
        })
    }

    /// A step further; None where there is none to be made now.
    fn step(&mut self, context: &mut Context<'_>) -> Option<At> {
        match std::mem::replace(&mut self.at, At::Gone) {
            At::Here(guest) => {
                if !self.wish.stands.swap(false, Ordering::SeqCst) {
                    self.at = At::Here(guest);
                    return None;
                }
                Some(match self.may_compute_here() {
                    true => self.compute_here(guest),
                    false => At::InLine { guest, place: self.slots.line_up(&self.tenant), stop: (self.stop)() },
                })
            }
            At::InLine { guest, place, mut stop } => {
                if place.is_given(context.waker()) {
                    return Some(At::Away(self.send_away(guest), place));
                }
                self.is_to_stop |= stop.as_mut().poll(context).is_ready();
                if self.is_to_stop {
                    return Some(self.compute_here(guest));
                }
                self.at = At::InLine { guest, place, stop };
                None
            }
            At::Away(mut turn, place) => match Pin::new(&mut turn).poll(context) {
                Poll::Pending => {
                    self.at = At::Away(turn, place);
                    None
                }
                Poll::Ready(Ok(Turn { guest, is_over, computed })) => {
                    self.wish.is_away.store(false, Ordering::SeqCst);
                    place.end(computed);
                    self.account.charge(computed, self.clock.boot());
                    Some(if is_over { At::Gone } else { At::Here(guest) })
                }
                Poll::Ready(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The threads end.
                Poll::Ready(Err(_)) => Some(At::Gone),
            },
            At::Gone => Some(At::Gone),
        }
    }
}

impl Future for Ride {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.wish.ride.register(context.waker());
        loop {
            match self.step(context) {
                None => return Poll::Pending,
                Some(At::Gone) => return Poll::Ready(()),
                Some(At::Here(guest)) => {
                    self.at = At::Here(guest);
                    // One turn at a time: others have theirs in between.
                    if self.wish.stands.load(Ordering::SeqCst) && self.may_compute_here() {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Some(at) => self.at = at,
            }
        }
    }
}

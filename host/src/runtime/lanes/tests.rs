//! Guests that are Rust: what counts is where they are polled, and when.

use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::Poll;

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::*;

const PROMPT: &str = "silverback-guests";
const PATIENT: &str = "silverback-patient";
const MS: Duration = Duration::from_millis(1);

/// Goes when it is told to.
#[derive(Default)]
struct Hands(Mutex<Duration>);

impl Hands {
    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Hands {
    fn boot(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn computed(&self) -> Duration {
        self.boot()
    }
}

fn thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// Computes for five milliseconds, so often, and gives where it did.
async fn compute(hands: &Hands, times: usize) -> Vec<String> {
    let mut places = Vec::new();
    poll_fn(|context| {
        places.push(thread());
        hands.advance(5 * MS);
        if places.len() == times {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    places
}

/// Two prompt and two patient threads, whatever the machine has.
struct Place {
    threads: Option<GuestThreads>,
    lanes: Lanes,
    hands: Arc<Hands>,
    clock: Arc<dyn Clock>,
}

impl Place {
    fn new() -> Self {
        let threads = GuestThreads::with(2).unwrap();
        let hands = Arc::<Hands>::default();
        Place { lanes: threads.lanes(), threads: Some(threads), clock: hands.clone(), hands }
    }

    /// Runs a guest, and gives what it gives.
    fn spawn<T: Send + 'static>(
        &self,
        tenant: &str,
        stop: impl Fn() -> ride::Guest + Send + 'static,
        guest: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        self.lanes.spawn(tenant, &self.clock, CpuTime::new(self.clock.clone()), stop, async move {
            drop(tell.send(guest.await))
        });
        told
    }

    /// Has a tenant's guest compute for five milliseconds, so often, and gives where it did.
    fn compute(&self, tenant: &str, times: usize) -> Vec<String> {
        let (hands, (tell, told)) = (self.hands.clone(), oneshot::channel());
        let guest = async move { tell.send(compute(&hands, times).await).unwrap() };
        let ride = self.lanes.spawn(tenant, &self.clock, CpuTime::new(self.clock.clone()), never, guest);
        // Its last turn is charged by then.
        self.lanes.prompt.block_on(ride).unwrap();
        told.blocking_recv().unwrap()
    }

    /// Has a tenant compute for so long that it owes.
    fn indebt(&self, tenant: &str) {
        assert_eq!(self.compute(tenant, 20).last().map(String::as_str), Some(PATIENT));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shut_down(Duration::from_secs(10));
        }
    }
}

fn never() -> ride::Guest {
    Box::pin(std::future::pending())
}

#[test]
fn who_computes_for_long_gives_way_and_is_prompt_again_after_a_while() {
    let place = Place::new();
    let before = place.compute("acme", 10);
    let moved = before.iter().position(|thread| thread == PATIENT).unwrap();
    assert_eq!(moved, 3, "ten milliseconds and a tenth of the time are free: {before:?}");
    assert!(before[..moved].iter().all(|thread| thread == PROMPT), "{before:?}");
    assert!(before[moved..].iter().all(|thread| thread == PATIENT), "{before:?}");
    place.hands.advance(Duration::from_secs(1));
    assert_eq!(place.compute("acme", 1), [PROMPT], "it has paid");
}

/// As the kernel has it: what wakes up on such a processor has it at once.
#[test]
fn patient_threads_compute_when_nothing_else_wants_to() {
    // The 41st field; the name, the second, may have spaces in it.
    let class = || {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(38).unwrap().parse::<u32>().unwrap()
    };
    const OTHER: u32 = 0;
    const IDLE: u32 = 5;
    let place = Place::new();
    let handles = [&place.lanes.prompt, &place.lanes.patient.as_ref().unwrap().threads];
    let classes = handles.map(|threads| threads.block_on(threads.spawn(async move { class() })).unwrap());
    assert_eq!(classes, [OTHER, IDLE]);
}

#[test]
fn a_tenant_that_computes_for_long_moves_all_its_guests_and_no_others() {
    let place = Place::new();
    place.indebt("rogue");
    assert_eq!(place.compute("rogue", 1), [PATIENT]);
    assert_eq!(place.compute("acme", 1), [PROMPT]);
}

/// Both patient threads are taken by guests that never give them back.
#[test]
fn a_guest_that_is_to_stop_waits_for_no_turn() {
    let place = Place::new();
    place.indebt("rogue");
    let mut holds = Vec::new();
    for _ in 0..2 {
        let (hold, held) = mpsc::channel::<()>();
        let (began, begins) = oneshot::channel();
        let ended = place.spawn("rogue", never, async move {
            let _ = began.send(thread());
            held.recv().unwrap_err()
        });
        assert_eq!(begins.blocking_recv().unwrap(), PATIENT);
        holds.push((hold, ended));
    }
    let (stop, stops) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (told, is_to_stop) = (stop.clone(), stops.clone());
    let told_to = move || -> ride::Guest {
        let told = told.clone();
        Box::pin(async move { told.notified().await })
    };
    let stopped = place.spawn("rogue", told_to, async move {
        // As a run does, it looks for what stops it whenever it is polled.
        (is_to_stop.load(Ordering::SeqCst), thread())
    });
    assert_eq!(place.compute("acme", 1), [PROMPT], "others are not held up");
    stops.store(true, Ordering::SeqCst);
    stop.notify_one();
    assert_eq!(stopped.blocking_recv().unwrap(), (true, PROMPT.to_owned()));
    for (hold, ended) in holds {
        drop(hold);
        ended.blocking_recv().unwrap();
    }
}

#[test]
fn what_a_guest_waits_for_on_a_patient_thread_is_seen_to_elsewhere() {
    let place = Place::new();
    place.indebt("rogue");
    let slept = place.spawn("rogue", never, async {
        let at = thread();
        // The patient threads have no timers of their own.
        tokio::time::sleep(MS).await;
        at
    });
    assert_eq!(slept.blocking_recv().unwrap(), PATIENT);
}

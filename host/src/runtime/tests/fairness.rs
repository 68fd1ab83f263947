//! What runs do to one another.

use std::time::Duration;

use super::super::{End, Interrupt};
use super::ends::Bench;
use super::{OK, guest, waiting_guest};

const AMPLE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_spinning_guest_leaves_the_only_thread_to_others() {
    let spinner = Bench::new(4, AMPLE);
    let spinning = spinner.start(&guest("(loop $again (br $again)) (unreachable)"));
    let other = Bench { interrupt: Interrupt::default(), ..Bench::new(4, AMPLE) };
    let waits = waiting_guest(&format!("(drop (call $sleep (i64.const 20))) {OK}"));
    assert_eq!(other.run(&waits).await, End::Returned(vec![0]));
    spinner.interrupt.kill();
    assert_eq!(spinning.ended().await.end, End::Killed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_waits_for_a_free_slot_and_can_be_stopped_there() {
    let mut bench = Bench::new(1, AMPLE);
    let spinning = bench.start(&guest("(loop $again (br $again)) (unreachable)"));
    let spinner = std::mem::take(&mut bench.interrupt);
    let stopped = bench.start(&guest(OK));
    bench.interrupt.kill();
    assert_eq!(stopped.ended().await.end, End::Killed);
    bench.interrupt = Interrupt::default();
    let waiting = bench.start(&guest(OK));
    spinner.kill();
    assert_eq!((spinning.ended().await.end, waiting.ended().await.end), (End::Killed, End::Returned(vec![0])));
}

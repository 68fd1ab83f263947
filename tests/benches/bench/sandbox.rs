//! What the sandbox costs: one run of a guest that does nothing, with all of a host's limits, against wasmtime alone.
//!
//! Both run on one thread, one run after the other: what a run costs, and not how well a machine can wake its threads.
//! What a host pays for keeping its guests on threads of their own is a row beside it, without a target.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use silverback::clock;
use silverback::registry::Digest;
use silverback::runtime::{End, GuestThreads, Lanes, Prepared, Runtime, RuntimeSettings};
use silverback_tests::figure::{Row, Target};
use silverback_tests::lone_term::LoneTerm;
use silverback_tests::place::guest;
use silverback_tests::times::{Times, us};
use tokio::runtime::Handle;

use crate::bare::Bare;

/// The two loops take turns in blocks, so that whatever drifts in the machine drifts for both.
const BLOCKS: usize = 100;
const RUNS_IN_A_BLOCK: usize = 200;
/// Blocks that don't count.
const WARM_UP: usize = 10;

/// `sandbox cost of a run`: from the request to its end.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let thread = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guests = GuestThreads::start()?;
    // A task among others, since a thread that has more to do doesn't ask its driver for news behind each of them.
    let (handle, lanes) = (thread.handle().clone(), guests.lanes());
    thread.block_on(thread.spawn(async move { compare(&handle, &lanes).await }))?
}

async fn compare(thread: &Handle, guests: &Lanes) -> Result<Vec<Row>> {
    let file = guest("nothing");
    let component = fs::read(&file).with_context(|| file.display().to_string())?;
    let bare = Bare::new(&component).map_err(plain)?;
    let host = Host::new(&component, &thread.clone().into()).await?;
    let (mut ours, mut floor) = (Times::default(), Times::default());
    for block in 0..WARM_UP + BLOCKS {
        let our_block = time(&host).await?;
        let floor_block = time(&bare).await?;
        if block >= WARM_UP {
            ours.add(our_block);
            floor.add(floor_block);
        }
    }
    // Behind the comparison: other threads at work would disturb it.
    let apart = Host::new(&component, guests).await?;
    let mut hop = Times::default();
    for _ in 0..WARM_UP {
        hop.add(time(&apart).await?);
    }
    let row = |name, value| Row::new(name, us(value), "us");
    let rate = |times: &Times| times.count() as f64 / times.sum().as_secs_f64();
    Ok(vec![
        row("sandbox cost of a run, p50 (start to end, limits on, one thread)", ours.p50())
            .against("bare wasmtime loop", us(floor.p50()))
            .target(Target::RatioAtMost(1.3)),
        row("sandbox cost of a run, p99", ours.p99()).against("bare wasmtime loop", us(floor.p99())),
        Row::new("empty runs on one core, one after the other", rate(&ours), "runs/s")
            .against("bare wasmtime loop", rate(&floor))
            .target(Target::AtLeast(20_000.0)),
        row("a run on the guests' own threads, p50 (asked for from another)", hop.p50())
            .against("bare wasmtime loop", us(floor.p50())),
    ])
}

/// One block of runs, one after the other.
async fn time(one: &impl Loop) -> Result<Times> {
    let mut times = Times::default();
    for _ in 0..RUNS_IN_A_BLOCK {
        let begin = Instant::now();
        one.turn().await?;
        times.push_since(begin);
    }
    Ok(times)
}

/// What is measured, or measured against.
trait Loop {
    /// One run, from its request to its end.
    fn turn(&self) -> impl Future<Output = Result<()>> + Send;
}

impl Loop for Bare {
    async fn turn(&self) -> Result<()> {
        let end = self.run().await.map_err(plain)?;
        ensure!(end.as_ref().is_ok_and(Vec::is_empty), "a bare run ended with {end:?}");
        Ok(())
    }
}

/// An error of wasmtime, which is none of the standard library's.
fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}

/// A host's runtime with a term to run under.
struct Host {
    runtime: Arc<Runtime>,
    component: Arc<Prepared>,
    term: LoneTerm,
}

impl Host {
    async fn new(component: &[u8], guests: &Lanes) -> Result<Self> {
        let runtime = Runtime::new(RuntimeSettings::default(), guests.clone(), clock::system())?;
        let component = runtime.prepare(&Digest::of(component).into(), component)?;
        Ok(Host { runtime, component, term: LoneTerm::new().await? })
    }
}

impl Loop for Host {
    async fn turn(&self) -> Result<()> {
        let end = self.runtime.start(&self.component, self.term.request("nothing")).ended().await.end;
        ensure!(end == End::Returned(Vec::new()), "a run ended with {end:?}");
        Ok(())
    }
}

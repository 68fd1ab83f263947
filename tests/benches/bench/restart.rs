//! A host that is started again, and a component of twelve megabytes that it has run before: how long its first run takes, from
//! nothing but what the host's folder has.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use object_store::local::LocalFileSystem;
use silverback::artifact::Artifacts;
use silverback::clock;
use silverback::registry::{Digest, Signers};
use silverback::runtime::{CompileLimits, Compiler, Components, End, GuestThreads, Lanes, Runtime, RuntimeSettings};
use silverback_tests::cluster::Cluster;
use silverback_tests::example::Example;
use silverback_tests::figure::{Row, Target};
use silverback_tests::lone_term::LoneTerm;
use silverback_tests::times::{Times, ms};
use silverback_tests::wait::await_value;
use tokio::runtime::Handle;

const RESTARTS: usize = 20;
const JOB: &str = "metrics/rollup-js";
/// Compiling it takes about ten seconds.
const HANGS: Duration = Duration::from_secs(120);
const LIMITS: CompileLimits = CompileLimits { cpu_seconds: 60, memory_bytes: 2 << 30 };

/// `restart`: the example `rollup-js`.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let example = Example::build("-js");
    let mut cluster = Cluster::embedded();
    let component = std::fs::read(example.file("rollup.wasm"))?;
    let cli = cluster.cli();
    cli.ok(&["apply", &example.file("job.toml").display().to_string()]);
    await_value("a first run", HANGS, || {
        let runs = cli.runs(JOB)?;
        runs.iter()
            .any(|run| run.outcome.as_deref() == Some("succeeded"))
            .then_some(())
            .ok_or_else(|| format!("{runs:?}"))
    });
    cluster.hosts()[0].sigterm();
    let (data, store) = (cluster.hosts()[0].data(), cluster.dir().join("store"));

    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let digest = Digest::of(&component);
    let (mut until_ready, mut times) = (Times::default(), Times::default());
    for _ in 0..RESTARTS {
        let guests = GuestThreads::start()?;
        let (ready, ended) = threads.block_on(first_run(&data, &store, &digest, guests.lanes()))?;
        until_ready.push(ready);
        times.push(ended);
        guests.shut_down(Duration::from_secs(1));
    }
    let name = "first run of a JavaScript component of 12 MB after a restart, p50 (its code is kept)";
    Ok(vec![
        Row::new(name, ms(times.p50()), "ms").target(Target::AtMost(20.0)),
        Row::new("the same, max", ms(times.max()), "ms"),
        Row::new("of it until the component is ready to run, p50", ms(until_ready.p50()), "ms"),
    ])
}

/// As a host does it that has just started: its component, and the run. When the one was there, and the other over.
async fn first_run(data: &Path, store: &Path, digest: &Digest, guests: Lanes) -> Result<(Duration, Duration)> {
    let clock = clock::system();
    let compiler = Compiler::apart(&data.join("compiled"), LIMITS, clock.clone(), Handle::current())?;
    let runtime = Runtime::new(RuntimeSettings { compiler, ..RuntimeSettings::default() }, guests, clock)?;
    let store = Arc::new(LocalFileSystem::new_with_prefix(store)?);
    let components = Components::new(runtime.clone(), Artifacts::new(store), Arc::new(|_| Box::pin(async { None })));
    let term = LoneTerm::new().await?;
    let mut request = term.request("rollup-js");
    request.config.insert("keep_minutes".to_owned(), "60".to_owned());

    let begin = Instant::now();
    let component =
        components.prepared("acme", &digest.clone().into(), &Signers::NONE).await.context("its component")?;
    let ready = begin.elapsed();
    let end = runtime.start(&component, request).ended().await.end;
    let took = begin.elapsed();
    ensure!(matches!(end, End::Returned(_)), "the run ended with {end:?}");
    Ok((ready, took))
}

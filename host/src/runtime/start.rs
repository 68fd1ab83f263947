//! From a request to a run's end.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use wasmtime::Store;

use super::Runtime;
use super::cpu_time::CpuTime;
use super::instance::{self, Guest};
use super::prepared::Prepared;
use super::run::{End, Run, RunEnd, RunRequest};
use super::stops::{Stop, Stops};
use crate::capability::{
    Budget, Connections, Grant, Grants, Host, HttpReach, Meter, OverBudget, RunLog, Share, Traffic,
};
use crate::clock::Clock;
use crate::coordinator::Error;
use crate::history::Usage;
use crate::registry::{Limit, SecretError};

/// What all runs need.
pub(super) struct Bench {
    pub(super) connections: Arc<Connections>,
    pub(super) memory: Arc<Budget>,
    /// One permit a slot of the pool.
    pub(super) slots: Semaphore,
    /// Places for terms.
    pub(super) terms: Arc<Budget>,
    /// Linear memories beyond the first one of a run or a term: each takes room in the pool and mappings of the kernel.
    pub(super) further_memories: Arc<Budget>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a run has for as long as it runs: a slot, or its share of the places for terms.
enum Place<'a> {
    Run { _slot: SemaphorePermit<'a> },
    Term { _share: Share },
}

impl Runtime {
    /// Starts a run on the guests' threads, in a store of its own. One of a component that was prepared for scheduled runs waits
    /// for a free place first; that wait doesn't count as the run's time. A term that finds none fails: another host may have one.
    pub fn start(&self, component: &Arc<Prepared>, request: RunRequest) -> Run {
        let (bench, component) = (self.bench.clone(), component.clone());
        let inside = request.gate.enter();
        let (tell, ended) = oneshot::channel();
        let (meter, cpu) = (Meter::new(request.limits), CpuTime::new(self.clock.clone()));
        let (gate, interrupt) = (request.gate.clone(), request.interrupt.clone());
        let stops = Stops::new(self.clock.clone(), gate, interrupt, meter, cpu.clone());
        let tenant = request.job.tenant.clone();
        let stop = {
            let stops = stops.clone();
            move || stopped(stops.clone()).boxed()
        };
        // Each step from here to the run would have room for one of its own, for as long as the run lasts.
        let request = Box::new(request);
        self.guests.spawn(&tenant, &self.clock, cpu, stop, async move {
            let executed = AssertUnwindSafe(bench.execute(&component, request, &stops)).catch_unwind().await;
            let end = executed.unwrap_or_else(|panic| RunEnd::not_begun(End::ended_early(&*panic)));
            drop(inside);
            // Whoever asked may be gone; the gate still knows who is inside.
            let _ = tell.send(end);
        });
        Run { ended }
    }
}

impl Bench {
    async fn execute(&self, component: &Arc<Prepared>, mut request: Box<RunRequest>, stops: &Arc<Stops>) -> RunEnd {
        if let Err(end) = fetch(&mut request, stops).await {
            return RunEnd::not_begun(end);
        }
        let place = match (stops.due(), component.is_lasting()) {
            (Some(stop), _) => Err(stop.into()),
            (None, true) => self.seat(&request.job.tenant),
            (None, false) => self.slot(stops).await,
        };
        let place = match place {
            Ok(place) => place,
            Err(end) => return RunEnd::not_begun(end),
        };
        let further_memories = match self.further_memories(component, &request.job.tenant) {
            Ok(share) => share,
            Err(end) => return RunEnd::not_begun(end),
        };
        stops.begin();
        let share = self.memory.share(&request.job.tenant);
        let (grant, host) = self.unpack(request, share.tenant(), stops.meter().clone());
        // Apart, since with it the run's future would be a size larger.
        let grant = Box::new(grant);
        let mut store = instance::store(component, host, share, stops.clone());
        let mut end = run_until(&mut store, component, &grant, stops).await;
        let fuel = stops
            .meter()
            .limits()
            .get(Limit::Fuel)
            .map(|most| most.saturating_sub(store.get_fuel().unwrap_or_default()));
        let (host, peak_memory) = store.into_data().into_parts();
        drop((place, further_memories));
        let (writes, log_lines_dropped) = host.finish();
        if let (End::Returned(_) | End::Failed { .. }, Some(over)) = (&end, stops.meter().over()) {
            end = Stop::Over(over).into();
        }
        // A guest that returned after its term had ended neither failed by itself nor succeeded as a leader.
        let gave_up =
            matches!(end, End::Failed { .. } | End::Returned(_) | End::Trapped { .. }) && stops.gate().is_over();
        RunEnd {
            end: if gave_up { End::LostLeadership } else { end },
            writes,
            usage: Usage {
                peak_memory_bytes: peak_memory as u64,
                wall_us: micros(stops.passed()),
                cpu_us: micros(stops.cpu().end_turn()),
                host_calls: stops.meter().calls(),
                fuel,
                log_lines_dropped,
            },
        }
    }

    /// A place for the term of a leader job, at once or not at all: a leader that waits for one leads nothing.
    fn seat(&self, tenant: &str) -> Result<Place<'_>, End> {
        let mut share = self.terms.share(tenant);
        let failed = |over: OverBudget| End::Failed {
            retryable: true,
            message: format!("{} (silverback up --leader-terms)", over.tell("leader terms", |terms| terms.to_string())),
        };
        share.grow(1).map_err(failed)?;
        Ok(Place::Term { _share: share })
    }

    /// Takes the linear memories that a composition has beyond its first one, at once or not at all. Most components have none.
    fn further_memories(&self, component: &Prepared, tenant: &str) -> Result<Option<Share>, End> {
        let further = component.memories().saturating_sub(1);
        if further == 0 {
            return Ok(None);
        }
        let mut share = self.further_memories.share(tenant);
        let failed = |over: OverBudget| {
            let over = over.tell("linear memories beyond the first one of each run", |memories| memories.to_string());
            let remedy = "a host has more of them with a higher `sysctl vm.max_map_count`, or with fewer `silverback up --leader-terms`";
            End::Failed { retryable: true, message: format!("{over} ({remedy})") }
        };
        share.grow(further.into()).map_err(failed)?;
        Ok(Some(share))
    }

    /// Waits for a free place for a scheduled run, or for what stops it before it began.
    async fn slot(&self, stops: &Stops) -> Result<Place<'_>, End> {
        // The rule; it sets no timer.
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(Place::Run { _slot: slot });
        }
        tokio::select! {
            biased;
            stop = stops.wait() => Err(stop.into()),
            slot = self.slots.acquire() => Ok(Place::Run { _slot: slot.expect("the slots are never closed") }),
        }
    }

    /// Parts a request into what the guest is told and what it can reach.
    fn unpack(&self, request: Box<RunRequest>, tenant: &Arc<str>, meter: Arc<Meter>) -> (Grant, Host) {
        let request = *request;
        let log_bytes = request.limits.size(Limit::LogBytes);
        let log = RunLog::new(request.run.clone(), request.attempt, request.log, self.clock.clone(), log_bytes);
        let grant = Grant {
            tenant: request.job.tenant,
            job: request.job.name,
            run: request.run,
            attempt: request.attempt,
            tick: request.tick_ms,
            token: request.gate.token().unsigned_abs(),
            identifier: request.gate.identifier().to_owned(),
        };
        let host = Host::new(Grants {
            gate: request.gate,
            state_path: request.state_path,
            state_mode: request.state_mode,
            config: request.config,
            http: HttpReach {
                grants: request.http,
                private: request.private,
                connections: self.connections.clone(),
                tenant: tenant.clone(),
                max_requests: request.max_requests,
            },
            contenders: request.contenders,
            log,
            meter,
            asking: self.traffic.of(tenant),
        });
        (grant, host)
    }
}

/// Waits until the run is only to be stopped any more.
async fn stopped(stops: Arc<Stops>) {
    stops.wait().await;
}

/// Adds what the run is told beside its config. Without it nothing is begun: another attempt may find it.
async fn fetch(request: &mut RunRequest, stops: &Stops) -> Result<(), End> {
    let Some(secrets) = request.secrets.take() else { return Ok(()) };
    let fetched = tokio::select! {
        biased;
        stop = stops.wait() => return Err(stop.into()),
        fetched = secrets => fetched,
    };
    let gate = &request.gate;
    let failed = |error: SecretError| match error {
        // The session that the term hangs on.
        SecretError::Coordinator(Error::Lost) => End::LostLeadership,
        _ if gate.is_over() => End::LostLeadership,
        error => End::Failed { retryable: true, message: error.to_string() },
    };
    request.config.extend(fetched.map_err(failed)?);
    Ok(())
}

/// Runs the guest to its end, or to the first stop: then the call is dropped, and with it the host call it may wait in. What
/// ends a term also wakes its guest from its waits, so it is asked for the stop first each time: the guest executes nothing
/// any more then.
async fn run_until(store: &mut Store<Guest>, component: &Prepared, grant: &Grant, stops: &Stops) -> End {
    let mut call = pin!(instance::call(store, component, grant));
    let call = poll_fn(|context| match stops.due() {
        Some(stop) => Poll::Ready(stop.into()),
        None => call.as_mut().poll(context).map(|called| instance::end(called, stops.meter().limits())),
    });
    tokio::select! {
        biased;
        end = call => end,
        stop = stops.wait() => stop.into(),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

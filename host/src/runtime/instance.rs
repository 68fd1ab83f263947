//! One store, for one run, used once.

use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::limiter::Limiter;
use super::prepared::Prepared;
use super::run::End;
use super::stops::{Stop, Stops};
use crate::capability::{Grant, Host, RunError, Share};
use crate::registry::{Limit, RunLimits};

/// The longest error message of a guest that is kept, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// The largest result of a guest that is kept, in bytes.
pub const MAX_RESULT_BYTES: usize = 64 * 1024;

/// The data of a run's store.
pub(super) struct Guest {
    host: Host,
    memory: Limiter,
}

impl Guest {
    /// For a call of the guest.
    pub(super) fn host(&mut self) -> &mut Host {
        self.host.called()
    }

    /// What the capabilities leave, and the most memory that was held, in bytes.
    pub(super) fn into_parts(self) -> (Host, usize) {
        (self.host, self.memory.peak())
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.host.ctx()
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.host.http()
    }
}

/// A fresh store, with every limit set.
pub(super) fn store(component: &Prepared, host: Host, share: Share, stops: Arc<Stops>) -> Store<Guest> {
    let limits = stops.meter().limits();
    let memory = Limiter::new(stops.meter().clone(), share);
    let mut store = Store::new(component.engine(), Guest { host, memory });
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(limits.size(Limit::CallBytes));
    store.set_max_component_handles(limits.size(Limit::Handles));
    if component.is_metered() {
        let fuel = limits.get(Limit::Fuel).unwrap_or(u64::MAX);
        store.set_fuel(fuel).expect("its engine counts");
    }
    store.set_epoch_deadline(1);
    // Clocks are compared, ticks are not counted: a ticker that was held up must not stretch a limit.
    store.epoch_deadline_callback(move |_| match stops.due_inside() {
        Some(stop) => Err(stop.into()),
        None => Ok(UpdateDeadline::Yield(1)),
    });
    store
}

/// What the leader function gives, where the guest comes to its end.
type Called = wasmtime::Result<Result<Vec<u8>, RunError>>;

/// Instantiates the component and calls the leader function.
pub(super) async fn call(store: &mut Store<Guest>, component: &Prepared, grant: &Grant) -> Called {
    let leader = component.pre().instantiate_async(&mut *store).await?;
    leader.silverback_leader_job().call_run(&mut *store, grant).await
}

/// How a run under these limits ended that was called so.
pub(super) fn end(called: Called, limits: &RunLimits) -> End {
    match called {
        Ok(Ok(result)) if result.len() > MAX_RESULT_BYTES => {
            let size = result.len();
            End::Trapped { message: format!("result {size} bytes is over the limit of {MAX_RESULT_BYTES} bytes") }
        }
        Ok(Ok(result)) => End::Returned(result),
        Ok(Err(RunError::Retryable(message))) => End::Failed { retryable: true, message: cut(message) },
        Ok(Err(RunError::Permanent(message))) => End::Failed { retryable: false, message: cut(message) },
        Err(error) => match error.downcast_ref::<Stop>() {
            Some(stop) => (*stop).into(),
            // It isn't the guest's fault, and another host may have it.
            None if super::trap::is_no_room(&error) => {
                let message = format!("this host has no memory for it: {}", super::engine::chain(&error));
                End::Failed { retryable: true, message: cut(message) }
            }
            None => End::Trapped { message: cut(super::trap::describe(&error, limits)) },
        },
    }
}

fn cut(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push('…');
    }
    message
}

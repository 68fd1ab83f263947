//! All that one run can reach, put together: the data of its store, as far as capabilities are concerned.
//!
//! It doesn't know the engine, nor the limits on memory and time.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::bindings::Leader;
use super::gate::Gate;
use super::http::{Http, HttpReach, bound_setters};
use super::leadership::{Contenders, Leadership};
use super::logging::RunLog;
use super::meter::Meter;
use super::random::{Counted, MAX_RANDOM_BYTES};
use super::state::{State, StateMode, StateWrite};
use super::stdio::LineStream;
use super::traffic::Asking;
use crate::registry::Limit;

/// What a run is given.
pub struct Grants {
    /// The term it runs under.
    pub gate: Arc<Gate>,
    /// The directory of the job's state in the coordinator.
    pub state_path: String,
    /// What becomes of its state writes.
    pub state_mode: StateMode,
    /// For `wasi:config/store`.
    pub config: BTreeMap<String, String>,
    /// Where it may send HTTP requests, and how many.
    pub http: HttpReach,
    /// Asks for the election's queue.
    pub contenders: Contenders,
    /// Takes its lines.
    pub log: Arc<RunLog>,
    /// Counts what it uses.
    pub meter: Arc<Meter>,
    /// How it asks the coordinator.
    pub asking: Arc<Asking>,
}

/// One run's side of every import.
pub struct Host {
    // Dropped before the table that holds its requests: fields go in order.
    http: Http,
    pub(super) table: ResourceTable,
    pub(super) state: State,
    pub(super) leadership: Leadership,
    /// In the order of its keys.
    pub(super) config: Box<[(String, String)]>,
    pub(super) log: Arc<RunLog>,
    pub(super) meter: Arc<Meter>,
    wasi: WasiCtx,
    streams: [LineStream; 2],
}

impl Host {
    /// Ready for one run.
    pub fn new(grants: Grants) -> Self {
        let Grants { gate, state_path, state_mode, config, http, contenders, log, meter, asking } = grants;
        let stream = |of: fn(Arc<RunLog>, Arc<Meter>) -> LineStream| of(log.clone(), meter.clone());
        let streams = [stream(LineStream::stdout), stream(LineStream::stderr)];
        let mut table = ResourceTable::new();
        table.set_max_capacity(meter.limits().size(Limit::Resources));
        Host {
            http: Http::new(http, gate.clone(), log.clone(), meter.clone()),
            table,
            state: State::new(state_path, gate.clone(), state_mode, meter.clone(), asking),
            leadership: Leadership::new(gate, contenders),
            config: config.into_iter().collect(),
            log,
            wasi: sealed_wasi(&streams, &meter),
            streams,
            meter,
        }
    }

    /// Ends the run's output, and gives what it leaves: the writes that wait for its outcome, in key order, and the
    /// number of log lines that were dropped or cut.
    pub fn finish(self) -> (Vec<StateWrite>, u64) {
        self.streams.iter().for_each(LineStream::end);
        (self.state.into_writes(), self.log.end())
    }
}

/// WASI that reaches nothing: input is closed, and there are no arguments, environment, folders, addresses or names.
fn sealed_wasi([stdout, stderr]: &[LineStream; 2], meter: &Arc<Meter>) -> WasiCtx {
    WasiCtx::builder()
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(MAX_RANDOM_BYTES)
        .secure_random(Counted(meter.clone()))
        .insecure_random(Counted(meter.clone()))
        .build()
}

impl Host {
    /// Counts a call of the guest: whoever answers an import goes through here, or through one of the two views.
    pub fn called(&mut self) -> &mut Host {
        self.meter.called();
        self
    }

    /// For a call that was counted already.
    pub(super) fn requests(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(&mut self.table)
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.meter.called();
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.meter.called();
        self.http.view(&mut self.table)
    }
}

/// Links every import of the world, all of `wasi:cli/imports`, and `wasi:http/outgoing-handler` to the [`Host`] in a
/// store's data.
///
/// # Errors
/// Where two of them have the same name.
pub fn add_to_linker<T: WasiView + WasiHttpView + 'static>(
    linker: &mut Linker<T>,
    host: fn(&mut T) -> &mut Host,
) -> Result<()> {
    Leader::add_to_linker::<T, HasSelf<Host>>(linker, host)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    bound_setters(linker, host)
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::cli::WasiCliView as _;
    use wasmtime_wasi::filesystem::WasiFilesystemView as _;
    use wasmtime_wasi::p2::bindings::cli::environment::Host as _;
    use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
    use wasmtime_wasi::p2::bindings::random::random::Host as _;
    use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
    use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::Host as _;
    use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;
    use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
    use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;
    use wasmtime_wasi::sockets::WasiSocketsView as _;

    use super::super::bindings::wasi::config::store::Host as _;
    use super::super::fakes::host;
    use super::super::residue::gives_back;
    use super::*;

    /// It has none: nothing of the machine can be reached.
    #[test]
    fn ghsa_vqjp_4c8c_hfgg_a_guest_gets_out_of_its_folder() {
        gives_back(async || {
            let (mut host, ..) = host(StateMode::Immediate);
            assert_eq!(host.cli().get_environment().unwrap(), []);
            assert_eq!(host.cli().get_arguments().unwrap(), Vec::<String>::new());
            assert_eq!(host.cli().initial_cwd().unwrap(), None);
            assert!(host.filesystem().get_directories().unwrap().is_empty());
            assert!(host.sockets().create_tcp_socket(IpAddressFamily::Ipv4).is_err());
            assert!(host.sockets().create_udp_socket(IpAddressFamily::Ipv4).await.is_err());
            let network = host.sockets().instance_network().unwrap();
            assert!(host.sockets().resolve_addresses(network, "localhost".to_owned()).is_err());
            assert!(host.ctx().ctx.random().get_random_bytes(MAX_RANDOM_BYTES + 1).is_err());
        });
    }

    #[tokio::test]
    async fn the_config_is_the_jobs_own() {
        let (mut host, ..) = host(StateMode::Immediate);
        assert_eq!(host.get("colour".to_owned()).await.unwrap().unwrap().as_deref(), Some("silver"));
        assert_eq!(host.get("PATH".to_owned()).await.unwrap().unwrap(), None);
        assert_eq!(host.get_all().await.unwrap().unwrap().len(), 1);
    }
}

//! `wasi:http/outgoing-handler`: requests to the targets that the job was granted, each with the term's token.
//!
//! A guest's requests have one way out, [`Outlet`]: it compares scheme, host and port with the grants, asks the gate, and
//! writes the token's header, which the guest itself can't set. No redirect is followed: the guest gets it as it is, and
//! asks again for where it leads. What a name stands for is looked at before it is connected to. The types of `wasi:http` are
//! those of wasmtime-wasi-http. It doesn't know what the guest says to its target.

mod body;
mod connections;
mod error;
mod headers;
mod send;
mod setters;
mod stream;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Body as _;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use hyper::http::uri::Scheme as UriScheme;
use hyper::{Method, Request, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::warn;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{
    Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
};

pub use self::connections::Connections;
use self::connections::Place;
use self::headers::{is_forbidden, remove_forbidden};
use self::send::{Ending, Sending, send};
pub(super) use self::setters::bound_setters;
use super::gate::Gate;
use super::logging::RunLog;
use super::meter::Meter;
use super::state::PATIENCE;
use crate::history::LogLevel;
use crate::registry::{HttpGrants, Origin, Ranges, TENANT_HEADER};

/// The most requests of one run at once; the next one is refused. A request lasts until its response is read or dropped.
pub const MAX_REQUESTS: usize = 16;
/// How long a target may take until it is connected, TLS included.
pub const MAX_CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a request may take in all, from the guest's call to the last byte of the response.
pub const MAX_REQUEST_TIME: Duration = Duration::from_secs(60);
/// The largest head of a response, and the most that the headers of a request take, in bytes.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The most headers of a response.
pub const MAX_HEADERS: usize = 100;
/// How much of a body the host takes from the guest ahead of the target, in bytes. It is kept small, since it isn't
/// counted as the guest's memory.
const BODY_CHUNK_BYTES: usize = 16 * 1024;

/// The context of the lines in the run's log.
const CONTEXT: &str = "http";
/// How long the next request waits for the connection of one that has just ended.
const CLOSES: Duration = Duration::from_millis(200);

/// Where a run may send requests, and how many.
#[derive(Clone)]
pub struct HttpReach {
    /// What its job was granted.
    pub grants: HttpGrants,
    /// The private addresses that its tenant was granted.
    pub private: Ranges,
    /// Those that are under way on this host.
    pub connections: Arc<Connections>,
    /// Whose they are.
    pub tenant: Arc<str>,
    /// How many its tenant may have; None for the default.
    pub max_requests: Option<u32>,
}

/// One run's side of `wasi:http`. Most runs send nothing, so it is made when it is first asked for.
pub(super) struct Http {
    reach: HttpReach,
    gate: Arc<Gate>,
    log: Arc<RunLog>,
    meter: Arc<Meter>,
    open: Option<Box<(WasiHttpCtx, Hooks)>>,
}

impl Http {
    /// For a run under `gate` with these grants; what is denied is told in `log`.
    pub(super) fn new(reach: HttpReach, gate: Arc<Gate>, log: Arc<RunLog>, meter: Arc<Meter>) -> Self {
        Http { reach, gate, log, meter, open: None }
    }

    pub(super) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        let (ctx, hooks) = self.open();
        WasiHttpCtxView { hooks, table, ctx }
    }

    fn open(&mut self) -> &mut (WasiHttpCtx, Hooks) {
        let Http { reach, gate, log, meter, open } = self;
        open.get_or_insert_with(|| {
            let mut ctx = WasiHttpCtx::new();
            ctx.set_field_size_limit(MAX_HEAD_BYTES);
            Box::new((ctx, Hooks(Outlet::new(Arc::new(reach.clone()), gate.clone(), log.clone(), meter.clone()))))
        })
    }
}

impl Drop for Http {
    /// Dropping a guest's half-written body would look like its end to the connection, so it is told apart first.
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.1.0.ended.store(true, Ordering::Release);
        }
    }
}

/// One request's room, of its run and of its tenant, for as long as anything of it is there.
type Room = Arc<(OwnedSemaphorePermit, Place)>;

/// The only way out of one run.
struct Outlet {
    reach: Arc<HttpReach>,
    token_header: HeaderName,
    gate: Arc<Gate>,
    log: Arc<RunLog>,
    meter: Arc<Meter>,
    room: Arc<Semaphore>,
    /// True when the run has ended, whatever was still under way.
    ended: AtomicBool,
    /// True once the host's own log has a line of what was denied.
    told_operator: AtomicBool,
}

impl Outlet {
    fn new(reach: Arc<HttpReach>, gate: Arc<Gate>, log: Arc<RunLog>, meter: Arc<Meter>) -> Arc<Self> {
        let token_header =
            HeaderName::from_bytes(reach.grants.token_header.as_str().as_bytes()).expect("the registry took the name");
        let (room, ended) = (Arc::new(Semaphore::new(MAX_REQUESTS)), AtomicBool::default());
        let told_operator = AtomicBool::default();
        Arc::new(Outlet { reach, token_header, gate, log, meter, room, ended, told_operator })
    }

    /// The one check of where a request goes: gives the target, which is what is connected to and nothing else.
    fn granted(&self, request: &Request<WasiBody>) -> Result<Origin, Error> {
        if *request.method() == Method::CONNECT {
            let place = place(request.uri());
            return self.deny(&format!("method CONNECT to `{place}` is denied: it would make a tunnel"));
        }
        match origin(request.uri()) {
            Ok(origin) if self.reach.grants.allows(&origin) => Ok(origin),
            Ok(origin) => {
                let mut allow: Vec<_> = self.reach.grants.allow.iter().map(ToString::to_string).collect();
                allow.push(origin.to_string());
                self.deny(&format!(
                    "request to `{origin}` is denied: the job's http.allow doesn't name it (in job.toml, under [http]: allow = \
                     {allow:?})"
                ))
            }
            Err(why) => self.deny(&format!("request to `{}` is denied: {why}", place(request.uri()))),
        }
    }

    /// The addresses of a target that may be reached: what is connected to is what was looked at, and no name is looked up twice.
    fn reachable(&self, target: &Origin, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Error> {
        let (allowed, denied): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.reach.private.allow(address.ip()));
        match denied.first() {
            Some(private) if allowed.is_empty() => {
                let (address, tenant) = (private.ip(), &self.reach.tenant);
                // The tenant isn't told which: what names stand for inside is none of its business. The host's own log isn't
                // the guest's to fill.
                if !self.told_operator.swap(true, Ordering::Relaxed) {
                    warn!(%tenant, %target, %address, "a run's requests to private addresses are denied (silverback tenant --private)");
                }
                self.say(&format!(
                    "request to `{target}` is denied: it has no address of the public Internet, and tenant `{tenant}` was not \
                     granted another (silverback tenant {tenant} --private RANGE; with silverback run: --private RANGE)"
                ));
                Err(Error::DestinationIpProhibited)
            }
            Some(_) | None => Ok(allowed),
        }
    }

    fn deny<T>(&self, why: &str) -> Result<T, Error> {
        self.say(why);
        Err(Error::HttpRequestDenied)
    }

    fn say(&self, what: &str) {
        self.log.say(LogLevel::Warn, CONTEXT, what);
    }

    /// Takes room for one more request: of the run, and of its tenant.
    async fn enter(&self) -> Result<Room, Error> {
        let full = |whose: &str, most: u32| {
            self.say(&format!("request is refused: {whose} has {most} under way, and may have no more at once"));
            Error::ConnectionLimitReached
        };
        let of_run = timeout(CLOSES, self.room.clone().acquire_owned()).await;
        let of_run = of_run.map_err(|_| full("the run", MAX_REQUESTS as u32))?.expect("it is never closed");
        let HttpReach { connections, tenant, max_requests, .. } = self.reach.as_ref();
        let of_tenant = connections.enter(tenant, *max_requests);
        let of_tenant = of_tenant.map_err(|most| full(&format!("tenant `{tenant}`"), most))?;
        Ok(Arc::new((of_run, of_tenant)))
    }

    /// Waits until an effect may pass.
    async fn pass(&self) -> Result<(), Error> {
        self.gate.pass(PATIENCE).await.map_err(error::refused)
    }

    /// True when nothing more may go out.
    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) || self.gate.is_over()
    }

    /// Writes the headers that are the host's: whose the request is, the token, the target's own name, and the length of a body
    /// that isn't there.
    fn sign(&self, request: &mut Request<WasiBody>, target: &Origin) {
        let lacks_body =
            [Method::POST, Method::PUT, Method::PATCH].contains(request.method()) && request.body().is_end_stream();
        let headers = request.headers_mut();
        // The guest can't set them in the first place.
        remove_forbidden(&self.token_header, headers);
        if lacks_body && !headers.contains_key(CONTENT_LENGTH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        let tenant = HeaderValue::from_str(&self.reach.tenant).expect("a tenant's name is plain text");
        headers.insert(HeaderName::from_static(TENANT_HEADER), tenant);
        headers.insert(self.token_header.clone(), HeaderValue::from(self.gate.token().unsigned_abs()));
        let host = if target.port() == target.scheme().default_port() {
            target.host().to_owned()
        } else {
            format!("{}:{}", target.host(), target.port())
        };
        headers.insert(HOST, HeaderValue::from_str(&host).expect("an origin's host is plain text"));
    }
}

/// Returns where a request goes, or why it can't go there, whoever grants what.
fn origin(uri: &Uri) -> Result<Origin, String> {
    Origin::of_request(uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |authority| authority.as_str()))
}

/// Returns scheme, host and port of a URI as they are written, without user and password.
fn place(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}", uri.scheme_str().unwrap_or_default())
}

/// What wasmtime-wasi-http asks back.
struct Hooks(Arc<Outlet>);

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(&self.0.token_header, name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        let token_header = self.0.token_header.clone();
        Arc::new(move |name| is_forbidden(&token_header, name))
    }

    /// All are: the check of the grants says no, and tells it.
    fn is_supported_scheme(&mut self, _: &UriScheme) -> bool {
        true
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Ending,
    ) -> Box<dyn Future<Output = Sending> + Send> {
        // Entered here and not when the request's task begins: a run that has just ended must not leave a gap in which
        // its term is given up and the request still goes out.
        let inside = self.0.gate.enter();
        Box::new(send(self.0.clone(), inside, request, options.unwrap_or_default()))
    }
}

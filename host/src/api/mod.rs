//! HTTP routes and wire types. Any host answers for the whole cluster: what only another host knows is asked of it.
//!
//! It doesn't know how leadership is won or a run is started: [`Cluster`] is what it asks for that.

mod cluster;
mod components;
mod compute;
mod error;
mod evict;
mod folders;
mod group;
mod hosts;
mod jobs;
mod lead;
mod logs;
mod next;
mod peers;
mod problems;
mod runs;
mod secrets;
mod state;
mod tenants;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{HOST, ORIGIN};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;

use compute::ComputeSlots;
pub use error::ApiError;
pub use peers::{PeerError, Peers};
pub use wire::{
    ComingTick, ContenderRow, CursorSet, ErrorBody, Evicted, Eviction, FilledIn, GroupRow, JobRow, KeyRow, LogPage,
    PauseRow, Resigned, Resumed, StoredComponent, TenantRow, Triggered,
};

use crate::artifact::Artifacts;
use crate::capability::Fair;
use crate::clock::Clock;
use crate::config::Layout;
use crate::coordinator::{MAX_VALUE_BYTES, Session, Sessions};
use crate::history::History;
use crate::registry::{Digest, JobId, JobSpec, MAX_SECRET_BYTES, Problem, Registry, Secrets, Signers, TENANT_HEADER};

use crate::text::cut;

/// The largest component, in bytes. Those of interpreted languages bring their interpreter, 10 to 20 MB.
pub const MAX_COMPONENT_BYTES: usize = 32 * 1024 * 1024;
/// The largest job as JSON, in bytes.
const MAX_JOB_BYTES: usize = 256 * 1024;
/// The largest request to evict as JSON, in bytes.
const MAX_EVICTION_BYTES: usize = 16 * 1024;
/// The largest settings of a tenant as JSON, in bytes.
const MAX_TENANT_BYTES: usize = 16 * 1024;
/// The largest request to pause as JSON, in bytes.
const MAX_PAUSE_BYTES: usize = 16 * 1024;
/// How much an error shows of a name that others chose, in bytes.
const MAX_SHOWN_BYTES: usize = 80;
/// How long a request waits for a session.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long requests under way are waited for when the API closes.
const CLOSING_GRACE: Duration = Duration::from_secs(2);

/// What the API asks of the parts that lead and run.
#[async_trait]
pub trait Cluster: Send + Sync + 'static {
    /// Checks a component's signature where there are `signers`, then the component against the world, and stores it only if it
    /// fits.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] with the reason for people.
    async fn admit(&self, tenant: &str, bytes: Bytes, signers: Signers) -> Result<Digest, ApiError>;

    /// Whether one of `signers` signed a component that this host has, or there are none.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] where nobody of them did.
    async fn check_signature(&self, component: &Digest, signers: &Signers) -> Result<(), ApiError>;

    /// The path of the election whose leader runs the job.
    fn election(&self, spec: &JobSpec) -> String;

    /// The group that a scheduled job is in, with how many jobs are in it; None for a leader job.
    fn group(&self, spec: &JobSpec) -> Option<GroupRow>;

    /// Who stands in that election, in queue order.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] when the ensemble can't be asked.
    async fn contenders(&self, spec: &JobSpec) -> Result<Vec<ContenderRow>, ApiError>;

    /// Gives up this host's leadership of the job's election: guests are stopped first. Returns when it is released.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] when this host doesn't lead it.
    async fn resign(&self, job: &JobId) -> Result<(), ApiError>;

    /// Withdraws this host from all elections until [`Cluster::undrain`]: guests are asked to stop first. Returns when it leads
    /// nothing and stands for nothing; at once where that is so already.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] when it takes too long; it goes on all the same.
    async fn drain(&self) -> Result<(), ApiError>;

    /// Lets this host stand again.
    fn undrain(&self);

    /// Starts a run of a scheduled job now, on this host, and gives its id.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] when this host doesn't lead the job's election, or the job can't be triggered.
    async fn trigger(&self, job: &JobId) -> Result<String, ApiError>;

    /// Runs the ticks of a scheduled job from `from` to `to`, both included, on this host. Gives how many they are.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for a span that can't be filled in; otherwise as [`Cluster::trigger`].
    async fn backfill(&self, job: &JobId, from: Timestamp, to: Timestamp) -> Result<usize, ApiError>;

    /// Counts the ticks of a scheduled job up to `to` as decided and those after it as not, on this host. Returns `to`.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for a time that is yet to come; otherwise as [`Cluster::trigger`].
    async fn set_cursor(&self, job: &JobId, to: Timestamp) -> Result<Timestamp, ApiError>;

    /// Returns the number of the group that a scheduled job of this name is in.
    fn group_number(&self, job: &JobId) -> u32;

    /// Returns what keeps jobs from going on at this host.
    fn problems(&self) -> Vec<Problem>;
}

/// What the routes work on.
pub struct Api {
    host: String,
    registry: Registry,
    secrets: Secrets,
    artifacts: Artifacts,
    history: History,
    sessions: Sessions,
    layout: Layout,
    clock: Arc<dyn Clock>,
    peers: Peers,
    cluster: Arc<dyn Cluster>,
    /// Room for components that are being taken.
    uploads: Fair,
    compute_slots: ComputeSlots,
    closing: watch::Sender<bool>,
}

/// What an [`Api`] is made of.
pub struct ApiParts {
    /// This host's name.
    pub host: String,
    /// The jobs.
    pub registry: Registry,
    /// What secrets are sealed with.
    pub secrets: Secrets,
    /// The components.
    pub artifacts: Artifacts,
    /// The runs.
    pub history: History,
    /// The host's sessions.
    pub sessions: Sessions,
    /// Where things live.
    pub layout: Layout,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What leads and runs.
    pub cluster: Arc<dyn Cluster>,
}

impl Api {
    /// The API of this host.
    pub fn new(parts: ApiParts) -> Arc<Self> {
        let ApiParts { host, registry, secrets, artifacts, history, sessions, layout, clock, cluster } = parts;
        let peers = Peers::new(sessions.clone(), layout.clone(), &host);
        let (uploads, closing) =
            (Fair::new(components::UPLOADS, components::UPLOADS_OF_TENANT), watch::channel(false).0);
        Arc::new(Api {
            host,
            registry,
            secrets,
            artifacts,
            history,
            sessions,
            layout,
            clock,
            peers,
            cluster,
            uploads,
            compute_slots: ComputeSlots::default(),
            closing,
        })
    }

    /// Answers on `listener` until `shutdown` is done; then ends the polls, gives other requests two seconds, and returns.
    ///
    /// # Errors
    /// What the listener says.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let (api, mut closing) = (self.clone(), self.closing.subscribe());
        let stopped = async move {
            shutdown.await;
            api.closing.send_replace(true);
        };
        let server = axum::serve(listener, self.router()).with_graceful_shutdown(stopped);
        let overdue = async move {
            let _ = closing.wait_for(|closing| *closing).await;
            tokio::time::sleep(CLOSING_GRACE).await;
        };
        tokio::select! {
            served = server.into_future() => served,
            () = overdue => Ok(()),
        }
    }

    fn router(self: Arc<Self>) -> Router {
        let component = put(components::put).layer(DefaultBodyLimit::max(MAX_COMPONENT_BYTES));
        let job = get(jobs::get).put(jobs::put).delete(jobs::delete).layer(DefaultBodyLimit::max(MAX_JOB_BYTES));
        let key = get(state::get).put(state::put).delete(state::delete).layer(DefaultBodyLimit::max(MAX_VALUE_BYTES));
        let tenant =
            get(tenants::get).put(tenants::put).delete(tenants::delete).layer(DefaultBodyLimit::max(MAX_TENANT_BYTES));
        let secret = put(secrets::put).delete(secrets::delete).layer(DefaultBodyLimit::max(MAX_SECRET_BYTES));
        Router::new()
            .route("/v1/components", component)
            .route("/v1/components/{digest}", get(components::get))
            .route("/v1/hosts", get(hosts::list))
            .route("/v1/hosts/{host}/drain", post(hosts::drain))
            .route("/v1/hosts/{host}/undrain", post(hosts::undrain))
            .route("/v1/cluster/resume-after-restore", post(cluster::resume))
            .route("/v1/problems", get(problems::list))
            .route("/v1/jobs", get(jobs::list))
            .route("/v1/tenants", get(tenants::list))
            .route("/v1/tenants/{tenant}", tenant)
            .route("/v1/tenants/{tenant}/secrets", get(secrets::list))
            .route("/v1/tenants/{tenant}/secrets/{name}", secret)
            .route("/v1/jobs/{tenant}/{name}", job)
            .route("/v1/jobs/{tenant}/{name}/pause", post(jobs::pause).layer(DefaultBodyLimit::max(MAX_PAUSE_BYTES)))
            .route("/v1/jobs/{tenant}/{name}/resume", post(jobs::resume))
            .route("/v1/jobs/{tenant}/{name}/contenders", get(lead::contenders))
            .route("/v1/jobs/{tenant}/{name}/resign", post(lead::resign))
            .route(
                "/v1/jobs/{tenant}/{name}/evict",
                post(evict::evict).layer(DefaultBodyLimit::max(MAX_EVICTION_BYTES)),
            )
            .route("/v1/jobs/{tenant}/{name}/trigger", post(lead::trigger))
            .route("/v1/jobs/{tenant}/{name}/backfill", post(lead::backfill))
            .route("/v1/jobs/{tenant}/{name}/cursor", post(lead::set_cursor))
            .route("/v1/jobs/{tenant}/{name}/runs", get(runs::list))
            .route("/v1/jobs/{tenant}/{name}/next", get(next::list))
            .route("/v1/jobs/{tenant}/{name}/logs", get(logs::list))
            .route("/v1/jobs/{tenant}/{name}/state", get(state::list))
            .route("/v1/jobs/{tenant}/{name}/state/{key}", key)
            .fallback(async || ApiError::NotFound("there is no such route".to_owned()))
            .method_not_allowed_fallback(async || ApiError::Method)
            .layer(middleware::from_fn(local_callers_only))
            .with_state(self)
    }

    async fn session(&self) -> Result<Arc<dyn Session>, ApiError> {
        Ok(self.sessions.get(PATIENCE).await?)
    }
}

/// A listener on loopback is still within reach of every web page that a browser on this machine shows: pages name
/// themselves in `Origin`, and a name that was made to point here stands in `Host`.
async fn local_callers_only(request: Request, next: Next) -> Result<Response, ApiError> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    let loopback = name == "localhost" || host.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    if !loopback {
        return Err(ApiError::Forbidden(format!("host `{}` is not this machine", cut(host, MAX_SHOWN_BYTES))));
    }
    if request.headers().contains_key(ORIGIN) {
        return Err(ApiError::Forbidden("web pages may not call this API".to_owned()));
    }
    if request.headers().contains_key(TENANT_HEADER) {
        return Err(ApiError::Forbidden("guests may not call this API".to_owned()));
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
pub(crate) mod tests;

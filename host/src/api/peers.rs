//! The other hosts of the cluster, and a small HTTP client to ask them.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::HOST;
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::TcpStream;

use super::{ApiError, ErrorBody, MAX_COMPONENT_BYTES, MAX_SHOWN_BYTES};
use crate::config::{HostInfo, Layout};
use crate::coordinator::{self, Sessions};
use crate::registry::Digest;
use crate::text::{clean_lines, cut};

const PATIENCE: Duration = Duration::from_secs(5);
/// How long a peer may take for an answer that it has at hand.
const ANSWER: Duration = Duration::from_secs(3);
/// How long a peer may take for what it has to do first.
const ACTION: Duration = Duration::from_secs(30);
/// The largest answer, in bytes: a component, or a page of log lines.
const MAX_ANSWER_BYTES: usize = MAX_COMPONENT_BYTES;
/// How much is told of why a peer can't be asked, in bytes, and of its own sentence.
const MAX_DETAIL_BYTES: usize = 500;
const MAX_REFUSAL_BYTES: usize = 16 * 1024;
/// How many host nodes are read at once.
const PIPELINE: usize = 64;

/// Why a peer could not be asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PeerError {
    /// It did not answer, or not in HTTP.
    #[error("host at `{address}` can't be asked: {detail}")]
    Unreachable {
        /// Where it should listen.
        address: String,
        /// What went wrong.
        detail: String,
    },
    /// It answered with an error.
    #[error("{message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its sentence.
        message: String,
    },
}

impl From<PeerError> for ApiError {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Unreachable { .. } => ApiError::Unavailable(error.to_string()),
            PeerError::Refused { status, message } => ApiError::from_peer(status, message),
        }
    }
}

/// The live hosts, and questions to them.
#[derive(Clone)]
pub struct Peers {
    sessions: Sessions,
    layout: Layout,
    host: String,
}

impl Peers {
    /// The peers of `host`.
    pub fn new(sessions: Sessions, layout: Layout, host: &str) -> Self {
        Peers { sessions, layout, host: host.to_owned() }
    }

    /// All live hosts, this one too, by name.
    ///
    /// # Errors
    /// What the coordinator says.
    pub async fn hosts(&self) -> Result<Vec<HostInfo>, coordinator::Error> {
        let session = self.sessions.get(PATIENCE).await?;
        let names = match session.list(&self.layout.hosts()).await {
            Ok(names) => names,
            Err(coordinator::Error::NoNode { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let read = async |name: String| match session.get(&self.layout.host(&name)).await {
            Ok((value, _)) => Ok(serde_json::from_slice::<HostInfo>(&value)
                .inspect_err(|error| tracing::warn!(host = %name, %error, "a host's node can't be read"))
                .ok()),
            Err(coordinator::Error::NoNode { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let found: Vec<_> = stream::iter(names).map(read).buffered(PIPELINE).collect().await;
        found.into_iter().filter_map(Result::transpose).collect()
    }

    /// The live hosts but for this one.
    ///
    /// # Errors
    /// What the coordinator says.
    pub async fn others(&self) -> Result<Vec<HostInfo>, coordinator::Error> {
        Ok(self.hosts().await?.into_iter().filter(|peer| peer.host != self.host).collect())
    }

    /// A component from whichever live host has it; None where nobody has.
    ///
    /// # Errors
    /// What the coordinator says. A peer that fails is passed over.
    pub async fn component(&self, digest: &Digest) -> Result<Option<Bytes>, coordinator::Error> {
        for peer in self.others().await? {
            let path = format!("/v1/components/{digest}");
            match ask(&peer.address, Method::GET, &path, ACTION).await {
                Ok(bytes) if Digest::of(&bytes) == *digest => return Ok(Some(bytes)),
                Ok(_) => tracing::warn!(peer = %peer.host, %digest, "a peer's component has another digest"),
                Err(PeerError::Refused { status: StatusCode::NOT_FOUND, .. }) => {}
                Err(error) => tracing::warn!(peer = %peer.host, %digest, %error, "a peer can't give a component"),
            }
        }
        Ok(None)
    }

    /// A GET whose answer the peer has at hand, or will have within `wait`.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        peer: &HostInfo,
        path: &str,
        wait: Duration,
    ) -> Result<T, PeerError> {
        self.get_within(peer, path, ANSWER + wait).await
    }

    /// A GET that is given up after `patience`, because a listing should not wait for a host that hangs.
    pub(super) async fn get_within<T: DeserializeOwned>(
        &self,
        peer: &HostInfo,
        path: &str,
        patience: Duration,
    ) -> Result<T, PeerError> {
        let body = ask(&peer.address, Method::GET, path, patience).await?;
        read(&peer.address, &body)
    }

    /// A POST that makes the peer do something.
    pub(super) async fn post<T: DeserializeOwned>(&self, peer: &HostInfo, path: &str) -> Result<T, PeerError> {
        let body = ask(&peer.address, Method::POST, path, ACTION).await?;
        read(&peer.address, &body)
    }
}

fn read<T: DeserializeOwned>(address: &str, body: &[u8]) -> Result<T, PeerError> {
    serde_json::from_slice(body).map_err(|error| unreachable(address, error))
}

fn unreachable(address: &str, detail: impl ToString) -> PeerError {
    PeerError::Unreachable {
        address: cut(address, MAX_SHOWN_BYTES),
        detail: cut(&detail.to_string(), MAX_DETAIL_BYTES),
    }
}

async fn ask(address: &str, method: Method, path: &str, patience: Duration) -> Result<Bytes, PeerError> {
    let (status, body) = match tokio::time::timeout(patience, exchange(address, method, path)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(unreachable(address, error)),
        Err(_) => return Err(unreachable(address, format!("no answer within {} ms", patience.as_millis()))),
    };
    if status.is_success() {
        return Ok(body);
    }
    let message = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(body) => clean_lines(&body.error, MAX_REFUSAL_BYTES),
        Err(_) => format!("host at `{}` answered {status}", cut(address, MAX_SHOWN_BYTES)),
    };
    Err(PeerError::Refused { status, message })
}

/// One request on a connection of its own, which goes when the future is dropped.
async fn exchange(
    address: &str,
    method: Method,
    path: &str,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder().method(method).uri(path).header(HOST, address).body(Body::empty())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        // First the answer: the connection may end with it.
        biased;
        answered = &mut answer => answered,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}

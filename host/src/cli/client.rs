//! A blocking client of a host's API.

use std::io;
use std::net::ToSocketAddrs;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::server_url::ServerUrl;
use crate::api::{ErrorBody, MAX_COMPONENT_BYTES};

/// How long a host may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a host may take for an answer: it may have to compile a component, or to stop a guest.
const ANSWER: Duration = Duration::from_secs(120);
/// The largest answer, in bytes.
const MAX_ANSWER_BYTES: u64 = MAX_COMPONENT_BYTES as u64;

pub(super) struct Client {
    agent: Agent,
    server: ServerUrl,
}

impl Client {
    /// A client of the host at `server`, as `--server` or `SILVERBACK_SERVER` has it. Connects nowhere yet.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub(super) fn new(server: &str) -> anyhow::Result<Self> {
        let server = ServerUrl::parse(server)
            .map_err(|reason| anyhow!("server `{server}` (--server or SILVERBACK_SERVER) is not valid: {reason}"))?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(ANSWER))
            // A host is on loopback, where no proxy has a say.
            .proxy(None)
            .build();
        Ok(Client { agent: agent.into(), server })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(self.agent.get(self.url(path)).call())
    }

    pub(super) fn get_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.bytes(self.agent.get(self.url(path)).call())
    }

    /// Whether the host has what the path names.
    pub(super) fn has(&self, path: &str) -> anyhow::Result<bool> {
        let response = self.agent.head(self.url(path)).call().map_err(|error| self.unreachable(error))?;
        Ok(response.status().is_success())
    }

    pub(super) fn put<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> anyhow::Result<T> {
        self.read(self.agent.put(self.url(path)).send(body))
    }

    pub(super) fn put_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.put(path, &serde_json::to_vec(body)?)
    }

    pub(super) fn put_bytes(&self, path: &str, body: &[u8]) -> anyhow::Result<()> {
        self.bytes(self.agent.put(self.url(path)).send(body)).map(drop)
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(self.agent.post(self.url(path)).send_empty())
    }

    pub(super) fn post_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.read(self.agent.post(self.url(path)).send(&serde_json::to_vec(body)?[..]))
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.bytes(self.agent.delete(self.url(path)).call()).map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn read<T: DeserializeOwned>(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<T> {
        let bytes = self.bytes(answer)?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} answered what is not expected", self.server))
    }

    /// The answer's body, or the server's own sentence as error.
    fn bytes(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Vec<u8>> {
        let mut response = answer.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let body = body.map_err(|error| self.unreachable(error))?;
        if status.is_success() { Ok(body) } else { Err(self.refused(status, &body)) }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> anyhow::Error {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => anyhow!(body.error),
            Err(_) => anyhow!("{} answered {status}: is it a silverback host?", self.server),
        }
    }

    /// The error for a request without an answer: what is wrong with the server, and what to do.
    fn unreachable(&self, error: ureq::Error) -> anyhow::Error {
        let Client { agent: _, server } = self;
        let other = "name another with --server";
        let has_address =
            || (server.host.as_str(), server.port).to_socket_addrs().is_ok_and(|mut all| all.next().is_some());
        match &error {
            ureq::Error::Io(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
                anyhow!("no host answers at {server}: start one with `silverback up`, or {other}")
            }
            _ if !has_address() => anyhow!("the name `{}` has no address: {other}", server.host),
            ureq::Error::Timeout(ureq::Timeout::Connect)
            | ureq::Error::ConnectionFailed
            | ureq::Error::HostNotFound => {
                anyhow!("no host answers at {server}: {other}")
            }
            ureq::Error::Protocol(cause) => {
                anyhow!("what is at {server} does not speak HTTP ({cause}): is it a silverback host?")
            }
            _ => anyhow!("{server} can't be asked: {error}"),
        }
    }
}
